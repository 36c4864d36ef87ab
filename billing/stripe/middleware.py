from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from billing.stripe import gateway

Respond = Callable[[HttpRequest], HttpResponse]


def page_patience(get_response: Respond) -> Respond:
    """Whatever a page asks Stripe, the visitor and the thread that serves it wait at most PAGE_S."""

    def respond(request: HttpRequest) -> HttpResponse:
        with gateway.within(gateway.PAGE_S):
            return get_response(request)

    return respond
