from csf.staff.roles import Role, allow

allow(
    "billing",
    {
        Role.OFFICE: "view_* add_cancellation add_closure add_transfer add_credit add_refund "
        "record_offline_installment move_installment hold_installment",
        Role.FINANCE: "view_* add_cancellation add_credit add_refund approve_refund change_refund "
        "record_offline_installment move_installment hold_installment waive_installment retry_installment "
        "add_paymentplan change_paymentplan delete_paymentplan change_bookdifference",
    },
)
