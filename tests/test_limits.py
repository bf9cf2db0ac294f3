"""Limits stand in one place, hold, and are changed as they say."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import refmaker
from refmaker import limits
from refmaker.errors import RefmakerError
from refmaker.limits import LIMITS, given_limits
from tests.cli.conftest import Run, run

__all__ = ["run"]

ROOT = Path(__file__).resolve().parent.parent
CONSTANTS = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)}


def test_every_limit_is_used() -> None:
    """A limit that no module takes from here guards nothing."""
    used: set[str] = set()
    for path in (ROOT / "refmaker").rglob("*.py"):
        for found in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name) and found.value.id == "limits":
                used.add(found.attr)
    assert set(CONSTANTS) - used == set()


def test_every_limit_is_in_the_table() -> None:
    assert len(LIMITS) == len(CONSTANTS)
    for limit in LIMITS.values():
        assert limit.value == limit.default > 0
        assert re.fullmatch("[a-z0-9-]+", limit.name)
        assert limit.unit
        assert limit.guards
        assert limit.change


def test_options_that_change_limits_exist() -> None:
    """What the table says of options and keywords is so."""
    main = import_module("refmaker_cli.main").main
    options = {option for command in main.commands.values() for param in command.params for option in param.opts}
    functions = (refmaker.scan_file, refmaker.combine, refmaker.scan_many, refmaker.FileSystem.__init__)
    keywords = {name for function in functions for name in inspect.signature(function).parameters}
    for limit in LIMITS.values():
        for option in re.findall(r"--[a-z-]+", limit.change):
            assert option in options
        for keyword in re.findall(r"([a-z_]+)=", limit.change):
            assert keyword in keywords


def test_the_command(run: Run) -> None:
    shown = run("limits")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) == len(LIMITS) + 1
    found = {limit["name"]: limit for limit in json.loads(run("limits", "--json").output)}
    assert found.keys() == LIMITS.keys()
    assert found["inline"]["value"] == limits.INLINE


def test_what_is_given() -> None:
    assert given_limits("") == {}
    assert given_limits("links=20000, whole-file = 2GiB,x=1KiB,") == {"links": 20000, "whole-file": 2 << 30, "x": 1024}
    for text in ("links", "links=", "links=-1", "links=0", "links=1e9", "links=1GB", "=", "links=" + "9" * 30):
        with pytest.raises(RefmakerError, match="REFMAKER_LIMITS"):
            given_limits(text)


def by_environment(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REFMAKER_LIMITS": text}
    command = [sys.executable, "-m", "refmaker_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_environment_changes_limits() -> None:
    done = by_environment("links=7,manifest-size=1GiB", "limits", "--json")
    found = {limit["name"]: limit for limit in json.loads(done.stdout)}
    assert (found["links"]["value"], found["links"]["default"]) == (7, 10_000)
    assert found["manifest-size"]["value"] == 1 << 30
    assert "7 (changed)" in by_environment("links=7", "limits").stdout
    for text in ("links=many", "link=7", "rank=64"):
        done = by_environment(text, "limits")
        assert done.returncode == 1
        assert done.stderr.startswith("refmaker: REFMAKER_LIMITS: no limit")
        assert "Traceback" not in done.stderr


def test_a_changed_limit_holds(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "m.json.gz"
    path.write_bytes(gzip.compress(b'{"version":1,"refs":{}}' + b" " * 10_000))
    assert by_environment("", "info", str(path)).returncode == 0
    done = by_environment("unpacked=5KiB", "info", str(path))
    assert done.returncode == 0  # small files may unpack to so many times their size
    path.write_bytes(gzip.compress(b'{"version":1,"refs":{}}' + b" " * 1_000_000))
    assert "unpack to too much" in by_environment("unpacked=5KiB", "info", str(path)).stderr
