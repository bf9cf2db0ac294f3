"""Inputs read by engines: the same manifest in the end, whoever read what in which order."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import pytest

import refmaker
from refmaker.combining import loading
from refmaker.engines.engine import Item, TaskFailed
from refmaker.engines.local import LocalEngine
from refmaker.errors import EngineError, FormatError
from tests.engines.cluster import Cluster, cluster, running_cluster

from .test_combine import assert_same, days

__all__ = ["cluster"]

COUNT = 9


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(loading, "_SENT", 2)
    return days(tmp_path, COUNT)


class Backwards:
    """An engine that gives results in another order than items came in, and may lose one."""

    def __init__(self, lost: int | None = None) -> None:
        self.lost = lost

    def run(self, function: Any, items: Iterable[Item]) -> Generator[list[tuple[Item, Any]], None, None]:
        for item in reversed(list(items)):
            yield [(item, TaskFailed("crashed", "signal 11") if item.key == self.lost else function(item.argument))]
            yield []

    def close(self) -> None:
        pass


def test_results_in_any_order(paths: list[Path]) -> None:
    seen: list[int] = []
    alone = refmaker.combine(paths)
    together = refmaker.combine(paths, engine=Backwards(), progress=lambda one: seen.append(one.done))
    assert_same(alone, together)
    assert (alone.targets, alone.history) == (together.targets, together.history)
    assert seen == [3, 5, 7, 9]


@pytest.mark.parametrize("size", [1, 2])
def test_references_in_a_file_meanwhile(
    size: int, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that wait for others are not kept in memory."""
    monkeypatch.setattr(loading, "_BOUNDED", size)
    together = refmaker.combine(paths, engine=Backwards(), spill=tmp_path)
    alone = refmaker.combine(paths)
    assert_same(alone, together)
    assert (alone.targets, alone.history) == (together.targets, together.history)
    assert_same(alone, refmaker.combine(paths, jobs=2, spill=tmp_path))


def test_processes(paths: list[Path]) -> None:
    with closing(LocalEngine(2)) as engine:
        for _ in range(2):
            assert_same(refmaker.combine(paths), refmaker.combine(paths, engine=engine))


def test_what_is_lost_is_an_error(paths: list[Path]) -> None:
    with pytest.raises(EngineError, match="signal 11"):
        refmaker.combine(paths, engine=Backwards(lost=1))


def test_a_damaged_input_is_told_as_ever(paths: list[Path]) -> None:
    paths[5].write_bytes(b"no")
    with closing(LocalEngine(2)) as engine:
        for options in ({}, {"jobs": 2}, {"engine": engine}):
            with pytest.raises(FormatError) as error:
                refmaker.combine(paths, **options)  # type: ignore[arg-type]
            assert error.value.source == str(paths[5])


def test_a_cluster(paths: list[Path], cluster: Cluster) -> None:
    from refmaker.engines.distributed import DaskEngine

    with closing(DaskEngine(cluster.address)) as engine:
        assert_same(refmaker.combine(paths), refmaker.combine(paths, engine=engine))


def test_a_cluster_with_a_worker_killed(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from refmaker.engines.distributed import DaskEngine

    monkeypatch.setattr(loading, "_SENT", 1)
    with running_cluster() as cluster, closing(DaskEngine(cluster.address)) as engine:

        def progress(one: Any) -> None:
            if cluster.workers[0].poll() is None:
                cluster.workers[0].kill()
                cluster.workers[0].wait()

        assert_same(refmaker.combine(paths), refmaker.combine(paths, engine=engine, progress=progress))
        assert cluster.workers[0].returncode is not None


@pytest.mark.parametrize("bad", [{1}, {0}, {0, 1, 4}, {5}])
@pytest.mark.parametrize("options", [{}, {"jobs": 2}])
def test_inputs_that_cannot_be_read_are_left_out(tmp_path: Path, bad: set[int], options: dict[str, Any]) -> None:
    names = []
    for number in range(6):
        path = tmp_path / f"{number}.json"
        with h5py.File(tmp_path / f"{number}.nc", "w") as file:
            file["time"], file["t"] = [number], [number * 10.0]
            file["time"].make_scale("time")
            file["t"].dims[0].attach_scale(file["time"])
        refmaker.scan(tmp_path / f"{number}.nc").to_json(path)
        if number in bad:
            path.write_text(path.read_text().replace('"refs"', '"refs": 3, "more"'))
        names.append(str(path))
    with pytest.raises(refmaker.RefmakerError):
        refmaker.combine(names, **options)
    made = refmaker.combine_with_report(names, skip_failed=True, **options)
    assert set(made.skipped) == {names[number] for number in bad}
    assert made.manifest.arrays["t"].metadata.shape == (6 - len(bad),)
    sound = refmaker.combine([name for name in names if name not in made.skipped])
    assert_same(made.manifest, sound)


def test_what_is_appended_to_is_never_left_out(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('{"version": 1, "refs": 3}')
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["x"] = 1
    with pytest.raises(refmaker.ManifestError):
        refmaker.append(tmp_path / "all.json", tmp_path / "a.nc", skip_failed=True)
