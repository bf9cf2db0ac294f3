"""Mutants: what is changed, and that a test which notices is told from one that does not."""

from __future__ import annotations

import pytest

from tests import mutation
from tests.mutation import Mutant, main, mutant, places_of, sample, tests_of

tests_of.__test__ = False  # type: ignore[attr-defined]

SOURCE = '''"""A module."""
__all__ = ["f"]

def f(x: int = 3) -> bool:
    """Return something."""
    if x < 4 and x:
        raise ValueError("above 4", 1 + 1)
    return x + 1 == 2
'''


def test_what_is_changed() -> None:
    found = {tuple(mutant("m.py", SOURCE, place).diff.splitlines()[2:]) for place in places_of(SOURCE)}
    assert found == {
        ("+def f(x: int=4) -> bool:",),
        ("+    if not (x < 4 and x):",),
        ("+    if x < 4 or x:",),
        ("+    if x <= 4 and x:",),
        ("+    if x < 5 and x:",),
        ("+    return None",),
        ("+    return x + 1 != 2",),
        ("+    return x - 1 == 2",),
        ("+    return x + 2 == 2",),
        ("+    return x + 1 == 3",),
    }


def test_a_sample_is_the_same_for_a_seed() -> None:
    first, again, other = (sample(["refmaker/zarr"], [], 5, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert all(found.module.startswith("refmaker/zarr/") and found.before != found.after for found in first)


def test_which_tests_run() -> None:
    assert tests_of("refmaker/hdf5/walk.py") == ["tests/hdf5/test_walk.py"]
    assert tests_of("refmaker/hdf5/not_there.py") == ["tests/hdf5"]


def test_survivors_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source = "def f():\n    return 1 < 2\n"
    made = [mutant("refmaker/ranges.py", source, place) for place in places_of(source)]

    def run(changed: Mutant, *_: object) -> str:
        return "survived" if "<=" in changed.after or changed.before == changed.after else "killed"

    monkeypatch.setattr(mutation, "sample", lambda *_: made)
    monkeypatch.setattr(mutation, "run", run)
    assert main(["--jobs", "1", "--least", "90"]) == 1
    told = capsys.readouterr().out
    assert "survived: refmaker/ranges.py:2\n-    return 1 < 2\n+    return 1 <= 2\n" in told
    assert "4 mutants: 3 killed, 1 survived, 0 timeout; 75 % killed" in told


def test_tests_that_fail_anyway_kill_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def f():\n    return 1 < 2\n"
    monkeypatch.setattr(
        mutation, "sample", lambda *_: [mutant("refmaker/ranges.py", source, place) for place in places_of(source)]
    )
    monkeypatch.setattr(mutation, "run", lambda *_: "killed")
    main(["--jobs", "1"])
    told = capsys.readouterr().out
    assert "without a change: refmaker/ranges.py" in told
    assert "0 mutants" in told
