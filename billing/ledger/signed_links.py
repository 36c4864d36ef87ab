"""The links in emails that need no login: each opens the page of one installment, or of one offered seat."""

import datetime
from functools import lru_cache

from django.core import signing

from billing.models import Installment
from csf.web.fast_reverse import path_to
from enrollments.models import Enrollment

MAX_AGE = datetime.timedelta(days=60)
_SALT = "csf.billing.pay-installment"
_OFFER_SALT = "csf.billing.offered-seat"


def pay_link_path(installment: Installment) -> str:
    token = _signer().sign_object(str(installment.public_id))
    return path_to("pay_installment", token)


@lru_cache
def _signer() -> signing.TimestampSigner:
    """The one of `signing.dumps`, made once: a daily job signs thousands of links."""
    return signing.TimestampSigner(salt=_SALT)


def installment_of(token: str) -> Installment:
    """Raises BadSignature for a forged link, SignatureExpired for an old one, DoesNotExist for one of an
    installment that is gone."""
    public_id = signing.loads(token, salt=_SALT, max_age=MAX_AGE)
    return Installment.objects.get(public_id=public_id)


def offer_token(enrollment: Enrollment) -> str:
    """For the pages of an offered seat; they say when the offer is over."""
    return signing.dumps(str(enrollment.public_id), salt=_OFFER_SALT)


def offer_of(token: str) -> Enrollment:
    """Raises BadSignature for a forged or old link, DoesNotExist for one of an enrollment that is gone."""
    public_id = signing.loads(token, salt=_OFFER_SALT, max_age=MAX_AGE)
    return Enrollment.objects.select_related("child__household", "course__location").get(public_id=public_id)
