"""The database refuses a seat beyond a class's capacity; the unique index refuses one that is taken.

Installed after each `migrate`, like the other triggers.
"""

from typing import Any

from django.db import connections, transaction

GUARD = """
CREATE OR REPLACE FUNCTION enrollments_seat_within_capacity() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE seats integer;
BEGIN
    SELECT capacity INTO seats FROM enrollments_course WHERE id = NEW.course_id FOR SHARE;
    IF NEW.seat_number > seats THEN
        RAISE EXCEPTION 'seat % is beyond the capacity of %', NEW.seat_number, seats
            USING ERRCODE = 'check_violation', CONSTRAINT = 'enrollments_enrollment_seat_within_capacity';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION enrollments_capacity_covers_seats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM enrollments_enrollment WHERE course_id = NEW.id AND seat_number > NEW.capacity)
    THEN RAISE EXCEPTION 'seats beyond % are taken', NEW.capacity USING ERRCODE = 'check_violation',
    CONSTRAINT = 'enrollments_course_capacity_covers_seats'; END IF; RETURN NEW; END $$;

CREATE OR REPLACE TRIGGER seat_within_capacity_new BEFORE INSERT ON enrollments_enrollment
FOR EACH ROW WHEN (NEW.seat_number IS NOT NULL) EXECUTE FUNCTION enrollments_seat_within_capacity();

-- Only for a number that changes: confirming an order must not wait for the lock of its class.
CREATE OR REPLACE TRIGGER seat_within_capacity_moved BEFORE UPDATE ON enrollments_enrollment
FOR EACH ROW WHEN (NEW.seat_number IS NOT NULL AND NEW.seat_number IS DISTINCT FROM OLD.seat_number)
EXECUTE FUNCTION enrollments_seat_within_capacity();

CREATE OR REPLACE TRIGGER capacity_covers_seats BEFORE UPDATE OF capacity ON enrollments_course
FOR EACH ROW WHEN (NEW.capacity < OLD.capacity) EXECUTE FUNCTION enrollments_capacity_covers_seats();
"""


def install_seat_guard(using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate` of this app. Safe to repeat."""
    connection = connections[using]
    if "enrollments_enrollment" in connection.introspection.table_names():
        with transaction.atomic(using), connection.cursor() as cursor:
            cursor.execute(GUARD)
