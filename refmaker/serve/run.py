"""The server process: uvicorn with what a server of data needs.

Contract: the socket is bound before anything is served, so that a port that is taken is an error at once; a signal ends
the server after the answers that are under way, within `GRACE` seconds. Several workers share the socket.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from refmaker.errors import SourceError
from refmaker.extras import install_command

__all__ = ["GRACE", "ServerOptions", "bind", "run", "worker"]

GRACE = 30
"""Seconds that answers have to end when the server stops."""

_ENVIRONMENT = "REFMAKER_SERVE_OPTIONS"

CONNECTIONS = 8192
"""Connections at a time, of each worker; what is beyond gets 503."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server runs: what `app` is called with, and what concerns the process.

    Attributes
    ----------
    sources, options
        Of `refmaker.serve.app`.
    workers
        Processes that answer.
    access_log
        Whether a line of JSON is written to stdout for each answer.
    """

    sources: tuple[str, ...]
    options: Mapping[str, Any] = field(repr=False)
    workers: int = 1
    access_log: bool = True


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `SourceError` where the address cannot be taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        raise SourceError(
            f"cannot listen here: {error.strerror}; choose another --host or --port", source=f"{host}:{port}"
        ) from error
    made.set_inheritable(True)
    return made


def run(options: ServerOptions, listening: socket.socket) -> None:
    """Serve until a signal ends it.

    Raises
    ------
    SourceError
        uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise SourceError(f"serving needs uvicorn and starlette: {install_command('serve')}") from error
    common: dict[str, Any] = {
        "factory": True,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "limit_concurrency": CONNECTIONS,
        "timeout_graceful_shutdown": GRACE,
        "ws": "none",
    }
    if options.workers == 1:
        uvicorn.Server(uvicorn.Config(partial(_made, options), **common)).run(sockets=[listening])
        return
    os.environ[_ENVIRONMENT] = json.dumps(asdict(options))  # workers are processes of their own, which read it
    uvicorn.run(f"{__name__}:worker", workers=options.workers, fd=listening.fileno(), **common)


def worker() -> Callable[..., Any]:
    """Make the application in one of several processes, as the one that started them says."""
    return _made(ServerOptions(**json.loads(os.environ[_ENVIRONMENT])))


def _made(options: ServerOptions) -> Callable[..., Any]:
    """Make the application in the process that answers."""
    from refmaker.serve.application import app

    if options.access_log:
        log = logging.getLogger("refmaker.serve.access")
        log.setLevel(logging.INFO)
        log.propagate = False
        log.addHandler(logging.StreamHandler(sys.stdout))
    made: Callable[..., Any] = app(*options.sources, **options.options)
    return made
