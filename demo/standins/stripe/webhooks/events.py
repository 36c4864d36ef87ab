"""Events, and the endpoints registered for them."""

from typing import Any

from stripe._api_version import _ApiVersion
from stripe.params import (
    EventListParams,
    EventRetrieveParams,
    WebhookEndpointCreateParams,
    WebhookEndpointDeleteParams,
    WebhookEndpointListParams,
    WebhookEndpointRetrieveParams,
    WebhookEndpointUpdateParams,
)

from demo.standins.stripe.objects.errors import invalid_request
from demo.standins.stripe.objects.resources import build, filtered, list_answer, merge_metadata, require, save
from demo.standins.stripe.objects.state import Call, Route, State
from demo.standins.stripe.objects.store import Obj, copied, new_id

API_VERSION = _ApiVersion.CURRENT
TYPES_AT_ONCE = 20  # https://docs.stripe.com/api/events/list
MOST_ENDPOINTS = 16  # of an account: https://github.com/proudcity/wp-proudcity/issues/2862


def emit(state: State, call: Call, event_type: str, obj: Obj, *, previous: Obj | None = None) -> None:
    """Store the event with the object as it is now, and hand it to the listeners."""
    data: dict[str, Any] = {"object": copied(obj)}
    if previous is not None:
        data["previous_attributes"] = copied(previous)
    event = new_event(state, event_type, data)
    event["request"] = {"id": call.request_id, "idempotency_key": call.idempotency_key}
    announce(state, save(state, event))


def new_event(state: State, event_type: str, data: Obj) -> Obj:
    return build(state, "event", new_id("evt"), api_version=API_VERSION, type=event_type, data=data)


def announce(state: State, event: Obj) -> None:
    for listener in state.event_listeners:
        listener(event)


def pending_webhooks(state: State, event_id: str) -> int:
    deliveries = state.store.get("delivery", event_id) or {}
    return sum(delivery["state"] != "delivered" for delivery in deliveries.values())


def as_answer(state: State, event: Obj) -> Obj:
    return {**event, "pending_webhooks": pending_webhooks(state, event["id"])}


def retrieve(state: State, call: Call, event_id: str) -> Obj:
    return as_answer(state, require(state, "event", event_id, name="event"))


def list_all(state: State, call: Call) -> Obj:
    params = call.params
    if "type" in params and "types" in params:
        raise invalid_request("You may pass either `type` or `types`, but not both.", "types")
    if len(params.get("types", [])) > TYPES_AT_ONCE:
        raise invalid_request(f"You may pass at most {TYPES_AT_ONCE} types.", "types")
    types = params.get("types", [params["type"]] if "type" in params else ["*"])
    wanted = params.get("delivery_success")
    rows = (
        event
        for event in filtered(state, call, "event", [])
        if wants(types, event["type"])
        and (wanted is None or wanted == (pending_webhooks(state, event["id"]) == 0))
    )
    answer = list_answer(call, "/v1/events", rows)
    answer["data"] = [as_answer(state, event) for event in answer["data"]]
    return answer


def wants(patterns: list[str], event_type: str) -> bool:
    return any(
        pattern in ("*", event_type) or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
        for pattern in patterns
    )


def create_endpoint(state: State, call: Call) -> Obj:
    _check_url(call.params)
    if len(state.store.tables["webhook_endpoint"]) >= MOST_ENDPOINTS:
        raise invalid_request(f"You have reached the maximum of {MOST_ENDPOINTS} webhook endpoints.")
    values = {
        "api_version": call.params.get("api_version", API_VERSION),
        "description": call.params.get("description") or None,
        "enabled_events": call.params["enabled_events"],
        "metadata": merge_metadata({}, call.params.get("metadata", {})),
        "url": call.params["url"],
    }
    endpoint = save(state, build(state, "webhook_endpoint", new_id("we"), **values))
    secret = new_id("whsec", 32)
    state.store.put("webhook_secret", endpoint["id"], {"secret": secret})
    return {**endpoint, "secret": secret}


def update_endpoint(state: State, call: Call, endpoint_id: str) -> Obj:
    """The API version of an endpoint stays: https://docs.stripe.com/api/webhook_endpoints/update."""
    endpoint = require(state, "webhook_endpoint", endpoint_id)
    _check_url(call.params)
    params = {name: value for name, value in call.params.items() if name != "expand"}
    if "metadata" in params:
        params["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params.pop("disabled") else "enabled"
    endpoint.update(params)
    return save(state, endpoint)


def _check_url(params: Obj) -> None:
    if not params.get("url", "http://").startswith(("http://", "https://")):
        raise invalid_request("Invalid URL: must start with http:// or https://", "url", "url_invalid")


def retrieve_endpoint(state: State, call: Call, endpoint_id: str) -> Obj:
    return require(state, "webhook_endpoint", endpoint_id)


def list_endpoints(state: State, call: Call) -> Obj:
    return list_answer(call, "/v1/webhook_endpoints", filtered(state, call, "webhook_endpoint", []))


def delete_endpoint(state: State, call: Call, endpoint_id: str) -> Obj:
    require(state, "webhook_endpoint", endpoint_id)
    state.store.delete("webhook_endpoint", endpoint_id)
    state.store.delete("webhook_secret", endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


ROUTES = [
    Route("GET", "/v1/events", EventListParams, list_all),
    Route("GET", "/v1/events/{id}", EventRetrieveParams, retrieve),
    Route("POST", "/v1/webhook_endpoints", WebhookEndpointCreateParams, create_endpoint),
    Route("GET", "/v1/webhook_endpoints", WebhookEndpointListParams, list_endpoints),
    Route("GET", "/v1/webhook_endpoints/{id}", WebhookEndpointRetrieveParams, retrieve_endpoint),
    Route("POST", "/v1/webhook_endpoints/{id}", WebhookEndpointUpdateParams, update_endpoint),
    Route("DELETE", "/v1/webhook_endpoints/{id}", WebhookEndpointDeleteParams, delete_endpoint),
]
