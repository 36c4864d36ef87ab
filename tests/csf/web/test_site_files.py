"""What browsers, phones, search engines and messengers ask of the site."""

import gzip
import json
import re

import pytest
from django.test import Client
from django.utils import timezone

from enrollments.models import Course
from tests.factories import create_course, create_household
from tests.pages import parent_of

pytestmark = pytest.mark.django_db


def test_robots_keep_out_of_what_is_private_and_find_the_sitemap(settings):
    text = Client().get("/robots.txt").text

    assert "Disallow: /account/\n" in text
    assert "Disallow: /pay/\n" in text
    assert f"Sitemap: {settings.SITE_URL}/sitemap.xml\n" in text


def test_the_sitemap_lists_what_is_offered(settings):
    offered = create_course(sessions=10)
    create_course(sessions=10, is_published=False)
    create_course(sessions=10, cancelled_at=timezone.now())

    found = re.findall("<loc>(.*?)</loc>", Client().get("/sitemap.xml").text)

    assert found == [settings.SITE_URL + path for path in ["/", "/terms/", offered.get_absolute_url()]]


@pytest.mark.parametrize("path", ["/favicon.ico", "/apple-touch-icon.png"])
def test_icons_are_found_at_the_root(path):
    assert Client().get(path).url == f"/static{path}"


def test_a_phone_can_keep_the_site_and_a_password_manager_finds_its_page():
    assert Client().get("/manifest.webmanifest").json()["name"] == "Bright Sparks Academy"
    assert Client().get("/.well-known/change-password").url == "/account/password/change/"


HOSTILE = "</script><script>alert(1)</script> & \u2028 \"quoted\" 'so'"


@pytest.mark.parametrize(
    ("price_cents", "category", "price"), [(14450, "Paid", "144.50"), (0, "Free", "0.00")]
)
def test_a_shared_class_says_what_it_is_to_people_and_machines(settings, price_cents, category, price):
    course = create_course(sessions=10, price_cents=price_cents, description=HOSTILE, title="Big <Swim>")

    page = Client().get(course.get_absolute_url()).text

    [data] = re.findall('<script type="application/ld\\+json">(.*?)</script>', page)
    found = json.loads(data)
    assert (found["@type"], found["name"], found["description"]) == ("Course", "Big <Swim>", HOSTILE)
    assert found["offers"] == {
        "@type": "Offer",
        "category": category,
        "price": price,
        "priceCurrency": "USD",
    }
    assert found["hasCourseInstance"]["startDate"] == course.starts_on.isoformat()
    assert found["hasCourseInstance"]["courseSchedule"]["repeatCount"] == 10
    assert '<meta property="og:title" content="Big &lt;Swim&gt;">' in page
    assert f'<link rel="canonical" href="{settings.SITE_URL}{course.get_absolute_url()}">' in page
    [description] = re.findall('<meta name="description" content="(.*?)">', page)
    assert "ages 6 to 12" in description
    assert "<script>" not in page.replace(data, "")


def test_pages_are_compressed_their_tokens_masked_and_devices_closed():
    course = create_course(sessions=10)
    client = parent_of(create_household())

    answers = [client.get(course.get_absolute_url(), headers={"Accept-Encoding": "gzip"}) for _ in range(2)]

    assert [answer["Content-Encoding"] for answer in answers] == ["gzip", "gzip"]
    pages = [gzip.decompress(answer.content).decode() for answer in answers]
    tokens = {re.findall('name="csrfmiddlewaretoken" value="(\\w+)"', page)[0] for page in pages}
    assert len(tokens) == 2
    assert "camera=()" in answers[0]["Permissions-Policy"]
    assert Course.objects.get() == course
