"""A provider of which the test decides every byte, with or without TLS."""

import socket
import threading
from contextlib import closing, contextmanager

from django.core.mail import EmailMultiAlternatives


def a_mail(to="pat@example.org", **changes):
    mail = EmailMultiAlternatives(**{"subject": "Welcome", "body": "Hello", "to": [to]} | changes)
    mail.attach_alternative("<p>Hello</p>", "text/html")
    return mail


@contextmanager
def server(*scripts, tls=None):
    """Runs one script for each connection, in turn; yields its address and the requests it read."""
    seen, stop = [], threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for script in scripts:
            try:
                with closing(listener.accept()[0]) as raw:
                    raw.settimeout(5)
                    script(raw, tls, seen, stop)
            except OSError:  # the client has gone
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        stop.set()
        with socket.socket() as last:  # a script that never got its connection
            last.connect_ex(listener.getsockname())
        listener.close()
        thread.join()


def answering(*answers):
    """Reads a request before each answer; bytes are sent, functions do what they like to the socket."""

    def script(raw, tls, seen, stop):
        connection = tls.wrap_socket(raw, server_side=True) if tls else raw
        for answer in answers:
            if not (request := read_request(connection)):
                return
            seen.append(request)
            if callable(answer):
                answer(connection, stop)
            else:
                connection.sendall(answer)
        if tls:
            connection.close()

    return script


def read_request(connection):
    text = b""
    while b"\r\n\r\n" not in text:
        if not (more := connection.recv(65536)):
            return b""
        text += more
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status, body="", **headers):
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode("latin-1")
