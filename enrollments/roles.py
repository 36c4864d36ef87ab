from csf.staff.roles import Role, allow

allow(
    "enrollments",
    {
        Role.OFFICE: "view_* add_household change_household add_child change_child add_user change_user "
        "add_emergencycontact change_emergencycontact delete_emergencycontact "
        "add_program change_program delete_program add_location change_location delete_location "
        "add_course change_course delete_course "
        "add_coursesession change_coursesession delete_coursesession change_enrollment",
        Role.FINANCE: "view_*",
        # No children: a class does not know its coach yet, and a coach sees no other children.
        Role.COACH: "view_program view_location view_course view_coursesession",
    },
)
