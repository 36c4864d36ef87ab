"""Links to a map."""

from functools import lru_cache
from urllib.parse import urlencode


@lru_cache(maxsize=256)
def map_url(name: str, address: str) -> str:
    """Opens the map application of a phone, or a map in the browser."""
    where = ", ".join(filter(None, [name, address]))
    return f"https://www.google.com/maps/search/?{urlencode({'api': 1, 'query': where})}"
