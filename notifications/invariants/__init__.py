"""About emails and operation: facts and their emails, posts, retention, jobs, tasks and queue."""

from notifications.invariants import facts, kept, operation, posts

INVARIANTS = [*facts.INVARIANTS, *posts.INVARIANTS, *kept.INVARIANTS, *operation.INVARIANTS]
