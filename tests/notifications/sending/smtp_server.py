"""A mail server on this machine that does as it is told: accepts emails, refuses them or breaks the
connection."""

import email
import socketserver
import threading
from contextlib import contextmanager
from email import policy

GREETING = {"EHLO": b"250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME", "HELO": b"250 here"}


class SmtpServer(socketserver.ThreadingTCPServer):
    """`says` maps a command, or TEXT for the end of an email, to its answer; b"" is to close the connection
    without one, None to stay silent. `texts` counts the emails that came, `taken` has those it accepted."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, tls=None, **says):
        self.tls = tls
        self.says = {
            "CONNECT": b"220 here",
            "STARTTLS": b"220 go on",
            "AUTH": b"235 welcome",
            "MAIL": b"250 ok",
            "RCPT": b"250 ok",
            "DATA": b"354 go on",
            "TEXT": b"250 2.0.0 queued as 4F2B",
            "RSET": b"250 ok",
            "QUIT": b"221 bye",
            **GREETING,
        } | says
        self.taken, self.commands, self.connections, self.texts = [], [], 0, 0
        self.lock, self.stopped = threading.Lock(), threading.Event()
        super().__init__(("127.0.0.1", 0), Conversation)

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        pass  # clients that hang up


class Conversation(socketserver.StreamRequestHandler):
    timeout = 5

    def handle(self):
        with self.server.lock:
            self.server.connections += 1
        if not self.answer("CONNECT"):
            return
        while line := self.rfile.readline():
            command = line.split(maxsplit=1)[0].decode().upper()
            with self.server.lock:
                self.server.commands.append(line.decode().strip())
            if not self.answer(command) or command == "QUIT":
                return
            if command == "STARTTLS":
                self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            if command == "DATA" and self.server.says["DATA"].startswith(b"354") and not self.text():
                return

    def text(self):
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        self.server.texts += 1
        if self.server.says["TEXT"] is not None and self.server.says["TEXT"][:1] in {b"2", b""}:
            with self.server.lock:
                self.server.taken.append(email.message_from_bytes(b"".join(lines), policy=policy.default))
        return self.answer("TEXT")

    def answer(self, command):
        said = self.server.says.get(command, b"500 what?")
        if said is None:
            self.server.stopped.wait(5)
        if said:
            self.wfile.write(said + b"\r\n")
        return bool(said)

    def finish(self):
        super().finish()
        self.connection.close()


@contextmanager
def smtp_server(tls=None, **says):
    with SmtpServer(tls, **says) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.stopped.set()
        server.shutdown()
        thread.join()
