"""Processes that this one starts to work for it, each with a connection to it.

Contract: a process is started anew rather than forked (libraries hold threads and locks), runs `main` of a module with
the descriptor of its end of a pair of sockets, and does not import the caller's main module. It is not in the group
that Ctrl-C at a terminal reaches. Where descriptors cannot be inherited (Windows), the socket is shared with the
process, which is told how through its standard input (WSADuplicateSocket).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["received", "start"]

_INHERITS: Final = sys.platform != "win32"


def start(
    module: str, *, quiet: bool = False, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process; return it and this end of the connection.

    Parameters
    ----------
    module
        Its `main` is called with a descriptor.
    quiet
        What the process prints is dropped.
    environment
        Variables beside those of this process.

    Raises
    ------
    OSError
        It cannot be started.
    """
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    output = subprocess.DEVNULL if quiet else None
    given: dict[str, Any] = {
        "stdout": output,
        "stderr": output,
        "env": {**os.environ, **(environment or {}), "PYTHONPATH": path},
    }
    try:
        return (_inheriting if _INHERITS else _sharing)(module, theirs, given), ours
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()


def received() -> int:
    """Return the descriptor of the socket that is shared with this process, as `_sharing` says."""
    library: Any = socket
    descriptor: int = library.fromshare(sys.stdin.buffer.read()).detach()
    return descriptor


def _inheriting(module: str, theirs: socket.socket, given: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a process that inherits the socket."""
    return subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; main({theirs.fileno()})"],
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
        **given,
    )


def _sharing(module: str, theirs: Any, given: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a process that the socket is shared with: how can only be told when its number is known."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from refmaker.processes import received; from {module} import main; main(received())"],
        stdin=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        **given,
    )
    try:
        if process.stdin is not None:
            with process.stdin as stdin:
                stdin.write(theirs.share(process.pid))
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process
