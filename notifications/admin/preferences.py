"""Which emails the members of a family get: what people chose, and whom the lead guardian invited."""

from django.contrib import admin

from csf.staff.columns import link
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.templatetags.csf_format import moment
from enrollments.models import LEAD_FIRST, GuardianInvitation, Household, User
from notifications.facts.readers import readers
from notifications.models import EmailPreference
from notifications.preferences.rules import CHOICES, COPIES


@admin.register(EmailPreference)
class EmailPreferenceAdmin(ReadOnlyAdmin):
    """The choices are the family's own: staff see them and send parents to their page."""

    list_display = ["user", "choice", "is_on", "origin", "changed_at"]
    list_filter = ["choice", "is_on", "origin"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__first_name", "user__last_name"]
    search_help_text = "Search by email or name."
    date_hierarchy = "changed_at"
    fields = ["user", "choice", "is_on", "origin", "changed_at"]


@admin.register(GuardianInvitation)
class GuardianInvitationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "email", "household", "invited_by", "accepted_at", "withdrawn_at"]
    list_select_related = ["household", "invited_by"]
    search_fields = ["email", "first_name", "last_name", "household__name"]
    search_help_text = "Search by email, name or family."
    date_hierarchy = "created_at"
    fields = [
        "household",
        "invited_by",
        ("first_name", "last_name", "email"),
        ("created_at", "accepted_at", "withdrawn_at"),
        "user",
    ]


@panel(Household, permission="notifications.view_emailpreference")
def who_gets_what(family: Household) -> Panel:
    people = family.guardians.order_by(*LEAD_FIRST).prefetch_related("email_preferences")
    reading = list(readers().filter(household=family).values_list("pk", flat=True))
    return Panel(
        "Who gets the family's emails",
        ["Guardian", "Email", "Gets them", "Chose"],
        [(link(user), user.email, _gets_them(user, reading), _chosen(user)) for user in people],
    )


def _gets_them(user: User, reading: list[int]) -> str:
    if user.pk not in reading:
        return "no"
    return "yes, leads the family" if user.pk == reading[0] else "yes, as copies"


def _chosen(user: User) -> str:
    made = [row for row in user.email_preferences.all() if row.choice in CHOICES and row.choice != COPIES]
    return "; ".join(
        f"{CHOICES[row.choice].title}: {'on' if row.is_on else 'off'} "
        f"({row.get_origin_display()}, {moment(row.changed_at)})"
        for row in made
    )


@panel(Household, permission="enrollments.view_guardianinvitation")
def family_invitations(family: Household) -> Panel:
    return Panel(
        "Invited guardians",
        ["Invited", "Email", "By", "Result"],
        [
            (moment(row.created_at), link(row, row.email), link(row.invited_by), _outcome(row))
            for row in family.invitations.select_related("invited_by")[:20]
        ],
    )


def _outcome(invitation: GuardianInvitation) -> str:
    if invitation.accepted_at:
        return f"joined on {moment(invitation.accepted_at)}"
    if invitation.withdrawn_at:
        return f"withdrawn on {moment(invitation.withdrawn_at)}"
    return f"valid until {moment(invitation.ends_at)}"
