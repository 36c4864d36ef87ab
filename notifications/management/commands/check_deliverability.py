import sys
from typing import Any

from django.core.management.base import BaseCommand

from notifications.alerts.deliverability import Verdict, check_sender
from notifications.alerts.dns import DnsUnknown, system_lookup

EXIT_CODES = {Verdict.WRONG: 1, Verdict.UNKNOWN: 2}


class Command(BaseCommand):
    help = (
        "Check the sender domain's SPF, DKIM, DMARC and MX records and SendGrid's host names. Exit code "
        "1 if one is wrong (with the record to set), 2 if one could not be looked up."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            findings = check_sender(system_lookup())
        except DnsUnknown as error:
            self.stderr.write(str(error))
            sys.exit(EXIT_CODES[Verdict.UNKNOWN])
        for finding in findings:
            self.stdout.write(f"{finding.verdict.value:8} {finding.what}: {finding.text}")
        for verdict, code in EXIT_CODES.items():
            if any(finding.verdict is verdict for finding in findings):
                sys.exit(code)
