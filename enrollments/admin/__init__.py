from enrollments.admin import accounts, places, programs, waitlist

__all__ = ["accounts", "places", "programs", "waitlist"]
