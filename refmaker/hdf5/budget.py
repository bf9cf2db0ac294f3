"""What a walk may read and decode in all: structures of a sound file do not overlap, those of a hostile one may.

Contract: a `Budget` counts bytes and raises `FormatError` when they are more than the file can account for. What an
interrupted step counted is forgotten when it runs again (`begin`), what a finished step counted stays (`commit`).
`MeteredWindow` counts what is read through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError
from refmaker.window import Addresses, Buffer, Window

__all__ = ["Budget", "MeteredWindow", "decoding_budget", "reading_budget"]

# Each byte is read once, some twice (a head, then all of it; heap objects, once with their collection).
READINGS = limits.READINGS
# Filters make more of the bytes than there are; what is decoded while scanning is small in any sound file.
DECODINGS = limits.DECODINGS
SMALL_FILE = 1 << 16
DECODED = limits.DECODED


@dataclass(slots=True)
class Budget:
    """A count of bytes with a limit."""

    limit: int
    what: str
    spent: int = 0
    committed: int = 0

    def begin(self) -> None:
        """Forget what was counted since the last `commit`."""
        self.spent = self.committed

    def commit(self) -> None:
        """Keep what was counted."""
        self.committed = self.spent

    def spend(self, size: int) -> None:
        """Count `size` bytes."""
        self.spent += size
        if self.spent > self.limit:
            raise FormatError(self.what, expected=f"<= {self.limit} bytes", got=f"{self.spent} or more")


def reading_budget(file_size: int) -> Budget:
    """Return the budget of what is read."""
    return Budget(READINGS * file_size + SMALL_FILE, "structures that overlap: more of them than the file can hold")


def decoding_budget(file_size: int) -> Budget:
    """Return the budget of what is decoded from filtered or absent storage."""
    return Budget(DECODINGS * file_size + DECODED, "more decoded metadata than the file can hold")


class MeteredWindow:
    """A Window that counts what is read through it."""

    def __init__(self, window: Window, budget: Budget) -> None:
        self.window = window
        self.budget = budget

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.window.size

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        found = self.window.at(address, size)
        self.budget.spend(size)
        return found

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        self.window.want(addresses, size)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        self.budget.spend(len(addresses) * size)
        return self.window.rows(addresses, size)
