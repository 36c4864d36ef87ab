"""The link in an email about an installment: it opens the page of that one installment without a login."""

import datetime

from django.core import signing
from django.urls import reverse

from billing.models import Installment

MAX_AGE = datetime.timedelta(days=60)
_SALT = "csf.billing.pay-installment"


def pay_link_path(installment: Installment) -> str:
    token = signing.dumps(str(installment.public_id), salt=_SALT)
    return reverse("pay_installment", args=[token])


def installment_of(token: str) -> Installment:
    """Raises BadSignature for a forged link, SignatureExpired for an old one, DoesNotExist for one of an
    installment that is gone."""
    public_id = signing.loads(token, salt=_SALT, max_age=MAX_AGE)
    return Installment.objects.get(public_id=public_id)
