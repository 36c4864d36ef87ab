"""The database forgets an address as soon as its account has another, whoever changed it: allauth sends codes
to every address it knows.

Installed after each `migrate`, like the other triggers.
"""

from typing import Any

from django.db import connections, transaction

GUARD = """
CREATE OR REPLACE FUNCTION enrollments_forget_old_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM account_emailaddress WHERE user_id = NEW.id AND lower(email) <> lower(NEW.email);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER forget_old_address AFTER UPDATE OF email ON enrollments_user
FOR EACH ROW WHEN (lower(NEW.email) <> lower(OLD.email)) EXECUTE FUNCTION enrollments_forget_old_address();
"""


def install_address_guard(using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate` of this app. Safe to repeat."""
    connection = connections[using]
    if "account_emailaddress" in connection.introspection.table_names():
        with transaction.atomic(using), connection.cursor() as cursor:
            cursor.execute(GUARD)
