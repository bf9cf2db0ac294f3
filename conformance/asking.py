"""Ask a reader: a process that takes a line of JSON for each case and answers with one.

The first line that it writes names it and its versions. One that ends or does not answer is started again, and the case
it was asked has crashed it.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

LONGEST = 30.0
"""Seconds for an answer; the slowest that come take a few."""


class Reader:
    """A reader in a process of its own.

    Parameters
    ----------
    command
        What starts it.
    log
        Where its stderr goes.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.command = command
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.name = ""
        self._rest = b""

    def start(self) -> str:
        """Start it; return its versions, or "" where it cannot be started: what it needs is not there."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._rest = b""
        answer = self._line(4 * LONGEST)
        self.name = "" if answer is None else json.loads(answer)["reader"]
        return self.name

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer, None for a crash."""
        if self.process is None:
            self.start()
        stdin = self._pipe("stdin")
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return self._crashed()
        line = self._line(LONGEST)
        return self._crashed() if line is None else json.loads(line)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _crashed(self) -> None:
        self.stop()

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] = getattr(self.process, name)
        return pipe

    def _line(self, longest: float) -> bytes | None:
        stdout = self._pipe("stdout")
        stop = time.monotonic() + longest
        while b"\n" not in self._rest:
            left = stop - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                return None
            more = stdout.read1(1 << 20)  # type: ignore[attr-defined]
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def command_of(script: Path, python: str = sys.executable, node_modules: Path | None = None) -> list[str]:
    """Return what starts a reader: Python, or node with the packages in a folder."""
    if script.suffix != ".mjs":
        return [python, "-W", "ignore", str(script)]
    if node_modules is None:
        raise FileNotFoundError("zarrita needs --node-modules: a folder with zarrita installed by npm")
    beside = node_modules.resolve().parent / script.name  # modules are looked for beside the script
    beside.write_bytes(script.read_bytes())
    return ["node", str(beside)]
