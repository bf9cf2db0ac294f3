"""Processes of this machine: every item once, whatever becomes of the processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refmaker.engines.engine import TOGETHER, Item, TaskFailed
from refmaker.engines.local import LocalEngine
from refmaker.errors import EngineError

from . import functions

pytestmark = pytest.mark.alone  # its times, or its moments, are those of an idle machine


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(2)
    yield engine
    engine.close()


def run(engine: LocalEngine, function: Any, arguments: list[Any], *, alone: bool = True) -> dict[int, Any]:
    items = (Item(i, argument, alone) for i, argument in enumerate(arguments))
    pairs = [(item.key, result) for done in engine.run(function, items) for item, result in done]
    found = dict(pairs)
    assert len(found) == len(pairs) == len(arguments), "every item once"
    return found


@pytest.mark.parametrize("alone", [True, False])
def test_every_item_once(engine: LocalEngine, alone: bool) -> None:
    assert run(engine, functions.square, list(range(100)), alone=alone) == {i: i * i for i in range(100)}
    assert len(engine.children) <= 2


def test_nothing_to_do(engine: LocalEngine) -> None:
    assert list(engine.run(functions.square, [])) == []
    assert engine.children == []


def test_mixed_items(engine: LocalEngine) -> None:
    items = [Item(i, i, i % 3 == 0) for i in range(60)]
    found = {item.key: result for done in engine.run(functions.square, items) for item, result in done}
    assert found == {i: i * i for i in range(60)}


def test_processes_stay_for_the_next_run(engine: LocalEngine) -> None:
    first = set(run(engine, functions.who, [None] * 10).values())
    assert set(run(engine, functions.who, [None] * 10).values()) <= first | {c.process.pid for c in engine.children}
    assert os.getpid() not in first


def test_items_that_wait_share_a_process(tmp_path: Path) -> None:
    engine = LocalEngine(1)
    try:
        found = run(engine, functions.meet, [(str(tmp_path), TOGETHER)] * TOGETHER, alone=False)
    finally:
        engine.close()
    assert set(found.values()) == {TOGETHER}


def test_items_that_work_have_a_process_each(engine: LocalEngine, tmp_path: Path) -> None:
    assert set(run(engine, functions.meet, [(str(tmp_path), 2)] * 2).values()) == {2}


def test_a_crash_costs_its_item(engine: LocalEngine) -> None:
    found = run(engine, functions.misbehave, [1, "crash", 2, 3, 4])
    lost = found.pop(1)
    assert found == {0: 1, 2: 2, 3: 3, 4: 4}
    assert isinstance(lost, TaskFailed)
    assert lost.kind == "crashed"
    assert "signal 11 (SIGSEGV)" in lost.reason


def test_company_of_a_crash_is_done(engine: LocalEngine) -> None:
    found = run(engine, functions.misbehave, [*range(8), "crash", *range(8)], alone=False)
    assert [key for key, result in found.items() if isinstance(result, TaskFailed)] == [8]


def test_what_crashes_once_is_done_again(engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFMAKER_TEST_MARKS", str(tmp_path))
    assert run(engine, functions.misbehave, ["crash once", 1]) == {0: "crash once", 1: 1}
    assert (tmp_path / "crashed").exists()


@pytest.mark.parametrize("alone", [True, False])
def test_time_ends_for_an_item_only(alone: bool) -> None:
    engine = LocalEngine(1, timeout=0.5)
    began = time.monotonic()
    try:
        found = run(engine, functions.misbehave, [1, "hang", 2, 3], alone=alone)
    finally:
        engine.close()
    assert time.monotonic() - began < 10
    assert found == {0: 1, 1: TaskFailed("timeout", "it took longer than 0.5 s"), 2: 2, 3: 3}


def test_a_defect_costs_its_item_and_says_where(engine: LocalEngine) -> None:
    found = run(engine, functions.misbehave, [1, "fail", 2])
    assert (found[0], found[2]) == (1, 2)
    assert found[1].kind == "defect"
    assert "ZeroDivisionError: nobody expected this" in found[1].reason
    assert "functions.py" in found[1].reason


def test_items_are_taken_as_they_are_needed(engine: LocalEngine) -> None:
    taken: list[int] = []

    def items() -> Iterator[Item]:
        for i in range(1000):
            taken.append(i)
            yield Item(i, i)

    outcomes = engine.run(functions.square, items())
    while not next(outcomes):
        pass
    assert len(taken) < 10
    outcomes.close()


def test_closing_ends_what_is_under_way(engine: LocalEngine) -> None:
    outcomes = engine.run(functions.misbehave, [Item(0, 1), Item(1, "hang"), Item(2, "hang")])
    while not next(outcomes):
        pass
    processes = [child.process for child in engine.children]
    outcomes.close()
    assert all(child.process.poll() is None for child in engine.children)
    assert sum(process.poll() is not None for process in processes) >= 1


def test_an_idle_process_that_dies_is_replaced(engine: LocalEngine) -> None:
    run(engine, functions.square, [1, 2])
    for child in engine.children:
        child.process.kill()
        child.process.wait()
    assert run(engine, functions.square, [1, 2, 3]) == {0: 1, 1: 4, 2: 9}


def test_processes_that_do_not_start_are_told(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for executable, what in (
        (str(shutil.which("false")), "did not start"),
        ("/none/python", "cannot start a worker process: No such file"),
    ):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(EngineError, match=what):
            run(engine, functions.square, [1])


def test_what_they_print_is_no_data(engine: LocalEngine, capfd: pytest.CaptureFixture[str]) -> None:
    run(engine, functions.misbehave, ["print"])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "to stdout\n")


def test_processes_end_with_who_started_them(tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up: the processes see their connection end."""
    script = (
        "from refmaker.engines.local import LocalEngine; from refmaker.engines.engine import Item\n"
        "from tests.engines import functions\n"
        "engine = LocalEngine(2)\n"
        "for done in engine.run(functions.misbehave, [Item(0, 'hang'), Item(1, 'hang')]):\n"
        "    if all(child.running for child in engine.children) and len(engine.children) == 2:\n"
        "        print(*[child.process.pid for child in engine.children], flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while any(_lives(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not os.path.isdir("/proc/self")
