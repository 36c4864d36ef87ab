from enrollments.admin.records import records  # noqa: F401 - registers the admin pages
