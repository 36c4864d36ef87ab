"""Emails about accounts: allauth triggers them, our outbox sends them.

Codes and links that open an account are stored encrypted until they are sent, and nowhere afterwards.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from allauth.core import context as allauth_context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from django.conf import settings
from django.urls import reverse

from csf import clock
from csf.forms.email_address import clean_address
from csf.models import StaffTask
from csf.staff.roles import with_meaning
from enrollments.accounts.sign_up import FamilyAccountAdapter
from enrollments.accounts.staff_accounts import is_to_be_invited
from enrollments.models import User
from notifications.facts.account_events import AccountEvent
from notifications.models import EmailMessage
from notifications.outbox import notify
from notifications.spec import Snapshot
from notifications.task_kinds import EmailTask

# What happened, by the name that allauth gives its email.
NOTICES = {
    "account/email/unknown_account": "unknown_account",
    "account/email/account_already_exists": "account_already_exists",
    "account/email/password_changed": "password_changed",
    "account/email/password_reset": "password_changed",
    "account/email/password_set": "password_changed",
    "account/email/email_changed": "email_changed",
    "mfa/email/totp_activated": "second_step_on",
    "mfa/email/totp_deactivated": "second_step_off",
    "mfa/email/recovery_codes_generated": "recovery_codes",
}
OTHER = "other"
# What a stranger who enters an address can have sent to it: codes and links that open an account, and
# notices.
CODES = {
    "account/email/email_confirmation",
    "account/email/email_confirmation_signup",
    "account/email/login_code",
    "account/email/password_reset_key",
}
UNASKED = {"account/email/unknown_account", "account/email/account_already_exists"}
NOTICE_LIFE_S = 24 * 3600


class AccountAdapter(FamilyAccountAdapter):
    def send_mail(self, template_prefix: str, email: str, context: Mapping[str, Any]) -> None:
        """The one method through which allauth sends email. It takes named values only, because the context
        also contains the request."""
        if not _may_be_mailed(template_prefix, email):
            return
        match template_prefix:
            case "account/email/email_confirmation" | "account/email/email_confirmation_signup":
                # Nobody has proved yet that the address is theirs: its email contains no name that someone
                # else typed.
                life_s = settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT
                recipient = User(pk=context["user"].pk, email=email)
                _notify("account_confirm_email", recipient, life_s, code=context["code"])
            case "account/email/login_code":
                life_s = settings.ACCOUNT_LOGIN_BY_CODE_TIMEOUT
                _notify("account_login_code", _owner_of(email), life_s, code=context["code"])
            case "account/email/password_reset_key":
                key = {"uidb36": context["uid"], "key": context["key"]}
                path = reverse("account_reset_password_from_key", kwargs=key)
                recipient, life_s = _addressed(context["user"], email), settings.PASSWORD_RESET_TIMEOUT
                if inviter := _inviter(context["user"]):
                    facts = _invitation(context["user"], inviter)
                    _notify("staff_invitation", recipient, life_s, reset_path=path, **facts)
                else:
                    _notify("account_password_reset", recipient, life_s, reset_path=path)
            case _:
                self._notice(template_prefix, email, context)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        super().send_notification_mail(template_prefix, user, (context or {}) | {"user": user}, email)

    def _notice(self, template_prefix: str, email: str, context: Mapping[str, Any]) -> None:
        user = context.get("user")
        event = _notify(
            "account_notice",
            _addressed(user, email) if user else _owner_of(email),
            NOTICE_LIFE_S,
            event=NOTICES.get(template_prefix, OTHER),
            happened_at=clock.now().isoformat(),
            new_email=context.get("to_email", ""),
        )
        if template_prefix not in NOTICES:
            row = EmailMessage.objects.get(dedupe_key__contains=event.key)
            detail = (
                f"allauth asked for {template_prefix!r}, which we have no text for; a plain notice was sent."
            )
            StaffTask.open(EmailTask.EMAIL_FAILED, row, detail)


def _inviter(user: User) -> User | None:
    """The person who sends a colleague the link to their first password, if this is one."""
    by = allauth_context.request.user
    return by if is_to_be_invited(user) and isinstance(by, User) and by.pk != user.pk else None


def _invitation(user: User, inviter: User) -> Snapshot:
    rights = [with_meaning(group.name) for group in user.groups.order_by("name")]
    return {"inviter": str(inviter), "rights": rights, "office_path": reverse("admin:index")}


def _may_be_mailed(template_prefix: str, email: str) -> bool:
    """Protects strangers' mailboxes. One code too many is refused on the page (429), because someone waits
    for it; one notice too many is left out, so that the page does not reveal who has an account."""
    if template_prefix in CODES and not _consume("code_to_address", email):
        raise ImmediateHttpResponse(ratelimit.respond_429(allauth_context.request))
    return template_prefix not in UNASKED or _consume("notice_to_address", email)


def _consume(action: str, email: str) -> bool:
    key, app = clean_address(email), "allauth.account"
    return bool(ratelimit.consume(allauth_context.request, app=app, action=action, key=key, limit_get=True))


def _notify(kind: str, recipient: User, life_s: int, **facts: Any) -> AccountEvent:
    expires_at = clock.now() + timedelta(seconds=life_s)
    event = AccountEvent(recipient, facts | {"minutes": life_s // 60}, expires_at)
    notify(kind, [event])
    return event


def _owner_of(email: str) -> User:
    return User.objects.filter(email__iexact=email).first() or User(email=email)


def _addressed(user: User, email: str) -> User:
    """The user at another of their addresses."""
    return User(pk=user.pk, email=email, first_name=user.first_name)
