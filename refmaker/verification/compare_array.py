"""One array, read through the manifest and from its file, slab by slab.

Contract: `Comparison.run` takes blocks of chunks and counts what differs; at most one block of values is in memory on
either side. Where a block cannot be read, its chunks are read one by one, so that it is known which ones cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from refmaker.errors import RefmakerError, SourceError
from refmaker.verification.originals import Original
from refmaker.verification.sampling import Block
from refmaker.verification.values import Mask, MissingCounterpart, Rules, TypeMismatch, counted, differing, plain

__all__ = ["ArrayResult", "Comparison", "Difference", "Status"]

Status: TypeAlias = Literal["same", "differs", "unreadable", "skipped"]

_UNREADABLE = 16
"""Chunks that cannot be read, after which the rest of an array is left."""


@dataclass(slots=True)
class Difference:
    """An element that differs: its index, and what it is in the file and through the manifest."""

    index: list[int]
    expected: bool | int | float | str
    got: bool | int | float | str


@dataclass(slots=True)
class ArrayResult:
    """What became of one array.

    Attributes
    ----------
    status
        "unreadable": not all can be read through the manifest; "skipped": the file's own values cannot be had.
    chunks_checked, chunks
        Chunks that were compared, and those of the whole grid.
    first_difference
        None unless values differ.
    reason
        One line; None where all is the same.
    chunks_different, elements_different
        Among those compared.
    """

    path: str
    status: Status
    chunks_checked: int = 0
    chunks: int = 0
    first_difference: Difference | None = None
    reason: str | None = None
    chunks_different: int = 0
    elements_different: int = 0


@dataclass(slots=True)
class Comparison:
    """The two sides of an array, and what was found so far.

    Parameters
    ----------
    shown
        The array as zarr opened it.
    chunk
        Chunk shape.
    name
        Gives the key of the chunk at a position, for messages.
    progress
        Called with the number of chunks just done.
    """

    original: Original
    shown: Any
    chunk: tuple[int, ...]
    name: Callable[[tuple[int, ...]], str]
    result: ArrayResult
    progress: Callable[[int], None]
    unreadable: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def run(self, blocks: Iterable[Block]) -> None:
        """Compare blocks, and put what was found into the result.

        Raises
        ------
        Misfit
            The two sides hold values of different kinds.
        """
        self._check_form()
        for block in blocks:
            self._block(block)
            self.progress(block.chunks)
            if len(self.unreadable) + len(self.lost) >= _UNREADABLE:
                break
        self._conclude()

    def _check_form(self) -> None:
        """Raise `TypeMismatch` unless both sides have one shape, or may be taken to have, and one kind of values."""
        own, shape = self.original.shape, tuple(self.shown.shape)
        longer = len(own) == len(shape) and all(
            extent == length or (grows and extent < length)
            for extent, length, grows in zip(own, shape, self.original.growable, strict=True)
        )
        if not longer:
            raise MissingCounterpart(f"shape {own} in the file, {shape} through the manifest")
        if self.original.dtype is not None:
            self._differing(np.empty(0, self.original.dtype), np.empty(0, self.shown.dtype))

    def _differing(self, expected: np.ndarray, got: np.ndarray) -> Mask:
        return differing(expected, got, Rules(self.original.same_object, self.original.spaces))

    def _block(self, block: Block) -> None:
        if self.original.undefined and block.chunks > 1:
            self._singles(block)
            return
        try:
            self._compare(block)
        except TypeMismatch:
            raise
        except RefmakerError:
            self._singles(block)

    def _singles(self, block: Block) -> None:
        """Go through a block chunk by chunk, noting which cannot be read."""
        for single in block.singles():
            if len(self.unreadable) + len(self.lost) >= _UNREADABLE:
                return
            try:
                self._compare(single)
            except TypeMismatch:
                raise
            except _SourceUnreadableError as error:
                self.lost.append(f"chunk {self.name(single.first)}: {error.message}")
            except RefmakerError as error:
                self.unreadable.append(f"chunk {self.name(single.first)}: {error.message}")

    def _compare(self, block: Block) -> None:
        selection = block.selection(self.shown.shape, self.chunk)
        if self.original.undefined and not self.original.stored(selection):
            self.result.chunks_checked += block.chunks
            return
        try:
            expected = self.original.read(selection)
        except RefmakerError as error:
            raise _SourceUnreadableError(error.message) from error
        got = _read(self.shown, selection)
        different = self._differing(expected, got)
        self.result.chunks_checked += block.chunks
        if different.any():
            self._count(selection, different, expected, got)

    def _count(self, selection: tuple[slice, ...], different: Mask, expected: np.ndarray, got: np.ndarray) -> None:
        result = self.result
        result.elements_different += int(different.sum())
        result.chunks_different += _chunks_of(different, self.chunk)
        if result.first_difference is None:
            at = np.unravel_index(int(different.argmax()), different.shape) if different.ndim else ()
            index = [int(i) + s.start for i, s in zip(at, selection, strict=True)]
            result.first_difference = Difference(index, plain(expected[at]), plain(got[at]))

    def _conclude(self) -> None:
        result, lines = self.result, []
        if self.lost:
            result.status = "skipped"
            lines.append(f"{_few(self.lost)} of the file cannot be read: {self.lost[0]}")
        if self.unreadable:
            result.status = "unreadable"
            lines.insert(0, f"{_few(self.unreadable)} cannot be read: {self.unreadable[0]}")
        if result.elements_different:
            result.status = "differs"
            elements, chunks = counted(result.elements_different, "element"), counted(result.chunks_different, "chunk")
            lines.insert(0, f"other values: {elements} in {chunks}")
        result.reason = "; ".join(lines) or None


class _SourceUnreadableError(SourceError):
    """The original values cannot be read."""


def _few(chunks: list[str]) -> str:
    if len(chunks) >= _UNREADABLE:
        return f"{len(chunks)} chunks or more"
    return counted(len(chunks), "chunk")


def _read(shown: Any, selection: tuple[slice, ...]) -> np.ndarray:
    """Read through the manifest."""
    try:
        values = shown[selection]
    except RefmakerError as error:
        raise SourceError(str(error)) from error
    except Exception as error:  # zarr and its codecs raise errors of many kinds
        raise SourceError(f"{type(error).__name__}: {error}".split("\n", 1)[0]) from error
    if isinstance(values, np.ndarray) and (values.shape == shown.shape or shown.dtype != object):
        return values
    # Zarr gives, in some versions, what is in an array without axes; that is an array, where elements are sequences.
    single = np.empty((), shown.dtype)
    single[()] = values
    return single


def _chunks_of(different: Mask, chunk: tuple[int, ...]) -> int:
    """Count the chunks that an element that differs is in."""
    for axis, size in enumerate(chunk):
        different = np.logical_or.reduceat(different, np.arange(0, different.shape[axis], size), axis=axis)
    return int(different.sum())
