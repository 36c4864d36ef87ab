from csf.staff.roles import Role, allow

allow(
    "orders",
    {
        Role.OFFICE: "view_*",
        Role.FINANCE: "view_* add_promocode change_promocode delete_promocode",
    },
)
