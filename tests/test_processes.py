"""Processes and their connections: by descriptors that are inherited, or sockets that are shared (Windows)."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

import pytest

from refmaker import processes
from refmaker.engines.worker import READY
from refmaker.processes import received, start


def test_a_process_answers() -> None:
    process, ours = start("refmaker.engines.worker")
    connection: Connection[Any, Any] = Connection(ours.detach())
    try:
        assert connection.recv() == READY
        connection.send((7, str.upper, "a"))
        assert connection.recv()[:2] == (7, "A")
    finally:
        connection.close()
    assert process.wait(20) == 0


class Started:
    """What `subprocess.Popen` is asked for."""

    pid = 4321

    def __init__(self, command: list[str], **given: Any) -> None:
        self.command, self.given = command, given
        self.said = b""
        self.ended = False
        owner = self

        class Input(io.BytesIO):
            def close(self) -> None:
                owner.said = self.getvalue()
                super().close()

        self.stdin = Input()

    def kill(self) -> None:
        self.ended = True

    def wait(self) -> int:
        return 1


class Pair:
    """A socket as Windows has it."""

    closed = False

    def share(self, pid: int) -> bytes:
        return b"for %d" % pid

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> tuple[Pair, Pair]:
    pair = Pair(), Pair()
    monkeypatch.setattr(processes, "_INHERITS", False)
    monkeypatch.setattr(socket, "socketpair", lambda: pair)
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    return pair


def test_a_socket_is_shared_where_descriptors_cannot_be_inherited(windows: tuple[Pair, Pair]) -> None:
    process: Any
    process, ours = start("refmaker.engines.worker", quiet=True, environment={"A": "1"})
    assert ours is windows[0]
    assert not {"pass_fds", "start_new_session"} & set(process.given)
    assert process.given["creationflags"] == 0x200, "Ctrl-C is for who started it"
    assert process.given["env"]["A"] == "1"
    assert process.said == b"for 4321"
    assert process.stdin.closed
    assert "received()" in process.command[2]
    assert (windows[0].closed, windows[1].closed) == (False, True)


def test_what_cannot_be_shared_leaves_no_process(windows: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Started] = []

    def refuse(self: Pair, pid: int) -> bytes:
        raise OSError("no")

    monkeypatch.setattr(Pair, "share", refuse)
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **given: made.append(Started(*args, **given)) or made[-1])
    with pytest.raises(OSError, match="no"):
        start("refmaker.engines.worker")
    assert made[0].ended
    assert windows[0].closed
    assert windows[1].closed


def test_the_process_takes_the_socket_from_its_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"for 4321")))
    monkeypatch.setattr(socket, "fromshare", lambda said: other if said == b"for 4321" else None, raising=False)
    with socket.socket(fileno=received()) as mine, one:
        mine.sendall(b"here")
        assert one.recv(4) == b"here"
