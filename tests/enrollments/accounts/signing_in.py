"""What tests of accounts share: addresses of pages, the last code that was sent, who is signed in."""

from notifications.models import EmailMessage

PASSWORD = "correct-horse-7"
NEW = {"first_name": "Maria", "last_name": "Lopez", "email": "maria@example.org", "password1": PASSWORD}
CONFIRM, LOGIN, LOGIN_CODE, CODE = (
    "/account/confirm-email/",
    "/account/login/",
    "/account/login/code/",
    ("/account/login/code/confirm/"),
)


SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def last_facts(kind):
    return EmailMessage.objects.filter(kind=kind).order_by("-pk")[0].facts


def last_code(kind="account_confirm_email"):
    return last_facts(kind)["code"]


def wrong(code):
    return "000000" if code != "000000" else "111111"


def is_signed_in(client):
    return "_auth_user_id" in client.session
