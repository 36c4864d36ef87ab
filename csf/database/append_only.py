"""Facts never change: tables of models with IS_APPEND_ONLY refuse every UPDATE and DELETE. Only the erasure
of a family, which sets `csf.erasing` for its transaction, may remove words from them.

The triggers are installed after each `migrate`, so that a database made in any way has them.
"""

from typing import Any

from django.apps import AppConfig
from django.db import connections, transaction

REFUSE = """
CREATE OR REPLACE FUNCTION csf_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('csf.erasing', true) = 'on' THEN RETURN NEW; END IF;
    RAISE EXCEPTION '% is append-only: write a new row instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""
GUARD = """
CREATE OR REPLACE TRIGGER csf_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION csf_refuse_change()
"""


def install_triggers(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate`. Safe to repeat."""
    tables = [
        model._meta.db_table for model in sender.get_models() if getattr(model, "IS_APPEND_ONLY", False)
    ]
    if not tables:
        return
    connection = connections[using]
    existing = connection.introspection.table_names()
    with connection.cursor() as cursor:
        cursor.execute(REFUSE)
        for table in tables:
            if table in existing:  # an app may be migrated backwards
                with transaction.atomic(using):  # with the limit of its wait for the lock
                    cursor.execute(GUARD.format(table=connection.ops.quote_name(table)))
