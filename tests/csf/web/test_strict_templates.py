"""The watch over all pages (tests/strict_templates.py) notices what Django would leave out."""

import pytest
from django.template import Context, engines
from django.template.base import Origin, Template

from tests.strict_templates import OURS


def page(source):
    origin = Origin(name=f"{OURS}/a_page.html")
    return Template(source, origin=origin, engine=engines["django"].engine)


def shown(source, **facts):
    return page(source).render(Context(facts))


@pytest.mark.parametrize("source", ["{{ kind.label }}", "{% if kind.label %}yes{% endif %}"])
def test_an_attribute_that_was_renamed_is_noticed(source):
    with pytest.raises(AssertionError, match=r"a_page.html: kind.label is not there"):
        shown(source, kind=object())


def test_what_may_be_missing_is_not():
    assert shown("{{ nothing }}{{ row.failed|default:0 }}{{ none.x }}", row={}, none=None) == "0"
