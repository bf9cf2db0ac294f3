"""Runs over small archives: what is done, what is left alone, what is told."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.batch.check import check
from refmaker.batch.ledger import Ledger
from refmaker.batch.run import LEDGER
from refmaker.engines.engine import Item, TaskFailed
from refmaker.errors import BatchError, EngineError
from refmaker.locks.file_lock import Lock

from .archives import InProcess, done, ledger_rows, outputs, run, write_archive, write_file, write_refused

NAMES = ["a.nc", "b.h5", "damaged.nc", "refused.h5"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def later(path: Path) -> None:
    """Have a file look as if it was written a second later."""
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime + 1))


def test_a_manifest_for_each_file(archive: Path, out: Path) -> None:
    result = run(archive, out)
    assert done(result) == NAMES
    assert sorted(outputs(out)) == ["a.nc.json", "deep/er/b.h5.json", "deep/refused.h5.json"]
    for name in ("a.nc", "deep/er/b.h5"):
        refmaker.scan(str(archive / name)).to_json(str(out / "same"))
        assert (out / f"{name}.json").read_bytes() == (out / "same").read_bytes()
    assert (result.failed, result.refused, result.outcome) == (True, True, "complete")
    assert result.counts == {"done": 2, "refused": 1, "failed": 1}


def test_what_the_ledger_says(archive: Path, out: Path) -> None:
    result = run(archive, out)
    rows = {os.path.basename(url): row for url, row in ledger_rows(out).items()}
    sound, refused, damaged = rows["a.nc"], rows["refused.h5"], rows["damaged.nc"]
    status = (archive / "a.nc").stat()
    assert (sound.seen.url, sound.seen.size, sound.seen.mtime) == (
        str(archive / "a.nc"),
        status.st_size,
        status.st_mtime,
    )
    assert (sound.status, sound.output, sound.mapped + sound.inlined, sound.refused) == ("done", "a.nc.json", 2, 0)
    assert sound.output_size == (out / "a.nc.json").stat().st_size
    assert (sound.version, sound.run) == (refmaker.__version__, result.run)
    assert (refused.status, refused.refused, list(refused.refusals)) == ("refused", 1, ["/regions"])
    assert (damaged.status, damaged.error_kind) == ("failed", "TruncatedError")
    assert str(archive / "damaged.nc") in str(damaged.error)
    assert damaged.output_size is None
    with Ledger(str(out / LEDGER), read_only=True) as ledger:
        (noted,) = ledger.runs()
    assert (noted.id, noted.outcome, noted.arguments["roots"]) == (result.run, "complete", [str(archive)])


def test_again_does_what_failed_only(archive: Path, out: Path) -> None:
    run(archive, out)
    before = outputs(out)
    again = run(archive, out)
    assert done(again) == ["damaged.nc"]
    assert set(again.why.values()) == {"failed"}
    assert len(again.unchanged) == 3
    assert outputs(out) == before
    assert (again.failed, again.refused) == (True, True)
    without = run(archive, out, retry_failed=False)
    assert (done(without), len(without.unchanged), without.failed) == ([], 4, True)


def test_new_and_changed_files(archive: Path, out: Path) -> None:
    run(archive, out)
    write_file(archive / "new.h5", 3)
    write_file(archive / "a.nc", 7)
    later(archive / "a.nc")
    again = run(archive, out, retry_failed=False)
    assert {os.path.basename(url): why for url, why in again.why.items()} == {"new.h5": "new", "a.nc": "changed"}
    assert ledger_rows(out)[str(archive / "a.nc")].seen.mtime == (archive / "a.nc").stat().st_mtime


def test_a_failed_file_that_was_mended(archive: Path, out: Path) -> None:
    run(archive, out)
    write_file(archive / "damaged.nc")
    again = run(archive, out, retry_failed=False)
    assert done(again) == ["damaged.nc"]
    assert not again.failed


def test_force(archive: Path, out: Path) -> None:
    run(archive, out)
    assert done(run(archive, out, force=True)) == NAMES


def test_other_options_make_other_manifests(archive: Path, out: Path) -> None:
    run(archive, out)
    again = run(archive, out, scan={"zarr_format": 3})
    assert done(again) == NAMES
    assert set(again.why.values()) == {"other options"}
    assert refmaker.open_manifest(str(out / "a.nc.json")).zarr_format == 3
    assert done(run(archive, out, scan={"zarr_format": 3}, retry_failed=False)) == []
    assert done(run(archive, out, scan={"zarr_format": 3}, relative=True, retry_failed=False)) == NAMES


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{}")])
def test_a_manifest_that_is_not_there(archive: Path, out: Path, damage: Callable[[Path], Any]) -> None:
    run(archive, out)
    before = outputs(out)
    damage(out / "a.nc.json")
    assert done(run(archive, out, retry_failed=False)) == ["a.nc"]
    assert outputs(out) == before


def test_a_file_that_fails_keeps_its_last_manifest(archive: Path, out: Path) -> None:
    run(archive, out)
    before = outputs(out)
    (archive / "a.nc").write_bytes(b"gone bad")
    assert run(archive, out).counts["failed"] == 2
    assert outputs(out) == before
    assert ledger_rows(out)[str(archive / "a.nc")].status == "failed"


def test_a_file_behind_a_manifest_changes(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "raw").write_bytes(bytes(range(40)))
    with h5py.File(archive / "external.h5", "w") as file:
        file.create_dataset("x", shape=(5,), dtype="<i8", external=[("raw", 0, 40)])
    assert done(run(archive, out)) == ["external.h5"]
    (target,) = ledger_rows(out)[str(archive / "external.h5")].targets
    assert target.url == str(archive / "raw")
    assert done(run(archive, out)) == []
    later(archive / "raw")
    assert run(archive, out).why == {str(archive / "external.h5"): "a file it refers to has changed"}
    (archive / "raw").unlink()
    assert done(run(archive, out)) == ["external.h5"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_containers_are_as_old_as_these(tmp_path: Path, out: Path, kind: str) -> None:
    source = write_file(tmp_path / "in/a.nc")
    container = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(container, "w") as opened:
            opened.write(source, "a.nc")
    else:
        with tarfile.open(container, "w") as opened:
            opened.add(source, "a.nc")
    url = f"{kind}://a.nc::file://{container}"
    assert len(run(url, out).rows) == 1
    assert run(url, out).rows == []
    assert not check(str(out)).differs
    later(container)
    assert len(check(str(out)).changed) == 1
    assert len(run(url, out).rows) == 1


def test_gone_files_stay_until_pruned(archive: Path, out: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "elsewhere/c.nc")
    run([str(archive), str(tmp_path / "elsewhere")], out)
    (archive / "a.nc").unlink()
    result = run(archive, out)
    assert [row.seen.url for row in result.gone] == [str(archive / "a.nc")]
    assert (out / "a.nc.json").exists()
    result = run(archive, out, prune=True)
    assert result.pruned == 1
    assert not (out / "a.nc.json").exists()
    assert str(archive / "a.nc") not in ledger_rows(out)
    assert (out / "c.nc.json").exists(), "it is below no directory that was listed"


def test_sources_in_the_output_directory(archive: Path) -> None:
    out = archive / "manifests"
    write_file(out / "inside.h5")
    assert done(run(archive, out)) == NAMES
    for name in (out, out / "inside.h5"):
        with pytest.raises(BatchError, match="output directory"):
            run(name, out)
    (archive / "link").symlink_to(out)
    result = run(f"{archive}/**/*.h5", out, force=True)
    assert done(result) == ["b.h5", "refused.h5"]


def test_two_sources_of_one_name(tmp_path: Path, out: Path) -> None:
    first, second = write_file(tmp_path / "1/x.nc"), write_file(tmp_path / "2/x.nc")
    with pytest.raises(BatchError, match="the same name"):
        run([str(first), str(second)], out)
    assert outputs(out) == {}
    run([str(first), str(second)], out, base=str(tmp_path))
    assert sorted(outputs(out)) == ["1/x.nc.json", "2/x.nc.json"]


def test_the_manifest_of_another_source(tmp_path: Path, out: Path) -> None:
    first, second = write_file(tmp_path / "1/x.nc"), write_file(tmp_path / "2/x.nc", 5)
    run(first, out)
    before = outputs(out)
    with pytest.raises(BatchError, match="manifests of other sources"):
        run(second, out)
    assert outputs(out) == before
    run(second, out, force=True)
    assert list(ledger_rows(out)) == [str(second)]


def test_names_may_be_exchanged(tmp_path: Path, out: Path) -> None:
    write_file(tmp_path / "in/a.nc", 1)
    write_file(tmp_path / "in/b.nc", 2)
    run(tmp_path / "in", out, template="{stem}.json")
    run(tmp_path / "in", out, template="{stem}2{form}")
    assert sorted(row.output for row in ledger_rows(out).values()) == ["a2.json", "b2.json"]


def test_links_do_not_lead_out(archive: Path, out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "deep").symlink_to(elsewhere)
    (out / "a.nc.json").symlink_to(elsewhere / "a.json")
    result = run(archive, out)
    assert result.counts["failed"] == 4
    assert list(elsewhere.iterdir()) == []
    assert "leads out of the output directory" in str(ledger_rows(out)[str(archive / "a.nc")].error)


def test_a_linked_output_directory(archive: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    out.symlink_to(tmp_path / "real")
    assert run(archive, out).counts["failed"] == 1
    assert (tmp_path / "real/deep/er/b.h5.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_a_row(archive: Path, out: Path) -> None:
    (archive / "a.nc").chmod(0)
    (archive / "deep/er").chmod(0)
    try:
        result = run(archive, out)
    finally:
        (archive / "deep/er").chmod(stat.S_IRWXU)
    assert result.counts["failed"] == 3
    assert "cannot be listed" in str(ledger_rows(out)[str(archive / "deep/er")].error)
    again = run(archive, out)
    assert str(archive / "deep/er") not in ledger_rows(out)
    assert again.counts["failed"] == 2


def test_a_directory_that_cannot_be_listed_is_a_row(archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("deep/er"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        result = run(archive, out)
    assert result.counts["failed"] == 2
    assert ledger_rows(out)[str(archive / "deep/er")].error == "cannot be listed: Permission denied"
    run(archive, out)
    assert str(archive / "deep/er") not in ledger_rows(out)


def test_too_many_failures(archive: Path, out: Path) -> None:
    (archive / "0.nc").write_bytes(b"damaged too")
    result = run(archive, out, max_failures=1)
    assert (done(result), result.outcome, result.failed) == (["0.nc"], "stopped", True)
    assert done(run(archive, out)) == ["0.nc", *NAMES]


def test_lost_items_are_rows(archive: Path, out: Path) -> None:
    class Losing(InProcess):
        def one(self, function: Any, item: Item) -> tuple[Item, Any]:
            if item.argument.output == "a.nc.json":
                (out / ".refmaker-0123456789abcdef.tmp").write_bytes(b"half")
                os.utime(out / ".refmaker-0123456789abcdef.tmp", (1, 1))
                return item, TaskFailed("crashed", "signal 11")
            return super().one(function, item)

    result = run(archive, out, engine=Losing())
    row = ledger_rows(out)[str(archive / "a.nc")]
    assert (row.status, row.error_kind, row.error) == ("failed", "crashed", "signal 11")
    assert result.left_over == 1
    assert sorted(outputs(out)) == ["deep/er/b.h5.json", "deep/refused.h5.json"]


def test_manifests_that_are_not_seen(archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of another machine wrote to a directory of its own."""

    class Elsewhere(InProcess):
        def one(self, function: Any, item: Item) -> tuple[Item, Any]:
            found = super().one(function, item)
            (out / item.argument.output).unlink(missing_ok=True)
            return found

    monkeypatch.setattr("refmaker.batch.run.VISIBILITY_TIMEOUT", 0.0)
    result = run(archive, out, engine=Elsewhere())
    assert result.counts == {"failed": 4}
    assert "share the output directory" in str(ledger_rows(out)[str(archive / "a.nc")].error)


def test_an_engine_that_fails_loses_nothing(archive: Path, out: Path) -> None:
    class Failing(InProcess):
        def one(self, function: Any, item: Item) -> tuple[Item, Any]:
            if len(self.done) == 2:
                raise EngineError("the cluster is gone")
            return super().one(function, item)

    with pytest.raises(EngineError):
        run(archive, out, engine=Failing())
    assert len(ledger_rows(out)) == 2
    assert len(done(run(archive, out, retry_failed=False))) == 2


def test_interrupted(archive: Path, out: Path) -> None:
    class Interrupted(InProcess):
        def one(self, function: Any, item: Item) -> tuple[Item, Any]:
            if len(self.done) == 2:
                raise KeyboardInterrupt
            return super().one(function, item)

    with pytest.raises(KeyboardInterrupt):
        run(archive, out, engine=Interrupted())
    with Ledger(str(out / LEDGER), read_only=True) as ledger:
        (noted,) = ledger.runs()
    assert noted.outcome == "interrupted"
    assert len(ledger_rows(out)) == 2


def test_interrupted_between_the_ledger_and_the_count(
    archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = Ledger.add, []

    def add_and_interrupt(ledger: Ledger, rows: Any) -> None:
        add(ledger, rows)
        added.append(rows)
        if len(added) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "add", add_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(archive, out)
    with sqlite3.connect(out / LEDGER) as connection:
        (counts,) = connection.execute("SELECT done, refused, failed FROM run").fetchall()
    connection.close()
    assert sum(counts) == len(ledger_rows(out)) == 2


def test_what_a_killed_run_left(archive: Path, out: Path) -> None:
    run(archive, out)
    with sqlite3.connect(out / LEDGER) as connection:
        connection.execute("UPDATE run SET ended = NULL, outcome = NULL")
    connection.close()
    left = [out / "deep/.refmaker-00112233445566aa.tmp", out / ".refmaker-00112233445566ab.tmp"]
    left[0].write_bytes(b"half a manifest")
    left[1].mkdir()
    (left[1] / "shard").touch()
    others = [out / ".refmaker-mine.tmp", out / "deep/.hidden"]
    for path in others:
        path.touch()
    for path in (*left, *others):
        os.utime(path, (1e9, 1e9))
    assert run(archive, out).left_over == 2
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_another_run_is_told(archive: Path, out: Path) -> None:
    out.mkdir()
    with Lock(str(out / f"{LEDGER}.lock"), "out"), pytest.raises(BatchError, match=f"process {os.getpid()} on"):
        run(archive, out)
    assert not (out / LEDGER).exists()


def test_nothing_there(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "*.nc"):
        with pytest.raises(BatchError, match="found no source here"):
            run(tmp_path / name, out)
    result = run(tmp_path / "none.nc", out)
    assert "No such file" in str(result.rows[0].error)


@pytest.mark.parametrize("form", ["json", "json.gz", "json.zst", "parquet"])
def test_forms(archive: Path, out: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    run(archive, out, form=form)
    suffix = {"parquet": ".parq"}.get(form, f".{form}")
    manifest = refmaker.open_manifest(str(out / f"a.nc{suffix}"))
    np.testing.assert_array_equal(
        manifest.arrays["x"].references.offset, refmaker.scan(str(archive / "a.nc")).arrays["x"].references.offset
    )
    assert done(run(archive, out, form=form, retry_failed=False)) == []


def test_relative_targets(archive: Path, out: Path, tmp_path: Path) -> None:
    import xarray as xr

    run(archive, out, relative=True)
    text = json.loads((out / "deep/er/b.h5.json").read_text())
    assert {ref[0] for ref in text["refs"].values() if isinstance(ref, list)} == {"../../../archive/deep/er/b.h5"}
    (tmp_path / "moved").mkdir()
    out.rename(tmp_path / "moved/out")
    archive.rename(tmp_path / "moved/archive")
    opened = xr.open_dataset(str(tmp_path / "moved/out/deep/er/b.h5.json"), engine="refmaker")
    assert opened["x"].values.tolist() == list(range(2, 14))


def test_refused_only_is_no_failure(tmp_path: Path, out: Path) -> None:
    write_refused(tmp_path / "in/r.h5")
    result = run(tmp_path / "in", out)
    assert (result.failed, result.refused) == (False, True)
    again = run(tmp_path / "in", out)
    assert (done(again), again.failed, again.refused) == ([], False, True)


def test_names_that_are_not_utf8(tmp_path: Path, out: Path) -> None:
    name = os.fsdecode(b"in/caf\xe9.h5")
    write_file(tmp_path / "in/plain.h5").rename(tmp_path / name)
    result = run(tmp_path / "in", out)
    assert list(ledger_rows(out)) == [str(tmp_path / name)]
    assert result.rows[0].seen.url == str(tmp_path / name)
    if not result.failed:
        assert done(run(tmp_path / "in", out)) == []


def test_a_ledger_elsewhere(archive: Path, out: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "state/ledger.sqlite"
    run(archive, out, ledger=str(ledger))
    assert not (out / LEDGER).exists()
    assert done(run(archive, out, ledger=str(ledger), retry_failed=False)) == []
