"""Stripe's side: post deliveries from several connections at once, in a process of its own.

`python -m tests.bench.clients HOST PORT PATH THREADS` reads a JSON list of [body, signature] and writes one
of [HTTP status, seconds], with the wall clock of all.
"""

import http.client
import json
import sys
import threading
import time
from queue import Empty, SimpleQueue


def main() -> None:
    host, port, path, threads = sys.argv[1:]
    waiting: SimpleQueue[tuple[str, str]] = SimpleQueue()
    for delivery in json.load(sys.stdin):
        waiting.put(delivery)
    answers: list[tuple[int, float]] = []
    posting = [
        threading.Thread(target=_post_all, args=[f"{host}:{port}", path, waiting, answers])
        for _ in range(int(threads))
    ]
    started = time.monotonic()
    for thread in posting:
        thread.start()
    for thread in posting:
        thread.join()
    json.dump({"seconds": time.monotonic() - started, "answers": answers}, sys.stdout)


def _post_all(
    address: str, path: str, waiting: "SimpleQueue[tuple[str, str]]", answers: list[tuple[int, float]]
) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    while True:
        try:
            body, signature = waiting.get_nowait()
        except Empty:
            connection.close()
            return
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        started = time.monotonic()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, time.monotonic() - started))


if __name__ == "__main__":
    main()
