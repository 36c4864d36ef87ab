from enrollments.models.courses import Course, CourseSession, Location, Program
from enrollments.models.people import Child, EmergencyContact, Household, User
from enrollments.models.seats import Enrollment, EnrollmentStatus, EnrollmentTransition, WaitlistTier

__all__ = [
    "Child",
    "Course",
    "CourseSession",
    "EmergencyContact",
    "Enrollment",
    "EnrollmentStatus",
    "EnrollmentTransition",
    "Household",
    "Location",
    "Program",
    "User",
    "WaitlistTier",
]
