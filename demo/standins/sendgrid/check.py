"""What `mail/send` refuses: by the JSON schema, and in Python where a schema cannot express it."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

# The rules are those of https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and of
# https://docs.sendgrid.com/api-reference/mail-send/limitations; where they leave a choice, the stand-in
# is the stricter one. Others name their source.
MAX_BYTES = 30_000_000
MAX_ARGUMENT_BYTES = 10_000
SCHEMA = Path(__file__).with_name("data") / "sendgrid_mail_send.schema.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))
ADDRESS = re.compile(r"[!-?A-~]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}")

BREAKING = {";", "\r", "\n"}  # what would end a field of a MIME header
HEADER_NAME = re.compile(r"[!-9;-~]+")

Problem = dict[str, str | None]


def problem(message: str, field: str | None = None) -> Problem:
    return {"message": message, "field": field, "help": None}


def problems(payload: Any) -> list[Problem]:
    """Why SendGrid would answer 400, in its own words where they are known; empty if it would accept."""
    if not isinstance(payload, dict):
        return [problem("Bad Request")]
    return (
        list(_missing(payload))
        or [_from_schema(error) for error in VALIDATOR.iter_errors(payload)]
        or [
            *_recipients(payload),
            *_content(payload),
            *_attachments(payload),
            *_headers(payload),
            *_arguments(payload),
        ]
    )


def _missing(payload: dict[str, Any]) -> Iterator[Problem]:
    if not payload.get("personalizations"):
        words = "The personalizations field is required and must have at least one personalization."
        yield problem(words, "personalizations")
    if not payload.get("from"):
        words = (
            "The from object must be provided for every email send. "
            "It is an object that requires the email parameter, but may also contain a name parameter."
        )
        yield problem(words, "from.email")
    if payload.get("template_id"):
        return
    if not payload.get("subject"):
        words = (
            "The subject is required. You can get around this requirement if you use a template "
            "with a subject defined or if every personalization has a subject defined."
        )
        yield problem(words, "subject")
    if not payload.get("content"):
        words = (
            "Unless a valid template_id is provided, the content parameter is required. "
            "There must be at least one defined content block."
        )
        yield problem(words, "content")


def _from_schema(error: Any) -> Problem:
    return problem(error.message[:300], ".".join(str(part) for part in error.absolute_path) or None)


def _recipients(payload: dict[str, Any]) -> Iterator[Problem]:
    if not ADDRESS.fullmatch(payload["from"]["email"]):
        yield problem("Does not contain a valid address.", "from.email")
    count = sum(len(p.get(kind, ())) for p in payload["personalizations"] for kind in ("to", "cc", "bcc"))
    if count > 1000:
        yield problem("The total number of recipients must be at most 1000.", "personalizations")
    for number, personalization in enumerate(payload["personalizations"]):
        seen = set()
        for kind in ("to", "cc", "bcc"):
            for place, person in enumerate(personalization.get(kind, ())):
                field = f"personalizations.{number}.{kind}.{place}.email"
                address = person["email"].lower()
                if not ADDRESS.fullmatch(address):
                    yield problem("Does not contain a valid address.", field)
                if set(";,\r\n") & set(person.get("name", "")):
                    yield problem(
                        "The name cannot include either the ; or , characters.", f"{field[:-5]}name"
                    )
                if address in seen:
                    words = (
                        "Each email address in the personalization block should be unique "
                        f"between to, cc, and bcc. We found the first duplicate instance of [{address}]."
                    )
                    yield problem(words, field)
                seen.add(address)


def _content(payload: dict[str, Any]) -> Iterator[Problem]:
    rank = {"text/plain": 0, "text/html": 1}
    order = [rank.get(part["type"], 2) for part in payload.get("content", ())]
    if order != sorted(order):
        words = "If present, text/plain must be first, followed by text/html, followed by any other content."
        yield problem(words, "content")
    types = [part["type"] for part in payload.get("content", ())]
    if max(types.count("text/plain"), types.count("text/html")) > 1:
        yield problem("If present, text/plain and text/html may only be provided once.", "content")
    for place, type_ in enumerate(types):
        if BREAKING & set(type_):  # https://github.com/sendgrid/sendgrid-java/issues/552
            words = "The content type cannot contain ';', or CRLF characters."
            yield problem(words, f"content.{place}.type")


def _attachments(payload: dict[str, Any]) -> Iterator[Problem]:
    for place, attachment in enumerate(payload.get("attachments", ())):
        # The words and the field are those of a real answer: https://github.com/sendgrid/sendgrid-php/issues/250
        # (2018) and https://github.com/anymail/django-anymail/issues/492 (2026). Some report that
        # "text/calendar; method=REQUEST" is accepted; the published rule forbids ';', and the stand-in too.
        if BREAKING & set(attachment.get("type", "")):
            words = "The attachment type cannot contain ';', or CRLF characters."
            yield problem(words, f"attachments.{place}.type")
        if not attachment["filename"] or {"\r", "\n"} & set(attachment["filename"]):
            words = "The filename of an attachment must have at least one character and no CRLF characters."
            yield problem(words, f"attachments.{place}.filename")
        if (BREAKING | {" "}) & set(attachment.get("content_id", "")):
            words = "The content ID of your attachment cannot contain ';', spaces, ',', or CRLF characters."
            yield problem(words, f"attachments.{place}.content_id")
        try:
            base64.b64decode(attachment["content"], validate=True)
        except (binascii.Error, ValueError):
            yield problem("The attachment content must be base64 encoded.", f"attachments.{place}.content")


def _headers(payload: dict[str, Any]) -> Iterator[Problem]:
    """SendGrid wants names in ASCII, and each value encoded by the sender."""
    for name, value in payload.get("headers", {}).items():
        if not HEADER_NAME.fullmatch(name) or not value.isascii() or {"\r", "\n"} & set(value):
            yield problem("Headers must be in ASCII and without line breaks.", f"headers.{name}")


def _arguments(payload: dict[str, Any]) -> Iterator[Problem]:
    for personalization in payload["personalizations"]:
        arguments = {**payload.get("custom_args", {}), **personalization.get("custom_args", {})}
        if len(json.dumps(arguments, ensure_ascii=False).encode()) >= MAX_ARGUMENT_BYTES:
            yield problem(
                "The total length of custom arguments must be less than 10000 bytes.", "custom_args"
            )
    if "reply_to" in payload and "reply_to_list" in payload:
        # https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: one or the other
        yield problem("Only one of reply_to and reply_to_list may be used.", "reply_to_list")
    if not all(category.isascii() for category in payload.get("categories", ())):
        # https://www.twilio.com/docs/sendgrid/ui/sending-email/categories
        yield problem("Categories may only have ASCII characters.", "categories")
