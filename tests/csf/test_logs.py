import json
import logging
import sys

from csf.logs import JsonFormatter


def formatted(message, *args, exc_info=None):
    record = logging.LogRecord("billing", logging.WARNING, "file", 1, message, args, exc_info)
    return JsonFormatter().format(record)


def test_a_record_is_one_json_object_on_one_line():
    line = formatted("event %s failed", 'evt_1\n{"level": "forged"}')

    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["logger"]) == ("WARNING", "billing")
    assert parsed["message"] == 'event evt_1\n{"level": "forged"} failed'


def test_an_exception_comes_along():
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        line = formatted("failed", exc_info=sys.exc_info())

    assert "ZeroDivisionError" in json.loads(line)["exception"]
