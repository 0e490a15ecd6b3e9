"""Servers of a few lines for tests: each connection goes to a function, which answers what it likes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

GOOD = json.dumps(
    {"model": "m", "choices": [{"message": {"content": "Sad."}, "finish_reason": "stop"}], "usage": {}}
).encode()


def answer(body: bytes = GOOD, status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@contextmanager
def server(serve: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, list[int]]]:
    """Gives each connection with its number to `serve`, in a thread; yields (base URL, the connections so far)."""
    came: list[int] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            came.append(len(came) + 1)
            threading.Thread(target=guarded, args=(connection, len(came)), daemon=True).start()

    def guarded(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            serve(connection, number)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", came


def read_request(connection: socket.socket) -> bytes:
    """One whole request; b"" when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1]
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def keep_answering(connection: socket.socket, number: int) -> None:
    while read_request(connection):
        connection.sendall(answer())
