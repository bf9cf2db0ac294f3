"""What machines do to a batch: full disks, damaged ledgers and locks, names that no system takes, names mistyped."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import h5py
import pytest

from refmaker.batch.check import check
from refmaker.batch.discovery import Inputs
from refmaker.batch.ledger import Ledger
from refmaker.batch.run import Batch, Result
from refmaker.engines.local import LocalEngine
from refmaker.errors import BatchError
from refmaker.locks.file_lock import Lock


def run(*sources: object, out: Path, pattern: str | None = None, **options: object) -> Result:
    engine = LocalEngine(1)
    try:
        return Batch(Inputs(tuple(map(str, sources)), pattern), str(out), **options).run(engine)  # type: ignore[arg-type]
    finally:
        engine.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "ab":
        with h5py.File(folder / f"{name}.nc", "w") as file:
            file["x"] = 1
    return folder


def test_a_mistyped_name_leaves_no_ghost(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(tmp_path / "dtaa", out=out).failed
    assert not run(data, out=out).failed
    assert not check(str(out)).differs


def test_pruning_takes_what_is_gone_only(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(data, out=out)
    assert run(data, out=out, pattern="a*", prune=True).gone == []
    assert {"a.nc.json", "b.nc.json"} <= set(os.listdir(out))
    os.unlink(data / "b.nc")
    assert len(run(data, out=out, pattern="a*", prune=True).gone) == 1
    assert not (out / "b.nc.json").exists()


def test_a_name_with_nul(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="one name per line"):
        run(f"{data}/a.nc\0{data}/b.nc", out=tmp_path / "out")


@pytest.mark.parametrize("content", ['{"began": 1e300}', '{"began": "x", "pid": []}', "[" * 4096, "\xff\xfe", "7"])
def test_lock_files_that_hold_anything(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    path.write_text(content, encoding="latin-1")
    os.utime(path, (0, 0))
    with Lock(str(path), "here"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE source SET error = x'00ff'",
        "UPDATE source SET output_size = 'x'",
        "UPDATE source SET mtime = 9e999",
        "UPDATE source SET refusals = CAST(x'ff' AS TEXT)",
        "UPDATE source SET output = '../x' WHERE url LIKE '%a.nc'",
    ],
)
def test_rows_that_nobody_wrote(data: Path, tmp_path: Path, statement: str) -> None:
    out = tmp_path / "out"
    run(data, out=out)
    with sqlite3.connect(out / "refmaker.sqlite") as connection:
        connection.execute(statement)
    connection.close()
    for work in (lambda: run(data, out=out), lambda: check(str(out))):
        with pytest.raises(BatchError) as caught:
            work()
        assert len(str(caught.value)) < 1000


def test_a_schema_that_is_no_utf8(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(data, out=out)
    path = out / "refmaker.sqlite"
    content = bytearray(path.read_bytes())
    content[content.find(b"metameta") + 1] = 0xB2
    content[content.find(b"CREATE TABLE meta")] = 0x58
    path.write_bytes(content)
    with pytest.raises(BatchError, match="Move it away"):
        run(data, out=out)


def test_a_number_that_no_column_holds(tmp_path: Path) -> None:
    with Ledger(str(tmp_path / "l")) as ledger, pytest.raises(BatchError, match="cannot be written"):
        ledger.end_run("1", ended=0.0, outcome="x", counts={"done": 1 << 70})
