"""What the provider's books say of emails that many senders posted: which were lost, and which came twice."""

import logging
from collections import Counter

from django.db.models import Count, Q

from csf.models import StaffTask
from notifications.models import UNFINISHED, EmailAttempt, EmailEvent, EmailMessage, EmailStatus
from notifications.task_kinds import EmailTask

logger = logging.getLogger(__name__)
FAULTS = {"share_429": 0.05, "share_503": 0.02, "share_cut_after": 0.01}
OPEN = UNFINISHED | {EmailStatus.UNKNOWN}
KNOWN_SENT = {EmailStatus.SENT, EmailStatus.DELIVERED}
CODE = "account_login_code"


def is_settled():
    return not EmailMessage.objects.filter(status__in=OPEN).exists()


def accepted(mail_server):
    """How often the provider took each email."""
    return Counter(
        request["custom_args"]["outbox_id"] for request in mail_server.requests() if request["accepted"]
    )


def listed_copies():
    """What staff see as perhaps sent twice: posted once more after a post without an answer."""
    posts = EmailMessage.objects.annotate(
        posts=Count("attempts"), unknown=Count("attempts", filter=Q(attempts__outcome="unknown"))
    )
    return {str(row.public_id) for row in posts.filter(posts__gt=1, unknown__gte=1)}


def disagreements(books):
    """Rows that say something else than the provider's books."""
    unknown = set(EmailAttempt.objects.filter(outcome="unknown").values_list("message", flat=True))
    for row in EmailMessage.objects.defer("html", "text"):
        times = books[str(row.public_id)]
        is_right = times >= 1 if row.status in KNOWN_SENT else times == 0 or row.pk in unknown
        if row.status in OPEN or not is_right or (row.kind == CODE and (row.secret or row.text)):
            yield row.pk, row.kind, row.status, times


def lost(books):
    """Never accepted by the provider, and nobody got it: where a copy would confuse, a person was asked;
    anyone who waited for a code asks for another."""
    asked = {task.subject for task in StaffTask.objects.open().filter(kind=EmailTask.EMAIL_UNKNOWN)}
    for row in EmailMessage.objects.exclude(public_id__in=books.keys()).defer("html", "text"):
        is_asked = row.status == "withheld" and f"notifications.emailmessage:{row.pk}" in asked
        if not is_asked and (row.status, row.kind) != ("expired", CODE):
            yield row.pk, row.kind, row.status


def check(mail_server, count, *, copies_at_most):
    books = accepted(mail_server)
    copies = {outbox_id for outbox_id, times in books.items() if times > 1}
    logger.info(
        "%s emails, %s requests, %s copies, %s unknown posts, %s",
        count,
        len(mail_server.requests()),
        len(copies),
        EmailAttempt.objects.filter(outcome="unknown").count(),
        dict(Counter(EmailMessage.objects.values_list("kind", "status"))),
    )
    assert list(lost(books)) == []
    assert max(books.values()) <= 2
    assert copies <= listed_copies()
    assert len(copies) <= copies_at_most
    assert list(disagreements(books)) == []
    assert EmailAttempt.objects.filter(outcome="unknown").exists()  # else nothing was put to the test
    assert not EmailEvent.objects.filter(folded_at=None).exists()
