"""A server that says what a test wants, byte by byte, for as long as the other side listens."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def served(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Have every connection answered by a function; give the url, and the heads of requests as they come."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0.2)
            while not ended.is_set():
                head = b""
                while b"\r\n\r\n" not in head:
                    try:
                        part = connection.recv(65536)
                    except TimeoutError:
                        if ended.is_set():
                            return
                        continue
                    if not part:
                        return
                    head += part
                requests.append(head)
                connection.settimeout(5.0)
                answer(connection, head)
                return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x.nc", requests
    finally:
        ended.set()
        listener.close()


def endless(head: bytes, piece: bytes, *, pause: float = 0.0) -> Answer:
    """Answer with a head, and then with the same piece again and again."""
    gone = threading.Event()

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head)
        while not gone.wait(pause):
            connection.sendall(piece)

    return answer


def chunked(data: bytes) -> bytes:
    """Write a chunk of the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
