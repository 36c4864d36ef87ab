"""The response of every page: HTML that loads nothing and is not cached."""

from aiohttp import web

# No form-action: browsers apply it to the redirect after the form too, which leads back to the shop.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"


def page(text: str, status: int = 200) -> web.Response:
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
