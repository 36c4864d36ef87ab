from enrollments.admin import accounts, lead_actions, places, programs, publishing_actions, waitlist_actions

__all__ = ["accounts", "lead_actions", "places", "programs", "publishing_actions", "waitlist_actions"]
