"""The ledger: what is written is read, what is committed stays, what is no ledger is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.batch.ledger import Ledger, Row
from refmaker.errors import BatchError
from refmaker.manifest.manifest import Target

FULL = Row(
    Target("s3://b/x.nc", 2**40, '"etag"', 1.5),
    "x.nc.json",
    "refused",
    3,
    2,
    1,
    1000,
    {"/a": "because"},
    None,
    None,
    77,
    0.25,
    1e9,
    "1.2",
    "{}",
    "run",
    (Target("/more"), Target("/raw", 40, None, 2.5)),
)


def test_rows_come_back(tmp_path: Path) -> None:
    failed = Row(Target("/b.nc"), "b.nc.json", "failed", error_kind="FormatError", error="no signature")
    with Ledger(str(tmp_path / "l")) as ledger:
        ledger.add([FULL, failed])
        assert ledger.rows() == {"/b.nc": failed, "s3://b/x.nc": FULL}
    with Ledger(str(tmp_path / "l"), read_only=True) as ledger:
        assert ledger.rows() == {"/b.nc": failed, "s3://b/x.nc": FULL}
    assert [path.name for path in tmp_path.iterdir()] == ["l"], "a closed ledger is one file"


def test_a_row_takes_the_place_of_the_last(tmp_path: Path) -> None:
    with Ledger(str(tmp_path / "l")) as ledger:
        ledger.add([FULL])
        ledger.add([Row(FULL.seen, FULL.output, "done")])
        assert ledger.rows() == {FULL.seen.url: Row(FULL.seen, FULL.output, "done")}
        ledger.forget([FULL.seen.url])
        assert ledger.rows() == {}
        assert ledger.connection.execute("SELECT count(*) FROM target").fetchone() == (0,)


names = st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.replace(b"\0", b"0")))


@given(url=names, output=names, error=st.none() | st.text(st.characters(exclude_characters="\0"), max_size=20))
@settings(max_examples=50)
def test_any_name(tmp_path_factory: pytest.TempPathFactory, url: str, output: str, error: str | None) -> None:
    row = Row(Target(url), output, "failed", error=error)
    with Ledger(str(tmp_path_factory.mktemp("l") / "l")) as ledger:
        ledger.add([row])
        assert ledger.rows() == {url: row}


def test_lone_surrogates_in_messages_are_escaped(tmp_path: Path) -> None:
    with Ledger(str(tmp_path / "l")) as ledger:
        ledger.add([Row(Target("/x"), "x", "failed", error="got \ud800")])
        assert ledger.rows()["/x"].error == "got \\ud800"


def test_runs(tmp_path: Path) -> None:
    with Ledger(str(tmp_path / "l")) as ledger:
        ledger.begin_run("1", began=1.0, version="v", arguments={"roots": ["a", os.fsdecode(b"\xe9")]})
        ledger.begin_run("2", began=2.0, version="v", arguments={"roots": []})
        ledger.end_run("2", ended=3.0, outcome="complete", counts={"done": 4})
        first, second = ledger.runs()
    assert (first.id, first.ended, first.outcome, first.arguments) == ("1", None, "killed", {"roots": ["a", "\udce9"]})
    assert (second.id, second.ended, second.outcome) == ("2", 3.0, "complete")


def test_a_transaction_that_an_interrupt_left_open(tmp_path: Path) -> None:
    """It is there as a whole, but for its end; how the run ended must not go with it."""
    path = str(tmp_path / "l")
    with Ledger(path) as ledger:
        ledger.begin_run("1", began=1.0, version="v", arguments={"roots": []})
        ledger.connection.execute("BEGIN IMMEDIATE")
        ledger.connection.execute("INSERT INTO meta VALUES ('last', 'statement')")
        ledger.end_run("1", ended=2.0, outcome="interrupted", counts={})
    with Ledger(path, read_only=True) as ledger:
        assert [run.outcome for run in ledger.runs()] == ["interrupted"]
        assert ledger.connection.execute("SELECT value FROM meta WHERE name = 'last'").fetchall() == [("statement",)]


def test_what_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be told from an empty one")
    with pytest.raises(BatchError, match="cannot be read as a ledger"):
        Ledger(str(tmp_path / "text"))
    with pytest.raises(BatchError, match="no ledger here"):
        Ledger(str(tmp_path / "none"), read_only=True)
    with pytest.raises(BatchError, match="cannot be opened"):
        Ledger(str(tmp_path / "none/ledger"))
    connection = sqlite3.connect(tmp_path / "other")
    connection.execute("CREATE TABLE x (y)")
    connection.commit()
    connection.close()
    with pytest.raises(BatchError, match="cannot be read as a ledger"):
        Ledger(str(tmp_path / "other"))
    with Ledger(str(tmp_path / "newer")) as ledger:
        ledger.connection.execute("UPDATE meta SET value = '99'")
    with pytest.raises(BatchError, match="incompatible version"):
        Ledger(str(tmp_path / "newer"))


def test_a_ledger_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refmaker.batch.ledger.LOCK_TIMEOUT", 0.05)
    with Ledger(str(tmp_path / "l")) as ledger:
        ledger.add([FULL])
        with pytest.raises(BatchError, match="locked"):
            Ledger(str(tmp_path / "l"), read_only=True)


def test_what_is_committed_survives_sigkill(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from refmaker.batch.ledger import Ledger, Row\n"
        "from refmaker.manifest.manifest import Target\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for i in range(100_000):\n"
        "    ledger.add([Row(Target(f'/{i}'), str(i), 'done')])\n"
        "    print(i, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    path = str(tmp_path / "l")
    writer = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, env=environment)
    assert writer.stdout is not None
    for _ in range(50):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    last = max(last, *(int(line) for line in writer.stdout.read().split()), 0)
    writer.wait()
    writer.stdout.close()
    with Ledger(path, read_only=True) as ledger:
        assert len(ledger.rows()) in (last + 1, last + 2)
    with Ledger(path) as ledger:
        assert {f"/{i}" for i in range(last + 1)} <= set(ledger.rows())
