from csf.staff.menu import MenuEntry, add_to_menu
from notifications.models import Alert, EmailMessage, EmailPreference, FamilyMessage, Suppression

add_to_menu(
    "Email",
    MenuEntry(EmailMessage, "Emails", "mail"),
    MenuEntry(FamilyMessage, "Messages to families", "forward_to_inbox"),
    MenuEntry(EmailPreference, "Email preferences", "tune"),
    MenuEntry(Suppression, "Suppressed addresses", "unsubscribe"),
)
add_to_menu("Operations", MenuEntry(Alert, "Alerts", "notifications_active"))
