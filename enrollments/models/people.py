import datetime
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from csf import clock
from csf.clock import Now
from csf.forms.email_address import clean_address
from csf.forms.names import one_line

# The guardian whom the office chose last, or else the first. One without access never leads while another
# can.
LEAD_FIRST = [F("is_active").desc(), F("leads_since").desc(nulls_last=True), F("pk").asc()]


class InLines(models.Model):
    """Rows that people type: every form cleans the columns in LINES to single lines."""

    LINES: ClassVar[tuple[str, ...]] = ()

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        for name in self.LINES:
            setattr(self, name, one_line(getattr(self, name)))


class Household(InLines):
    """A family: it owns children, orders and the Stripe customer, and has one or more guardians who sign
    in."""

    LINES = ("name",)

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "family"
        verbose_name_plural = "families"

    def __str__(self) -> str:
        return self.name

    @property
    def lead(self) -> "User":
        """Whom we write to first, and whose address Stripe gets: an active guardian, if there is one."""
        return self.guardians.order_by(*LEAD_FIRST)[0]

    @property
    def email(self) -> str:
        return self.lead.email


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=clean_address(email), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if self.filter(
            email__iexact=clean_address(email)
        ).exists():  # `createsuperuser` looks at no constraint
            raise ValidationError(
                f"{email} has an account already; create_owner makes one of staff an owner."
            )
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email__iexact=email)


class User(InLines, AbstractBaseUser, PermissionsMixin):
    """Someone who signs in by email: a guardian of a household, or staff."""

    LINES = ("first_name", "last_name")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField()
    first_name = models.CharField(max_length=60, blank=True)
    last_name = models.CharField(max_length=60, blank=True)
    household = models.ForeignKey(
        Household, null=True, blank=True, on_delete=models.PROTECT, related_name="guardians"
    )
    signed_up_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Empty for people entered by staff."
    )
    leads_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the office made them the lead guardian."
    )
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(db_default=Now(), editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="enrollments_user_email")]
        permissions: ClassVar = [("manage_staff", "Can give permissions and change staff accounts")]

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    def get_session_auth_hash(self) -> str:
        return self._session_hash(None)

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return (self._session_hash(secret) for secret in settings.SECRET_KEY_FALLBACKS)

    def _session_hash(self, secret: str | None) -> str:
        """With the address: a session ends when it is replaced, as it does with the password."""
        return salted_hmac(
            "enrollments.User.session", f"{self.password}:{self.email}", secret=secret, algorithm="sha256"
        ).hexdigest()

    def lead_family(self, *, at: datetime.datetime) -> None:
        """Get the family's emails from now on, instead of the previous lead guardian."""
        User.objects.filter(pk=self.pk).update(leads_since=at)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name or self.email


class Child(InLines):
    LINES = ("first_name", "last_name")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="children")
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60, blank=True)
    born_on = models.DateField("date of birth")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["born_on", "pk"]
        verbose_name_plural = "children"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def clean(self) -> None:
        super().clean()
        if self.born_on and self.born_on > clock.today():
            raise ValidationError({"born_on": "This date is in the future."})
        if self.born_on and self.household_id and self.is_in_family(self.household):
            raise ValidationError(f"{self} is already in this family.")

    def is_in_family(self, family: Household) -> bool:
        """Whether another of its children has this birthday and this name, in any case, and in any of the
        forms that Unicode has for a letter."""
        siblings = family.children.filter(born_on=self.born_on).exclude(pk=self.pk)
        name = one_line(str(self)).casefold()
        return any(one_line(str(sibling)).casefold() == name for sibling in siblings)

    def age_on(self, on: datetime.date) -> int:
        """Whole years; someone born on 29 February turns a year older on 1 March."""
        return on.year - self.born_on.year - ((on.month, on.day) < (self.born_on.month, self.born_on.day))


class EmergencyContact(InLines):
    """Whom we call about a child. A child has one to three of them, and more than one may be called first."""

    LINES = ("name", "phone", "relationship")
    MOST = 3  # of a child

    child = models.ForeignKey(Child, on_delete=models.CASCADE, related_name="emergency_contacts")
    name = models.CharField(max_length=100)
    phone = models.CharField(max_length=30)
    relationship = models.CharField(max_length=60, help_text="To the child, for example mother or neighbor.")
    is_primary = models.BooleanField("call first", default=False)

    class Meta:
        ordering = ["-is_primary", "pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.relationship})"
