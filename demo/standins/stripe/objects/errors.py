"""Stripe's error answers."""

from demo.standins.stripe.objects.store import Obj


class StripeError(Exception):
    """An API answer other than 200. If `stored`, a repeat with the same idempotency key gets it again."""

    def __init__(self, status: int, error: Obj, *, stored: bool = False, retry: bool | None = None) -> None:
        super().__init__(error["message"])
        self.status = status
        self.body: Obj = {"error": error}
        self.stored = stored
        self.retry = retry


def invalid_request(
    message: str, param: str | None = None, code: str | None = None, *, status: int = 400
) -> StripeError:
    return StripeError(status, _error("invalid_request_error", message, param=param, code=code))


def wrong_state(message: str, code: str | None = None, *, param: str | None = None) -> StripeError:
    """A valid request that the object's state does not allow: the endpoint ran, so the answer is stored."""
    return StripeError(400, _error("invalid_request_error", message, param=param, code=code), stored=True)


def card_error(error: Obj, **objects: Obj) -> StripeError:
    """A decline. `objects` are those that the endpoint worked on, which Stripe includes in the error."""
    return StripeError(402, {**error, **objects, "type": "card_error"}, stored=True)


def no_such(kind: str, object_id: str, param: str = "id", *, status: int = 404) -> StripeError:
    return invalid_request(f"No such {kind}: '{object_id}'", param, "resource_missing", status=status)


def unknown_route(method: str, path: str) -> StripeError:
    return invalid_request(f"Unrecognized request URL ({method}: {path}).", status=404)


def invalid_api_key(key: str) -> StripeError:
    if not key:
        return invalid_request("You did not provide an API key.", status=401)
    return invalid_request(f"Invalid API Key provided: {key[:8]}****", status=401)


def key_reused(key: str) -> StripeError:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return StripeError(400, _error("idempotency_error", message))


def key_in_use(key: str) -> StripeError:
    message = f"There is currently another in-progress request using this idempotency key: {key}."
    return StripeError(409, _error("idempotency_error", message, code="idempotency_key_in_use"), retry=True)


def lock_timeout() -> StripeError:
    """A 429 that differs only in its code and its advice to retry: https://docs.stripe.com/rate-limits
    and https://github.com/stripe/stripe-php/pull/718."""
    message = "This object cannot be accessed right now because another request is accessing it."
    return StripeError(429, _error("invalid_request_error", message, code="lock_timeout"), retry=True)


def rate_limited() -> StripeError:
    message = "Request rate limit exceeded."
    return StripeError(429, _error("invalid_request_error", message, code="rate_limit"))


def server_error(*, stored: bool) -> StripeError:
    message = "An unknown error occurred"
    return StripeError(500, _error("api_error", message), stored=stored, retry=not stored)


def _error(kind: str, message: str, *, param: str | None = None, code: str | None = None) -> Obj:
    error = {"type": kind, "message": message, "param": param, "code": code}
    return {name: value for name, value in error.items() if value is not None}
