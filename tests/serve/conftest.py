"""Applications asked without a network, and servers of them on loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fsspec.asyn import get_loop

import refmaker
import refmaker.serve
from tests.servers import range_server

__all__ = ["range_server"]

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

VALUES = np.arange(7 * 5, dtype="f4").reshape(7, 5)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True


@dataclass
class Client:
    """Asks an ASGI application, in the event loop of fsspec: connections stay open between requests."""

    app: Any

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return asyncio.run_coroutine_threadsafe(self.ask(path, method, **headers), get_loop()).result(60)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        sent: list[Any] = []
        waiting = asyncio.Event()

        async def receive() -> Any:
            await waiting.wait()

        async def send(message: Any) -> None:
            sent.append(message)

        path, _, query = path.partition("?")
        names = {"host": "127.0.0.1:8000", **{k.replace("_", "-"): v for k, v in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in names.items()],
        }
        await self.app(scope, receive, send)
        start, *bodies = sent
        body = b"".join(one.get("body", b"") for one in bodies)
        found = {k.decode(): v.decode() for k, v in start["headers"]}
        return Answer(start["status"], found, body, bool(bodies) and not bodies[-1].get("more_body"))


@pytest.fixture
def clients() -> Any:
    def client(*sources: Any, **options: Any) -> Client:
        return Client(refmaker.serve.app(*map(str, sources), **options))

    return client


@pytest.fixture
def air(tmp_path: Path) -> Path:
    """Return the manifest of a file with a compressed, a sparse, a contiguous and a refused dataset."""
    write_air(tmp_path / "air.h5")
    made = replace(refmaker.scan(tmp_path / "air.h5"), refusals={"/refused": "no Zarr has this"})
    refmaker.write_manifest(made, tmp_path / "air.json")
    return tmp_path / "air.json"


def write_air(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=VALUES, chunks=(2, 5), compression="gzip", shuffle=True)
        sparse = file.create_dataset("sparse", (60_000,), "i4", chunks=(20_000,), fillvalue=-1)
        sparse[20_000:40_000] = np.arange(20_000)
        file.create_dataset("group/plain", data=np.arange(50_000, dtype=">f8"))
        file["group/one"] = 3.5
        file.attrs["title"] = "air"


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application by uvicorn in a thread; give its url without a slash at the end."""
    import uvicorn

    from refmaker.serve.run import bind

    listening = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
