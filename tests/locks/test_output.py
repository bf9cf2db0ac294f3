"""The lock of an output: where it stands, and that it goes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from refmaker.errors import OutputError
from refmaker.locks import file_lock
from refmaker.locks.file_lock import NoFileLocksError
from refmaker.locks.output import locked


@pytest.mark.parametrize("name", ["a.json", "a.parq", "a.parq/"])
def test_beside_the_output(tmp_path: Path, name: str) -> None:
    with locked(tmp_path / name) as held:
        held.check()
        assert [path.name.startswith(".refmaker-") for path in tmp_path.iterdir()] == [True]
        with pytest.raises(OutputError, match="another run is writing this output"):
            locked(tmp_path / name, wait=0).__enter__()
        with locked(tmp_path / "b.json", wait=0):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.json").touch()
    (tmp_path / "link.json").symlink_to("real.json")
    with locked(tmp_path / "real.json"), pytest.raises(OutputError, match="another run"):
        locked(tmp_path / "link.json", wait=0).__enter__()


def test_in_a_store() -> None:
    url = "memory://outputs/a.json"
    with locked(url), pytest.raises(OutputError, match="another run"):
        locked(url, wait=0).__enter__()
    assert fsspec.filesystem("memory").find("/outputs") == []


def test_without_locks_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Any) -> bool:
        raise NoFileLocksError("no file locks on this system", source=self.path)

    monkeypatch.setattr(file_lock.Lock, "_flock", none)
    with locked(tmp_path / "a.json") as held:
        held.check()
        with pytest.raises(OutputError, match="another run"):
            locked(tmp_path / "a.json", wait=0).__enter__()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".object")] == []


@pytest.mark.parametrize("replacing", [True, False])
def test_programs_that_know_of_no_lock(tmp_path: Path, replacing: bool) -> None:
    path = tmp_path / "a.json"
    if replacing:
        path.write_text("old")
    with locked(path) as held:
        held.check()
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").replace(path)
        with pytest.raises(OutputError, match="has replaced this output"):
            held.check()


def test_the_same_in_a_store() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/outputs/a.parq/.zmetadata", b"old")
    with locked("memory://outputs/a.parq") as held:
        held.check()
        memory.pipe_file("/outputs/a.parq/.zmetadata", b"newer")
        with pytest.raises(OutputError, match="has replaced this output"):
            held.check()
    memory.rm("/outputs", recursive=True)


def test_what_is_no_file_has_no_lock() -> None:
    with locked("/dev/null", wait=0) as one, locked("/dev/null", wait=0):
        one.check()


def test_no_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot create the lock"):
        locked(tmp_path / "none" / "a.json").__enter__()
