"""What tests of the staff's actions share."""

from django.urls import reverse


def page_of(row, name, slug="act"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{slug}", args=[row.pk, name])


def publish_page(course):
    return page_of(course, "publish", "publishing")


def hide_page(course):
    return page_of(course, "hide", "hiding")


def press(client, page, **typed):
    """Read the form of an action and press its button, as a browser does."""
    fingerprint = client.get(page).context["facts"].fingerprint
    return client.post(page, {"fingerprint": fingerprint} | typed, follow=True)
