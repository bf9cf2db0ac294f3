"""What all commands share: names that no command has, versions, colours, JSON in the place of tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from refmaker_cli.commands import main

import refmaker

from .conftest import Run


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["scna"], "did you mean 'scan'"),
        (["Verify"], "did you mean 'verify'?"),
        (["xyzzy"], "there are append, batch"),
        (["a\x1bb"], r"'a\x1bb'"),
        (["scan", "--zarr-fromat", "2", "x"], "--zarr-format"),
        (["info", "--jsno", "x"], "--json"),
    ],
)
def test_what_was_meant(run: Run, typed: list[str], said: str) -> None:
    result = run(*typed)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\\\\", "\\")


def test_a_file_in_the_place_of_a_command(run: Run, source: Path) -> None:
    result = run(source)
    assert (result.exit_code, f"refmaker scan {source}" in result.stderr) == (2, True)


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(run: Run, flag: str) -> None:
    assert run(flag).stdout == f"refmaker, version {refmaker.__version__}\n"


PRINTS_A_TABLE = ("check", "info", "limits", "verify")


@pytest.mark.parametrize("name", PRINTS_A_TABLE)
def test_tables_have_json(name: str) -> None:
    assert any("--json" in param.opts for param in main.commands[name].params)


def test_json_is_json(run: Run, source: Path) -> None:
    assert run("scan", source, "-o", "m.json").exit_code == 0
    for arguments in (["info", source], ["info", "m.json"], ["limits"], ["verify", "m.json"]):
        result = run(*arguments, "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)
    assert run("verify", "m.json", "--json", "--report", "r.json").exit_code == 2


def on_a_terminal(arguments: list[str], environment: dict[str, str], folder: Path) -> str:
    """Run a command whose output is a terminal, and return what it wrote there."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    given = {**clean, "TERM": "xterm", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "refmaker_cli", *arguments], stdout=theirs, stderr=theirs, env=given, cwd=folder
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that nobody writes to it any more
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    process.wait()
    return b"".join(parts).decode()


def test_colours(tmp_path: Path, source: Path) -> None:
    shown = on_a_terminal(["info", str(source)], {}, tmp_path)
    assert "\x1b[1mvariable" in shown
    assert "\x1b[31mrefmaker: " in on_a_terminal(["info", "missing.nc"], {}, tmp_path)
    assert "\x1b" not in on_a_terminal(["info", str(source)], {"NO_COLOR": "1"}, tmp_path)
    plain = subprocess.run(
        [sys.executable, "-m", "refmaker_cli", "info", source], capture_output=True, text=True, check=True
    )
    assert "\x1b" not in plain.stdout
