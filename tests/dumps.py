"""What a dump of the database would show."""

from django.db import connection


def tables_that_hold(text):
    """Names of all tables with the text in any column of any row, as a dump would show it."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT count(*) FROM "{table}" AS row WHERE row::text LIKE %s', [f"%{text}%"])
            if cursor.fetchone()[0]:
                yield table
