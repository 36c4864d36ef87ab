"""Which kind of email a change of status owes the family, if any."""

from enrollments.models import EnrollmentStatus, EnrollmentTransition
from notifications.kinds import EmailKind


def enrollment_kind(moved: EnrollmentTransition) -> EmailKind | None:
    enrollment = moved.enrollment
    match moved.to_status:
        case EnrollmentStatus.ACTIVE if moved.from_status in {
            EnrollmentStatus.HELD,
            EnrollmentStatus.RELEASED,
        }:
            # Paid when the class was cancelled already: the cancellation follows at once.
            return None if enrollment.course.cancelled_at else EmailKind.ENROLLMENT_CONFIRMATION
    return None
