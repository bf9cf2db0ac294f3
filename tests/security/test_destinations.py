"""Places that results are written to, which others may have prepared: output directories, ledgers, caches."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker.atomic import atomic_write
from refmaker.batch.ledger import _SCHEMA, Ledger, Row
from refmaker.errors import BatchError, OutputError
from refmaker.kerchunk.cache import cache_folder
from refmaker.manifest.manifest import Target
from tests.cli.conftest import Run, run
from tests.security.bounds import bounded

__all__ = ["run"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.h5", "deep/b.h5"):
        with h5py.File(folder / name, "w") as file:
            file["x"] = np.arange(3)
    return folder


def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    return folder


# Links.


def test_links_in_the_output_directory(archive: Path, tmp_path: Path, run: Run) -> None:
    """Directories and files in it that are links out of it: failures of those sources, nothing else."""
    kept, out = outside(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "deep").symlink_to(kept)
    (out / "a.h5.json").symlink_to(kept / "kept")
    result = run("batch", archive, "-o", out, "--report", tmp_path / "r.json", "-q")
    assert result.exit_code == 1
    rows = json.loads((tmp_path / "r.json").read_text())["sources"]
    assert all("a link leads out of the output directory" in row["error"]["message"] for row in rows)
    assert [(p.name, p.read_text()) for p in kept.iterdir()] == [("kept", "kept")]


@pytest.mark.parametrize("name", ["refmaker.sqlite", "refmaker.sqlite.lock"])
def test_a_ledger_that_is_a_link(archive: Path, tmp_path: Path, run: Run, name: str) -> None:
    """A database or a file elsewhere is not written to in its place."""
    kept, out = outside(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(kept / "kept")
    result = run("batch", archive, "-o", out, "-q")
    assert result.exit_code == 1
    assert (kept / "kept").read_text() == "kept"
    (out / name).unlink()
    (out / name).symlink_to(kept / "new")
    assert run("batch", archive, "-o", out, "-q").exit_code == 1
    assert not (kept / "new").exists()


def test_a_file_that_is_written_is_no_link_of_somebody_else(tmp_path: Path) -> None:
    """The file that a manifest is written to first has a name that nobody can foresee, and is made anew."""
    folder = tmp_path / "out"
    folder.mkdir()
    with atomic_write(folder / "m.json") as file:
        (temporary,) = folder.iterdir()
        file.write(b"{}")
        assert len(temporary.name) > 20
        assert not temporary.is_symlink()
    flags: list[int] = []
    opened = os.open

    def watched(path: str, flag: int, *args: int) -> int:
        flags.append(flag)
        return opened(path, flag, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watched)
        with atomic_write(folder / "n.json") as file:
            file.write(b"{}")
    assert flags[0] & os.O_EXCL


# Ledgers.


def row(**changes: object) -> Row:
    made = Row(Target("/a.h5", 1, None, 1.0), "a.h5.json", "done")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def changed_ledger(tmp_path: Path, *statements: str) -> str:
    path = str(tmp_path / "ledger.sqlite")
    with Ledger(path) as ledger:
        ledger.begin_run("r", began=0.0, version="1", arguments={"roots": ["/a"], "pattern": None})
        ledger.add([row(targets=(Target("/t", 1, None, None),))])
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW v AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
        "CREATE TRIGGER t AFTER INSERT ON source BEGIN DELETE FROM source; END",
        "CREATE TABLE other (x)",
        "CREATE INDEX i ON source (output)",
        "ALTER TABLE source ADD COLUMN more TEXT",
        "ALTER TABLE source RENAME TO kept",
    ],
)
def test_ledgers_with_another_schema(tmp_path: Path, statement: str) -> None:
    path = changed_ledger(tmp_path, statement)
    for read_only in (True, False):
        with bounded(), pytest.raises(BatchError, match="it holds something else"):
            Ledger(path, read_only=read_only)


def test_a_view_in_the_place_of_a_table(tmp_path: Path) -> None:
    """Reading its rows would never end."""
    path = str(tmp_path / "ledger.sqlite")
    connection = sqlite3.connect(path)
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('format', '1')")
    connection.execute("DROP TABLE source")
    rows = "WITH RECURSIVE c(url) AS (SELECT 'a' UNION ALL SELECT url || 'a' FROM c) SELECT url FROM c"
    connection.execute(f"CREATE VIEW source AS {rows}")
    connection.commit()
    connection.close()
    with bounded(), pytest.raises(BatchError, match="it holds something else"):
        Ledger(path, read_only=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE source SET output = '../../outside'",
        "UPDATE source SET output = '/etc/passwd'",
        "UPDATE source SET output = ''",
        "UPDATE source SET output = x'ff'",
        "UPDATE source SET status = 'wonderful'",
        "UPDATE source SET mapped = 'many'",
        "UPDATE source SET mapped = -1",
        "UPDATE source SET refusals = '[' || replace(hex(zeroblob(100000)), '00', '[')",
        "UPDATE source SET refusals = 'x'",
        "UPDATE source SET refusals = 7",
        "UPDATE source SET size = 'x'",
        "UPDATE target SET mtime = 'x'",
        "UPDATE run SET arguments = '{}'",
        "UPDATE run SET arguments = '[]'",
        "UPDATE run SET arguments = '{\"roots\": [7]}'",
        'UPDATE run SET arguments = \'{"roots": [], "pattern": {}}\'',
    ],
)
def test_rows_that_nobody_wrote(tmp_path: Path, statement: str) -> None:
    path = changed_ledger(tmp_path, statement)
    with Ledger(path, read_only=True) as ledger, bounded(), pytest.raises(BatchError, match="cannot be read"):  # noqa: PT012
        ledger.rows()
        ledger.runs()


def test_pruning_removes_manifests_only(archive: Path, tmp_path: Path, run: Run) -> None:
    """Whatever a ledger from elsewhere says was written, nothing outside of the output directory is removed."""
    kept, out = outside(tmp_path), tmp_path / "out"
    assert run("batch", archive, "-o", out, "-q").exit_code == 0
    (out / "linked").symlink_to(kept)
    for output in ("../outside/kept", str(kept / "kept"), "linked/kept", "linked"):
        connection = sqlite3.connect(out / "refmaker.sqlite")
        url = str(archive / "gone.h5")
        connection.execute(
            "INSERT OR REPLACE INTO source (url, output, status, refusals) VALUES (?, ?, 'done', '{}')", (url, output)
        )
        connection.commit()
        connection.close()
        assert run("batch", archive, "-o", out, "--prune", "-q").exit_code == 1
        assert (kept / "kept").read_text() == "kept"
        assert (out / "linked").is_symlink()


# What is read by people and programs.


def test_names_in_reports(tmp_path: Path, run: Run) -> None:
    """Control characters and worse in names of files: escaped on the terminal, and where XML has no place for them."""
    folder = tmp_path / "archive"
    folder.mkdir()
    names = ["a\x1b[2J.h5", "b\n<x>&'\".h5", "c\u202e.h5", "d\x01]]>.h5"]
    for name in names:
        (folder / name).write_bytes(b"no HDF5 \x1b[31m\x00")
    reports = ["--report", tmp_path / "r.json", "--junit", tmp_path / "j.xml"]
    for arguments in ([], ["--log-json"]):
        result = run("batch", folder, "-o", tmp_path / "out", *reports, *arguments)
        assert result.exit_code == 1
        assert not any(c in result.output for c in "\x1b\x01\u202e\x00")
    cases = ET.parse(tmp_path / "j.xml").getroot().findall(".//testcase")
    assert len(cases) == len(names)
    assert len(json.loads((tmp_path / "r.json").read_text())["sources"]) == len(names)


# The cache.


def test_a_cache_that_others_could_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("REFMAKER_CACHE_DIR", str(folder))
    assert cache_folder() == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for mode in (0o777, 0o770, 0o702):
        folder.chmod(mode)
        assert cache_folder() is None
    folder.chmod(0o755)
    assert cache_folder() == str(folder)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert cache_folder() is None


def test_outputs_in_the_place_of_something_else(tmp_path: Path) -> None:
    """A directory is not replaced by a file, nor a name with a NUL written."""
    for name in (str(tmp_path), "a\0b"):
        with pytest.raises(OutputError), atomic_write(name) as file:
            file.write(b"x")
