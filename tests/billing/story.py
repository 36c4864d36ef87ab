"""What has become of an installment: its state, attempts, payments and the staff's tasks."""

from billing.models import Payment
from csf.models import StaffTask


def story(installment):
    installment.refresh_from_db()
    return {
        "installment": installment.status,
        "attempts": [attempt.status for attempt in installment.attempts.all()],
        "paid": Payment.objects.filter(installment=installment).count(),
        "tasks": sorted(StaffTask.objects.open().values_list("kind", flat=True)),
    }


PAID = {"installment": "paid", "attempts": ["succeeded"], "paid": 1, "tasks": []}
