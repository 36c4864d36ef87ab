"""Staff of the school, who use the admin over HTTP."""

import re
from html import unescape

from demo.journey.browser import Browser
from demo.journey.family import PASSWORD, ClassIsFull, World


def office_of(world: World) -> Browser:
    """A browser in which staff are signed in."""
    office = Browser(world.site)
    office.submit("/account/login/", {"login": "office@example.org", "password": PASSWORD})
    assert "Refunds to approve" in office.get("/admin/"), "staff cannot sign in"
    return office


def approve_refund(office: Browser, *, order: str) -> None:
    """Approve the order's only waiting refund. Staff enter their password again before money is paid out."""
    waiting = office.get(f"/admin/billing/refund/?status__exact=requested&q={order}")
    [page] = set(re.findall(r"/admin/billing/refund/\d+/change/", waiting))
    form = office.submit(_link(office.get(page), "Approve"), {"password": PASSWORD})
    done = office.submit_next(form, {"reason": "all in order"})
    assert done.url.endswith(page), "the refund was not approved"


def move_child(office: Browser, *, order: str, to: str, reason: str, consent: str) -> str:
    """Move the order's only child to another class; returns the price difference, charged at once."""
    found = office.get(f"/admin/orders/order/?q={order}")
    [page] = set(re.findall(r"/admin/orders/order/\d+/change/", found))
    [place] = set(re.findall(r"/admin/enrollments/enrollment/\d+/change/", office.get(page)))
    classes = office.get(_link(office.get(place), "Move to another class"))
    if to not in classes:
        raise ClassIsFull(to)
    move = _link(classes, f"Choose {to}")
    charged = re.search(r"charged (\$[\d,.]+) right away", unescape(office.get(move)))
    assert charged, "the page does not say what is charged"
    done = office.submit(move, {"reason": reason, "consent": consent})
    assert done.url.endswith(place), "the child was not moved"
    return charged[1]


def _link(html: str, text: str) -> str:
    """The address of the link with this text."""
    for link in re.finditer(r'<a\b[^>]*\bhref="([^"]+)"[^>]*>(.*?)</a>', html, re.DOTALL):
        if " ".join(re.sub(r"<[^>]*>", "", link[2]).split()) == text:
            return unescape(link[1])
    raise AssertionError(f"the page has no link “{text}”")
