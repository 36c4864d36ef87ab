"""Of emails and of operation: facts and what is told of them, posts, what is kept, jobs, tasks and queue."""

from notifications.invariants import facts, kept, operation, posts

INVARIANTS = [*facts.INVARIANTS, *posts.INVARIANTS, *kept.INVARIANTS, *operation.INVARIANTS]
