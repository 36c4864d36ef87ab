from enrollments.models.courses import Course, CourseChange, CourseSession, Location, Program
from enrollments.models.invitations import GuardianInvitation
from enrollments.models.people import LEAD_FIRST, Child, EmergencyContact, Household, User
from enrollments.models.seats import Enrollment, EnrollmentStatus, EnrollmentTransition, WaitlistTier

__all__ = [
    "LEAD_FIRST",
    "Child",
    "Course",
    "CourseChange",
    "CourseSession",
    "EmergencyContact",
    "Enrollment",
    "EnrollmentStatus",
    "EnrollmentTransition",
    "GuardianInvitation",
    "Household",
    "Location",
    "Program",
    "User",
    "WaitlistTier",
]
