"""Growing where it is: two at once are both in, and whatever is killed, there is the old manifest or the new one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.errors import ManifestError, OutputError
from refmaker.locks.output import locked

from .making import write

APPEND = "import sys, refmaker; refmaker.append_in_place(sys.argv[1], sys.argv[2:])"
KILLS = int(os.environ.get("REFMAKER_KILLS", "10"))
FORMS = ["all.json", "all.parq"]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("days")
    return [write(folder / f"{day}.nc", 4 * day) for day in range(8)]


def combined(folder: Path, days: list[Path], name: str) -> Path:
    refmaker.write_manifest(refmaker.combine(days), folder / name)
    return folder / name


def times(path: Path | str) -> list[int]:
    with xr.open_dataset(path, engine="refmaker", decode_times=False) as opened:
        found: list[int] = opened["time"].values.astype(int).tolist()
        assert np.isfinite(opened["t2m"].values).all()
        return found


def started(*arguments: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", APPEND, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", FORMS)
def test_all_at_once(tmp_path: Path, days: list[Path], name: str) -> None:
    path = combined(tmp_path, days[:1], name)
    processes = [started(path, day) for day in days[1:4]]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert times(path) == list(range(16))
    assert os.listdir(tmp_path) == [name]


def test_who_does_not_wait_is_told(tmp_path: Path, days: list[Path]) -> None:
    path = combined(tmp_path, days[:1], "all.json")
    before = path.read_bytes()
    with locked(path), pytest.raises(OutputError, match="another run is writing this output"):
        refmaker.append_in_place(path, days[1], wait=0)
    assert path.read_bytes() == before


def test_replaced_by_another_program_in_between(
    tmp_path: Path, days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from refmaker.combining import in_place

    path = combined(tmp_path, days[:1], "all.json")
    real = in_place.append_with_report

    def slow(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        refmaker.write_manifest(refmaker.combine(days[:3]), path)
        return made

    monkeypatch.setattr(in_place, "append_with_report", slow)
    with pytest.raises(OutputError, match="has replaced this output"):
        refmaker.append_in_place(path, days[7])
    assert times(path) == list(range(12))


def test_nothing_to_append_to(tmp_path: Path, days: list[Path]) -> None:
    with pytest.raises(ManifestError, match="there is no manifest to append to"):
        refmaker.append_in_place(tmp_path / "none.json", days[0])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", FORMS)
def test_in_a_store(tmp_path: Path, days: list[Path], name: str) -> None:
    url = f"memory://grown/{name}"
    refmaker.write_manifest(refmaker.combine(days[:2]), url)
    refmaker.append_in_place(url, days[2])
    assert times(url) == list(range(12))
    memory = fsspec.filesystem("memory")
    files = memory.find("/grown")
    memory.rm("/grown", recursive=True)
    assert [file for file in files if "lock" in file] == []


@pytest.mark.parametrize("name", FORMS)
def test_killed_at_any_moment(tmp_path: Path, days: list[Path], name: str) -> None:
    """Ten kills of each form; REFMAKER_KILLS=25 does as many."""
    path = combined(tmp_path, days[:2], name)
    spare = tmp_path / "spare"
    shutil.copytree(path, spare) if path.is_dir() else shutil.copy(path, spare)
    began = time.monotonic()
    started(path, days[2]).communicate()
    whole = time.monotonic() - began
    chance = random.Random(7)
    for _ in range(KILLS):
        process = started(path, days[3])
        time.sleep(chance.uniform(0.5, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = times(path)
        assert found in (list(range(12)), list(range(16)))
        if len(found) == 16:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(spare, path) if spare.is_dir() else shutil.copy(spare, path)
            started(path, days[2]).communicate()
    process = started(path, days[3])
    assert process.communicate()[1] == b""
    assert times(path) == list(range(16))
    assert sorted(os.listdir(tmp_path)) == [name, "spare"], "nothing of a killed run is left"
