"""What the tests of the SendGrid stand-in share: a client, a mail, and a receiver of events."""

import base64
import copy
import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CAPTURED = json.loads((Path(__file__).parent / "data/sendgrid_mail_send.json").read_text())
HEADERS = {"Authorization": "Bearer SG.test", "Content-Type": "application/json"}


def a_mail(to="pat@example.org", **changes):
    """The body that anymail really posted, for `to`; a change to None removes the field."""
    body = {**copy.deepcopy(CAPTURED), **changes}
    del body["mail_settings"]
    if "personalizations" not in changes:
        body["personalizations"][0]["to"] = [{"email": to, "name": "Pat"}]
    return {name: value for name, value in body.items() if value is not None}


def ask(server, method, path, body=None, headers=HEADERS, timeout=60):
    """One request on a connection of its own: status, headers, raw body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        raw = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        connection.request(method, path, raw, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def send(server, body, **options):
    """Post a mail: status, headers, and the JSON if the answer is that."""
    status, headers, raw = ask(server, "POST", "/v3/mail/send", body, **options)
    is_json = headers.get_content_type() == "application/json"
    return status, headers, json.loads(raw) if is_json else None


class EventReceiver:
    """Takes signed events on loopback. `answers` are its statuses for the next posts, then 200."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.posts = []
        self.public_key = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((self.headers, raw, time.time()))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/anymail/sendgrid/tracking/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self):
        return [event for _, raw, _ in self.posts for event in json.loads(raw)]

    def names(self):
        return [event["event"] for event in self.events()]


def is_signed(public_key, headers, raw):
    key = serialization.load_der_public_key(base64.b64decode(public_key))
    signature = base64.b64decode(headers["X-Twilio-Email-Event-Webhook-Signature"])
    timestamp = headers["X-Twilio-Email-Event-Webhook-Timestamp"].encode()
    try:
        key.verify(signature, timestamp + raw, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
