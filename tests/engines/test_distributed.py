"""A real Dask cluster on loopback: a scheduler and two workers, each a process, of which some are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from refmaker.engines import distributed as distributed_engine
from refmaker.engines.engine import TOGETHER, Item, TaskFailed
from refmaker.errors import EngineError

from . import functions
from .cluster import Cluster, cluster, running_cluster

__all__ = ["cluster"]

distributed = pytest.importorskip("distributed")


@pytest.fixture
def engine(cluster: Cluster) -> Iterator[Any]:
    from refmaker.engines.distributed import DaskEngine

    engine = DaskEngine(cluster.address)
    yield engine
    engine.close()


def run(engine: Any, function: Any, arguments: list[Any], *, alone: bool = True) -> dict[int, Any]:
    items = (Item(i, argument, alone) for i, argument in enumerate(arguments))
    pairs = [(item.key, result) for done in engine.run(function, items) for item, result in done]
    found = dict(pairs)
    assert len(found) == len(pairs) == len(arguments), "every item once"
    return found


@pytest.mark.parametrize("alone", [True, False])
def test_every_item_once(engine: Any, alone: bool) -> None:
    assert run(engine, functions.square, list(range(50)), alone=alone) == {i: i * i for i in range(50)}


def test_mixed_items(engine: Any) -> None:
    items = [Item(i, i, i % 20 == 3) for i in range(60)]
    found = {item.key: result for done in engine.run(functions.square, items) for item, result in done}
    assert found == {i: i * i for i in range(60)}


def test_work_is_done_beside_the_workers(engine: Any, cluster: Cluster) -> None:
    pids = set(run(engine, functions.who, [None] * 20).values())
    assert pids.isdisjoint(process.pid for process in cluster.workers)
    assert os.getpid() not in pids


def test_the_working_directory_is_ours(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert set(run(engine, functions.where, [None] * 4).values()) == {str(tmp_path / name)}
    (tmp_path / "second").rename(tmp_path / "gone")
    assert run(engine, functions.square, [2]) == {0: 4}, "a directory that a worker does not see"


def test_items_that_wait_are_together(engine: Any, tmp_path: Path) -> None:
    found = run(engine, functions.meet, [(str(tmp_path), TOGETHER)] * TOGETHER, alone=False)
    assert set(found.values()) == {TOGETHER}


def test_a_crash_does_not_cost_the_worker(engine: Any, cluster: Cluster) -> None:
    found = run(engine, functions.misbehave, [1, "crash", 2, "fail", 3])
    assert [found[i] for i in (0, 2, 4)] == [1, 2, 3]
    assert [found[i].kind for i in (1, 3)] == ["crashed", "defect"]
    assert all(process.poll() is None for process in cluster.workers)


def test_time_ends_for_an_item(engine: Any) -> None:
    engine.timeout = 0.5
    found = run(engine, functions.misbehave, [1, "hang", 2])
    assert found == {0: 1, 1: TaskFailed("timeout", "it took longer than 0.5 s"), 2: 2}


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    from refmaker.engines.distributed import DaskEngine

    with running_cluster() as cluster:
        engine = DaskEngine(cluster.address)
        outcomes = engine.run(functions.linger, [Item(i, (str(tmp_path), str(i))) for i in range(30)])
        found: list[tuple[int, str]] = []
        for done in outcomes:
            found += [(item.key, result) for item, result in done]
            if len(found) >= 6 and cluster.workers[0].poll() is None:
                cluster.workers[0].send_signal(signal.SIGKILL)
                cluster.workers[0].wait()
        engine.close()
    assert sorted(found) == [(i, str(i)) for i in range(30)]
    assert cluster.workers[0].returncode == -signal.SIGKILL


def test_a_result_that_a_worker_took_with_it_is_made_again() -> None:
    from refmaker.engines.distributed import DaskEngine

    with running_cluster() as cluster, closing(DaskEngine(cluster.address)) as engine:
        run = distributed_engine._Run(engine, functions.square, iter([Item(i, i) for i in range(8)]))
        assert run.fill()
        until = time.monotonic() + 60
        futures = [future for future, _ in run.submitted.values()]
        while any(future.status != "finished" for future in futures) and time.monotonic() < until:
            time.sleep(0.01)
        cluster.workers[1].send_signal(signal.SIGSTOP)
        cluster.workers[0].kill()
        while all(future.status == "finished" for future in futures) and time.monotonic() < until:
            time.sleep(0.01)
        assert "lost" in [future.status for future in futures]
        while not run.finished.empty():  # what was told before the worker went
            run.finished.get()
        for key, (future, _) in run.submitted.items():
            if future.status == "lost":
                run.finished.put(key)
        assert run.collect() == []
        cluster.workers[1].send_signal(signal.SIGCONT)
        for key, (future, _) in run.submitted.items():
            if future.status == "finished":
                run.finished.put(key)
        found = {}
        while run.fill():
            found.update((item.key, result) for item, result in run.collect())
    assert found == {i: i * i for i in range(8)}


def test_a_scheduler_that_goes_away_is_told() -> None:
    from refmaker.engines.distributed import DaskEngine

    with running_cluster() as cluster:
        engine = DaskEngine(cluster.address)
        outcomes = engine.run(functions.misbehave, [Item(0, 1), *(Item(i, "hang") for i in range(1, 5))])
        while not next(outcomes):
            pass
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        with pytest.raises(EngineError, match=r"connection|no longer knows"):
            for _ in outcomes:
                pass
        engine.close()


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    from refmaker.engines.distributed import DaskEngine

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    short = {"distributed.comm.timeouts.connect": "500ms"}
    with dask.config.set(short), pytest.raises(EngineError, match="cannot reach"):
        DaskEngine(f"tcp://127.0.0.1:{port}")
    with dask.config.set({"scheduler-address": None}), pytest.raises(EngineError, match="--scheduler"):
        DaskEngine()


def test_the_configured_scheduler(cluster: Cluster) -> None:
    import dask

    from refmaker.engines.distributed import DaskEngine

    with dask.config.set({"scheduler-address": cluster.address}):
        engine = DaskEngine()
    assert run(engine, functions.square, [3]) == {0: 9}
    engine.close()


def test_workers_of_another_version(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    import refmaker.engines.distributed as module

    monkeypatch.setattr(module, "__version__", "0.0.0")
    with pytest.raises(EngineError, match=r"expected 0\.0\.0"):
        module.DaskEngine(cluster.address)


def test_without_dask() -> None:
    script = (
        "import sys; sys.modules['distributed'] = None\n"
        "from refmaker.engines.distributed import DaskEngine\n"
        "from refmaker.errors import EngineError\n"
        "try:\n    DaskEngine('tcp://127.0.0.1:1')\nexcept EngineError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert "[dask]'" in done.stdout


def test_the_cluster_goes_on(cluster: Cluster) -> None:
    from refmaker.engines.distributed import DaskEngine

    for _ in range(2):
        engine = DaskEngine(cluster.address)
        outcomes = engine.run(functions.misbehave, [Item(0, 1), *(Item(i, i) for i in range(1, 50))])
        while not next(outcomes):
            time.sleep(0)
        outcomes.close()
        engine.close()
    assert all(process.poll() is None for process in (cluster.scheduler, *cluster.workers))
