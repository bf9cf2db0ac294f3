"""The process that serves: started as users start it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from refmaker.errors import SourceError
from refmaker.serve.run import bind


def test_a_port_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as held, pytest.raises(SourceError, match="cannot listen here"):
        bind("127.0.0.1", held.getsockname()[1])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_from_the_command_line_until_a_signal(air: Path, workers: str) -> None:
    command = [sys.executable, "-m", "refmaker_cli", "serve", f"a={air}", "--port", "0", "--workers", workers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            url = re.search(r"http://[0-9.]+:\d+/", line)
            assert url is not None, line + process.stderr.read()
            with urllib.request.urlopen(f"{url[0]}a/t/.zarray", timeout=60) as answer:
                assert json.load(answer)["shape"] == [7, 5]
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[0])["path"] == "/a/t/.zarray"
    assert "Traceback" not in err
