"""The `refmaker` command itself: help, version, what an import costs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import refmaker

from .conftest import Run

HEAVY = ("aiohttp", "fsspec", "h5py", "kerchunk", "numcodecs", "numpy", "ujson", "xarray", "zarr")


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"refmaker, version {refmaker.__version__}\n"
    assert version("refmaker") == refmaker.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["scan", "--help"], ["info", "--help"]])
def test_help(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_wrong_command(run: Run) -> None:
    assert run("nonsense").exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, refmaker_cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_console_script() -> None:
    script = Path(sysconfig.get_path("scripts"), "refmaker")
    for command in ([script], [sys.executable, "-m", "refmaker_cli"]):
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("Usage: refmaker ")


def test_filesystem_is_registered() -> None:
    (entry,) = entry_points(group="fsspec.specs", name="refmaker")
    assert entry.load() is refmaker.FileSystem


def test_public_names_resolve() -> None:
    for name in refmaker.__all__:
        assert getattr(refmaker, name) is not None
    assert callable(refmaker.scan)
    assert refmaker.scan is import_module("refmaker.scanning.scan").scan
    assert set(refmaker.__all__) <= set(dir(refmaker))


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        refmaker.nonsense  # noqa: B018


def test_terminal_without_unicode(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable, "-m", "refmaker_cli", "info", tmp_path / "é.h5"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert r"\xe9.h5" in done.stderr
    assert done.stderr.count("\n") == 1
