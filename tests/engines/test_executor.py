"""Executors as engines: every item once, errors told, the executor left to its owner."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import refmaker
from refmaker.engines.engine import Item, TaskFailed
from refmaker.engines.executor import ExecutorEngine, as_engine
from refmaker.engines.local import LocalEngine
from refmaker.errors import EngineError
from tests.batch.archives import run, write_file
from tests.combining.making import write


def reciprocal(number: int) -> float:
    return 1 / number


def test_every_item_once() -> None:
    with ThreadPoolExecutor(3) as pool:
        done = [pair for pairs in as_engine(pool).run(reciprocal, (Item(n, n) for n in range(200))) for pair in pairs]
        assert pool.submit(abs, -1).result() == 1, "it goes on"
    results = {item.key: result for item, result in done}
    assert len(done) == len(results) == 200
    assert results[4] == 0.25
    failed = results[0]
    assert isinstance(failed, TaskFailed)
    assert "ZeroDivisionError" in failed.reason


def test_engines_stay_what_they_are() -> None:
    with closing(LocalEngine(1)) as engine:
        assert as_engine(engine) is engine


def test_one_that_was_shut_down() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(EngineError, match="takes no more work"):
        list(ExecutorEngine(pool).run(reciprocal, [Item(1, 1)]))


def test_one_whose_process_dies() -> None:
    import multiprocessing

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool, pytest.raises(EngineError, match="brok"):
        list(ExecutorEngine(pool).run(os._exit, [Item(3, 3)]))


def test_combining(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{day}.nc", 4 * day) for day in range(5)]
    with ThreadPoolExecutor(2) as pool:
        made = refmaker.combine(files, engine=pool)
    assert made.arrays["t2m"].metadata.shape[0] == 20
    assert made == refmaker.combine(files)


def test_a_batch(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        write_file(source / f"{number}.nc", number)
    with ThreadPoolExecutor(2) as pool:
        result = run(source, tmp_path / "out", engine=pool)
    assert [row.status for row in result.rows] == ["done"] * 3
