from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.hdf5.budget import Budget, MeteredWindow, decoding_budget, reading_budget
from refmaker.sources.memory import MemoryWindow


def test_steps():
    budget = Budget(10, "too much of it")
    budget.spend(6)
    budget.begin()  # the step was interrupted, and runs again
    budget.spend(6)
    budget.commit()
    budget.begin()
    budget.spend(4)
    with pytest.raises(FormatError, match="too much of it"):
        budget.spend(1)


def test_metered_window():
    window = MeteredWindow(MemoryWindow(bytes(100)), Budget(100, "too much"))
    window.at(0, 40)
    with pytest.raises(TruncatedError):
        window.at(90, 20)
    window.want([0], 1000)
    window.rows(np.array([0, 20], "u8"), 30)
    assert (window.size, window.budget.spent) == (100, 100)
    with pytest.raises(FormatError, match="too much"):
        window.at(0, 1)


def test_sound_files_are_within():
    assert reading_budget(1 << 30).limit >= 2 << 30
    assert decoding_budget(1 << 10).limit >= 16 << 20
