"""However a process ends, nothing is left behind for the interpreter to complain about.

Children run with `-X dev -W error`: tasks that are destroyed while they wait, errors of futures that nobody looked at
and sessions that nobody closed are written to stderr by asyncio and aiohttp, whatever the exit status is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone  # its times, or its moments, are those of an idle machine

COMPLAINTS = (
    "never retrieved",
    "was destroyed",
    "nclosed",
    "ResourceWarning",
    "Exception ignored",
    "never awaited",
    "Non-thread-safe",
)

SERVER = """
import asyncio, os, socket, sys, threading, time

DATA = bytes(range(256)) * 16


def answer(connection, hang):
    try:
        while True:
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                more = connection.recv(65536)
                if not more:
                    connection.close()
                    return
                head += more
            line = next((l for l in head.split(b"\\r\\n") if l.lower().startswith(b"range:")), b"range: bytes=0-4095")
            first, last = map(int, line.split(b"=")[1].split(b"-"))
            last = min(last, len(DATA) - 1)
            if hang == "all" or (hang and last >= 1024):
                time.sleep(600)
            body = DATA[first : last + 1]
            connection.sendall(
                b"HTTP/1.1 206 Partial Content\\r\\nContent-Range: bytes %d-%d/%d\\r\\nContent-Length: %d\\r\\n"
                b"ETag: \\"a\\"\\r\\n\\r\\n" % (first, last, len(DATA), len(body)) + body
            )
    except OSError:
        pass
    finally:
        connection.close()  # also where the reader was reset: a warning would be taken for one of ours


def serve(hang=False):
    def accept():
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=answer, args=(connection, hang), daemon=True).start()

    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/x"


def document(url):
    import json

    array = {"zarr_format": 2, "shape": [4096], "chunks": [16], "dtype": "|u1", "compressor": None, "filters": None}
    array |= {"fill_value": 0, "order": "C"}
    chunks = {f"a/{i}": [url, 16 * i, 16] for i in range(256)}
    return {"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', "a/.zarray": json.dumps(array), **chunks}}


import refmaker
"""

ENDINGS = {
    "synchronous": """
fs = refmaker.FileSystem(document(serve()))
assert fs.cat("a/3") == DATA[48:64]
""",
    "sequential, read ahead": """
fs = refmaker.FileSystem(document(serve()))
assert b"".join(fs.cat(f"a/{i}") for i in range(40)) == DATA[: 40 * 16]
""",
    "own loop": """
async def main():
    fs = refmaker.FileSystem(document(serve()), asynchronous=True)
    return await fs._cat_file("a/3")

for _ in range(3):
    assert asyncio.run(main()) == DATA[48:64]
""",
    "timeout": """
fs = refmaker.FileSystem(document(serve(hang=True)), timeout=0.5, attempts=2)
try:
    fs.cat([f"a/{i}" for i in range(60, 200)])
except refmaker.SourceError:
    pass
else:
    raise SystemExit("no error")
""",
    "timeout in an own loop": """
async def main():
    fs = refmaker.FileSystem(document(serve(hang=True)), timeout=0.5, attempts=1, asynchronous=True)
    try:
        await fs._cat([f"a/{i}" for i in range(60, 200)])
    except refmaker.SourceError:
        return
    raise SystemExit("no error")

asyncio.run(main())
""",
    "cancelled": """
async def main():
    fs = refmaker.FileSystem(document(serve(hang=True)), asynchronous=True)
    tasks = [asyncio.create_task(fs._cat_file(f"a/{i}")) for i in range(60, 200)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

asyncio.run(main())
""",
    "exit while a thread reads": """
fs = refmaker.FileSystem(document(serve(hang=True)))
threading.Thread(target=lambda: fs.cat("a/100"), daemon=True).start()
time.sleep(0.7)
""",
    "fork": """
fs = refmaker.FileSystem(document(serve()))
assert fs.cat("a/3") == DATA[48:64]
for _ in range(2):
    child = os.fork()
    if child == 0:
        assert fs.cat("a/4") == DATA[64:80]
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert fs.cat("a/5") == DATA[80:96]  # the child has not touched the connections
""",
    "fork without a read in the child": """
fs = refmaker.FileSystem(document(serve()))
assert fs.cat("a/3") == DATA[48:64]
child = os.fork()
if child == 0:
    del fs
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert fs.cat("a/5") == DATA[80:96]
""",
    "scan": """
try:
    refmaker.scan(serve())
except refmaker.FormatError:
    pass
""",
}


def run(code: str, tmp_path: Path, *, interrupt: bool = False) -> tuple[int, str]:
    script = tmp_path / "child.py"
    script.write_text(SERVER + code)
    environment = {**os.environ, "REFMAKER_CACHE_DIR": "", "PYTHONPATH": os.getcwd()}
    # Imports of others warn for reasons of their own; what is looked for is written without -W too.
    options = ["-X", "dev", "-W", "error::ResourceWarning", "-W", "error::RuntimeWarning"]
    child = subprocess.Popen(
        [sys.executable, *options, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    try:
        if interrupt:
            assert child.stdout is not None
            assert child.stdout.readline() == "reading\n"
            time.sleep(0.5)
            child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    finally:
        child.kill()
        child.communicate()
    return child.returncode, stderr


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left_behind(ending: str, tmp_path: Path) -> None:
    status, stderr = run(ENDINGS[ending], tmp_path)
    assert status == 0, stderr
    assert not [line for line in stderr.splitlines() if any(word in line for word in COMPLAINTS)], stderr


@pytest.mark.parametrize("reading", [
    "refmaker.FileSystem(document(serve(hang=True))).cat([f'a/{i}' for i in range(60, 200)])",
    "refmaker.scan(serve(hang='all'))",
    "asyncio.run(refmaker.FileSystem(document(serve(hang=True)), asynchronous=True)._cat(['a/100', 'a/200']))",
])  # fmt: skip
def test_ctrl_c(reading: str, tmp_path: Path) -> None:
    code = f"import fsspec.implementations.http, aiohttp\nprint('reading', flush=True)\n{reading}\n"
    status, stderr = run(code, tmp_path, interrupt=True)
    assert status != 0
    assert stderr.rstrip().endswith("KeyboardInterrupt"), stderr
    assert not [line for line in stderr.splitlines() if any(word in line for word in COMPLAINTS)], stderr
