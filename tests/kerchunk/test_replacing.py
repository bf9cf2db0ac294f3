"""Outputs that are killed on the way: the old one or the new one is there, and the next run leaves nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refmaker import atomic
from refmaker.atomic import atomic_write
from refmaker.errors import ManifestError, OutputError
from refmaker.kerchunk import replacing
from refmaker.kerchunk.open import open_manifest
from refmaker.kerchunk.parquet_writer import load_parquet, write_parquet
from refmaker.leftovers import beside, claimed
from refmaker.replay.filesystem import FileSystem

pytest.importorskip("pyarrow")

if sys.platform == "win32":
    pytest.skip("folders have no locks there", allow_module_level=True)

from tests.kerchunk.killed import a_set


def seed_of(path: Path) -> int:
    """Read a set as a whole, and tell which one it is."""
    found = open_manifest(path)
    seed: int = found.groups[""]["seed"]
    for array in found.arrays.values():
        assert array.references.offset.tolist() == [1000 * seed + cell for cell in range(2 + 2 * seed)]
        assert {*array.references.size.tolist()} == {seed}
    return seed


@pytest.mark.parametrize("how", ["exchange", "two-steps"])
def test_a_kill_leaves_the_old_set_or_the_new_one(tmp_path: Path, how: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.kerchunk.killed", str(tmp_path), how], check=True)
    places = sorted(tmp_path.iterdir(), key=lambda place: int(place.name))
    assert len(places) > 30
    seeds = [seed_of(place / "m.parq") for place in places]
    assert seeds == sorted(seeds)  # from some call on, it is the new one
    assert (seeds[0], seeds[-1]) == (1, 2)
    assert [p.name for p in places[-1].iterdir()] == ["m.parq"]
    assert any(len([*place.iterdir()]) > 1 for place in places)
    for place, seed in zip(places, seeds, strict=True):
        there = (place / "m.parq").exists()
        assert there or how == "two-steps"
        assert FileSystem(str(place / "m.parq")).cat("x/.zarray")
        if there and seed == 1:
            continue  # one in three is enough of those that are all alike
        write_parquet(a_set(8, 3), place / "m.parq", record_size=2)
        assert seed_of(place / "m.parq") == 3
        assert [p.name for p in place.iterdir()] == ["m.parq"]


def test_a_folder_is_there_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system exchanges folders, nothing is renamed away."""
    if sys.platform != "linux":
        pytest.skip("renameat2")
    write_parquet(a_set(4, 1), tmp_path / "m.parq")
    (tmp_path / "m.parq").chmod(0o750)
    monkeypatch.setattr(os, "rename", lambda *names: pytest.fail(f"renamed {names}"))
    write_parquet(a_set(6, 2), tmp_path / "m.parq")
    assert seed_of(tmp_path / "m.parq") == 2
    assert (tmp_path / "m.parq").stat().st_mode & 0o777 == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["m.parq"]


def test_what_cannot_be_exchanged(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("renameat2")
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        replacing._exchanged(str(tmp_path / "a"), str(tmp_path / "none"))


@pytest.mark.parametrize("second", [True, False])
def test_two_steps_of_which_the_second_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: bool) -> None:
    write_parquet(a_set(4, 1), tmp_path / "m.parq")
    monkeypatch.setattr(replacing, "_exchanged", lambda one, other: False)
    plain, calls = os.rename, []

    def rename(old: str, new: str) -> None:
        calls.append(new)
        if second and len(calls) == 2:
            raise OSError(28, "No space left on device")
        plain(old, new)

    monkeypatch.setattr(os, "rename", rename)
    if second:
        with pytest.raises(OutputError, match="No space"):
            write_parquet(a_set(6, 2), tmp_path / "m.parq")
    else:
        write_parquet(a_set(6, 2), tmp_path / "m.parq")
    assert seed_of(tmp_path / "m.parq") == 2 - second
    assert [p.name for p in tmp_path.iterdir()] == ["m.parq"]


def test_leftovers(tmp_path: Path) -> None:
    """A file or folder without a lock goes, one with a lock stays."""
    path = tmp_path / "m.json"
    left = Path(beside(str(path), "tmp"))
    left.write_bytes(b"half")
    with atomic_write(path) as file:
        file.write(b"one")
        with atomic_write(path) as other:  # at the same time
            other.write(b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
    (tmp_path / "m.parq").mkdir()
    folder = Path(beside(str(tmp_path / "m.parq"), "tmp"))
    (folder / "x").mkdir(parents=True)
    (folder / "x" / "refs.0.parq").write_bytes(b"half")
    with claimed(str(tmp_path / "m.parq"), folder=True) as (first, _):
        assert first == str(folder)
        assert not [*folder.iterdir()]
        with claimed(str(tmp_path / "m.parq"), folder=True) as (second, _):
            assert second != first


def test_a_leftover_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    (tmp_path / "other").write_bytes(b"mine")
    Path(beside(str(path), "tmp")).symlink_to(tmp_path / "other")
    with atomic_write(path) as file:
        file.write(b"one")
    assert (tmp_path / "other").read_bytes() == b"mine"
    assert path.read_bytes() == b"one"


@pytest.mark.parametrize("durable", [True, False])
def test_bytes_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    done: list[Any] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        atomic.os, "fsync", lambda descriptor: done.append(os.fstat(descriptor).st_size) or fsync(descriptor)
    )
    monkeypatch.setattr(atomic.os, "replace", lambda old, new: done.append("named") or replace(old, new))
    with atomic_write(tmp_path / "m.json", durable=durable) as file:
        file.write(b"x" * 100_001)
    assert done == ([100_001, "named"] if durable else ["named"])


def test_shards_and_folders_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("/proc")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", lambda old, new: done.append("named") or rename(old, new))
    write_parquet(a_set(4, 1), tmp_path / "m.parq", record_size=2)
    before, after = done[: done.index("named")], done[done.index("named") + 1 :]
    temporary = os.path.basename(beside(str(tmp_path / "m.parq"), "tmp"))
    names = ["refs.0.parq", "refs.0.parq", "refs.1.parq", "refs.1.parq", ".zmetadata", "x", "g", "y", temporary]
    assert sorted(before) == sorted(names)
    assert after == [tmp_path.name]


# Readers of a set that is replaced


def test_a_reader_is_told_that_the_set_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.parq"
    write_parquet(a_set(4, 1), path, record_size=2)
    found = load_parquet(path)
    assert found.arrays["x"].references.at(0) == (0, 1000, 1)
    write_parquet(a_set(6, 2), path, record_size=2)
    assert found.arrays["x"].references.at(1) == (0, 1001, 1)  # read before
    for cell in (2, 3):
        with pytest.raises(ManifestError, match="replaced since it was opened"):
            found.arrays["x"].references.at(cell)
    with pytest.raises(ManifestError, match="replaced since it was opened"):
        found.load()
    assert load_parquet(path).arrays["x"].references.at(2) == (0, 2002, 2)


def test_shards_that_stay_as_they_were_are_read_on(tmp_path: Path) -> None:
    path = tmp_path / "m.parq"
    made = a_set(4, 1)
    write_parquet(made, path, record_size=2)
    found = load_parquet(path)
    longer = a_set(6, 1)
    write_parquet(longer, path, record_size=2)
    assert [found.arrays["x"].references.at(cell) for cell in (0, 3)] == [(0, 1000, 1), (0, 1003, 1)]


def test_sets_of_others_that_are_replaced(tmp_path: Path) -> None:
    """They say nothing of their shards; but their `.zmetadata` is then another file."""
    from tests.kerchunk.test_parquet_writer import foreign

    path = tmp_path / "m.parq"
    write_parquet(a_set(4, 1), path, record_size=2)
    foreign(path)
    found = load_parquet(path)
    assert found.arrays["x"].references.at(0) == (0, 1000, 1)
    write_parquet(a_set(4, 1), path, record_size=2)
    foreign(path)
    with pytest.raises(ManifestError, match="replaced since it was opened"):
        found.arrays["x"].references.at(2)
