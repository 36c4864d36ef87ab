from csf.staff.roles import Role, allow

allow(
    "notifications",
    {
        Role.OFFICE: "view_* read_emailmessage resend_emailmessage withhold_emailmessage "
        "requeue_emailmessage mark_sent_emailmessage add_familymessage change_familymessage "
        "add_suppression change_suppression",
        Role.FINANCE: "view_* read_emailmessage",
    },
)
