"""Where commands write: directories, the standard output, `~`, urls; what was noted; disks that are full."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import h5py
import pytest

import refmaker

from .conftest import Run, write_source

REFMAKER = [sys.executable, "-m", "refmaker_cli"]


def test_one_file_into_a_directory(run: Run, source: Path) -> None:
    """As for several: the name that ends with a slash is made, one that is there is used."""
    for _ in range(2):
        assert run("scan", source, "-o", "new/").exit_code == 0
    assert os.listdir("new") == ["source.h5.json"]
    assert run("scan", source, "-o", "new").exit_code == 0
    assert run("rewrite", "new/source.h5.json", "--from", source.parent, "--to", "/x", "-o", "moved/").exit_code == 0
    assert os.listdir("moved") == ["source.h5.json"]


def test_a_set_is_no_directory_for_others(run: Run, source: Path) -> None:
    for _ in range(2):
        assert run("scan", source, "-o", "m.parq/").exit_code == 0
    assert os.path.isfile("m.parq/.zmetadata")


@pytest.mark.parametrize("command", ["combine", "convert"])
def test_where_a_directory_has_no_name_for_it(run: Run, source: Path, command: str) -> None:
    run("scan", source, "-o", "m.json")
    result = run(command, "m.json", "-o", "new/")
    assert result.exit_code == 1
    assert "name a file in it" in result.stderr


def test_reports_on_the_standard_output(run: Run, source: Path) -> None:
    run("scan", source, "-o", "m.json")
    commands = [
        ["scan", source, "-o", "m.json", "--report", "-"],
        ["combine", "m.json", "-o", "c.json", "--report", "-"],
        ["verify", "m.json", "--report", "-"],
        ["batch", source, "--out", "out", "--report", "-"],
        ["check", "out", "--report", "-"],
    ]
    for command in commands:
        result = run(*command)
        assert result.exit_code == 0, result.stderr
        assert isinstance(json.loads(result.stdout), dict)
    assert run("batch", source, "--out", "out", "--junit", "-").stdout.startswith("<?xml")
    assert not os.path.exists("-")


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "SOURCE", "-o", "-", "--report", "-"],
        ["batch", "SOURCE", "--out", "out", "--report", "-", "--junit", "-"],
        ["batch", "SOURCE", "--out", "out", "--report", "-", "--log-json"],
        ["batch", "SOURCE", "--out", "-"],
        ["batch", "SOURCE", "--out", "out", "--ledger", "-"],
        ["scan", "SOURCE", "-o", ""],
    ],
)
def test_only_one_thing_goes_there(run: Run, source: Path, arguments: list[str]) -> None:
    assert run(*(str(source) if one == "SOURCE" else one for one in arguments)).exit_code == 2
    assert os.listdir() == []


def test_home(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("scan", "~/source.h5", "-o", "~/m.json", "--report", "~/r.json").exit_code == 0
    assert run("verify", "~/m.json", "--report", f"file://{tmp_path}/v.json").exit_code == 0
    assert run("batch", "~/source.h5", "--out", "~/out", "--ledger", "~/l.sqlite").exit_code == 0
    assert {"m.json", "r.json", "v.json", "out", "l.sqlite"} <= set(os.listdir(tmp_path))
    assert not os.path.exists("~")


@pytest.fixture
def store() -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    yield memory
    memory.rm("/cli", recursive=True) if memory.exists("/cli") else None


def test_every_command_writes_to_urls(run: Run, source: Path, store: Any) -> None:
    commands = [
        ["scan", source, "-o", "memory://cli/m.json", "--report", "memory://cli/scan.json"],
        ["convert", "memory://cli/m.json", "-o", "memory://cli/m.parq"],
        ["combine", "memory://cli/m.json", "-o", "memory://cli/c.json", "--report", "memory://cli/combine.json"],
        ["rewrite", "memory://cli/m.json", "--from", source.parent, "--to", "/x", "-o", "memory://cli/x.json"],
        ["batch", source, "--out", "out", "--report", "memory://cli/b.json", "--junit", "memory://cli/b.xml"],
        ["check", "out", "--report", "memory://cli/check.json"],
    ]
    for command in commands:
        assert run(*command).exit_code == 0, command
    with fsspec.open("memory://cli/x.json") as file:
        assert json.load(file)["refmaker"]["targets"][0]["url"] == "/x/source.h5"
    for name in ("scan", "combine", "b", "check"):
        assert isinstance(json.loads(store.cat_file(f"/cli/{name}.json")), dict)
    assert {"/cli/m.parq/.zmetadata", "/cli/b.xml"} <= set(store.find("/cli"))
    assert not [path for path in store.find("/cli") if "lock" in path]
    assert refmaker.open_manifest("memory://cli/m.parq").arrays.keys() == refmaker.scan(source).arrays.keys()


def test_in_place_in_a_store(run: Run, source: Path, store: Any) -> None:
    run("scan", source, "-o", "memory://cli/m.json")
    assert run("rewrite", "memory://cli/m.json", "--from", source.parent, "--to", "s3://b").exit_code == 0
    assert refmaker.open_manifest("memory://cli/m.json").targets[0].url == "s3://b/source.h5"


def test_urls_that_cannot_be_written(run: Run, source: Path) -> None:
    for url, why in (("https://example.org/m.json", "HTTP servers take no files"), ("ftp://me:pw@h/m.json", "login")):
        result = run("scan", source, "-o", url)
        assert result.exit_code == 1
        assert why in result.stderr
        assert "pw@" not in result.stderr
    assert run("batch", source, "--out", "out", "--ledger", "s3://b/l.sqlite").exit_code == 2
    assert os.listdir() == []


def test_notes_are_counted(run: Run, tmp_path: Path) -> None:
    path = write_source(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        for name in ("chunked", "contiguous"):
            file[name].attrs["least_significant_digit"] = 3
            file[name].make_scale(name)
    scanned = run("scan", path, "-o", "m.json").stderr
    assert "2 notes: /chunked: " in scanned
    assert "and 1 more; --report FILE writes all of them" in scanned
    assert "2 notes" in run("batch", path, "--out", "out", "--report", "r.json").stderr
    assert len(json.loads(Path("r.json").read_text())["sources"][0]["notes"]) == 2
    assert "notes:\n/chunked: " in run("info", path).stdout
    assert len(json.loads(run("info", path, "--json").stdout)["notes"]) == 2


def test_nothing_matches(run: Run, source: Path) -> None:
    result = run("scan", source, "--include", "/none", "-o", "m.json")
    assert "nothing matches /none" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "scan SOURCE -o m.json",
        "scan SOURCE -o m.parq",
        "scan SOURCE -o m.json.gz",
        "scan SOURCE -o /dev/full",
        "scan SOURCE -o made.json --report r.json",
        "scan SOURCE -o made.json --report /dev/full",
        "combine SOURCE -o m.json",
        "combine SOURCE -o m.parq",
        "convert old.json -o m.json",
        "rewrite old.json --from /tmp --to /x -o m.json",
        "append old.json SOURCE --report r.json",
        "batch SOURCE --out out",
        "batch SOURCE --out out --report r.json",
        "check there --report r.json",
        "verify old.json --report r.json",
    ],
)
def test_full_disk(run: Run, source: Path, arguments: str) -> None:
    """One line, status 1, nothing half-written."""
    run("scan", source, "-o", "old.json")
    run("batch", source, "--out", "there", "-q")
    before = {path: path.stat().st_size for path in Path().rglob("*") if path.is_file()}
    command = [str(source) if one == "SOURCE" else one for one in arguments.split()]
    limit = None if "/dev/full" in command else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
    done = subprocess.run([*REFMAKER, *command], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("refmaker: ")
    after = {path: path.stat().st_size for path in Path().rglob("*") if path.is_file() and path.parts[0] != "out"}
    after.pop(Path("made.json"), None)
    assert after == before
