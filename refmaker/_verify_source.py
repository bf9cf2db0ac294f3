"""The original files, read by the libraries that define what is right: h5py for HDF5, netCDF4 for netCDF classic.

Contract: `Originals.find` gives an object of a target as an array that can be read in slabs; files are opened when
they are first needed, few at a time. Nothing of refmaker's own parsers is used. Whatever these libraries raise comes
out as a `SourceError`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np

from refmaker import limits
from refmaker._verify_hdf5 import find_dataset
from refmaker._verify_values import NoCounterpart
from refmaker.errors import RefmakerError, SourceError
from refmaker.replay.connections import held
from refmaker.replay.location import is_local, local_path
from refmaker.replay.policy import Policy
from refmaker.replay.targets import Targets

__all__ = ["Original", "Originals"]

Selection: TypeAlias = tuple[slice, ...]

_OPEN = 8
_REMOTE_BLOCK = 1 << 20
_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


class Original(Protocol):
    """An array of a source file.

    Attributes
    ----------
    shape
        With the axes that an array datatype adds.
    growable
        For each axis: an array of the manifest may be longer, filled with `fill`.
    dtype
        None where numpy has none for it.
    undefined
        Values that were never written are not defined.
    spaces
        There is text in it that is padded with spaces.
    """

    shape: tuple[int, ...]
    growable: tuple[bool, ...]
    dtype: np.dtype[Any] | None
    undefined: bool
    spaces: bool

    def read(self, selection: Selection) -> np.ndarray:
        """Read elements; those beyond the extent are the fill value."""

    def stored(self, selection: Selection) -> bool:
        """Say whether the chunk of these elements was ever written."""

    def same_object(self, reference: object, path: str) -> bool:
        """Say whether a reference leads to the object of a path; a null reference to the empty path."""


def _close(file: _File) -> None:
    """Close a file that has been read; over damaged ones libhdf5 may fail even then, and there is nothing to lose."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        file.closing.close()


class Originals:
    """The files behind the targets of a manifest, open while they are used."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._collector_stopped = False

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._files:
            _close(self._files.popitem()[1])
        if self._collector_stopped:
            gc.enable()

    def open(self, code: int) -> None:
        """Open the file of a target, if it is not open. Raises `SourceError` when it cannot be."""
        if code not in self._files:
            while len(self._files) >= _OPEN:
                _close(self._files.popitem(last=False)[1])
            file = self._files[code] = _open(self.targets, code)
            if file.remote and not file.classic and gc.isenabled():
                # h5py holds its lock while fsspec's thread reads. A collection that ran there, and freed an object of
                # h5py, would wait for that lock for ever.
                gc.disable()
                self._collector_stopped = True
        self._files.move_to_end(code)

    def find(self, code: int, path: str, shown: np.dtype[Any]) -> Original:
        """Find the array at a path of a target.

        Parameters
        ----------
        shown
            The dtype in Zarr: what h5py is asked for where numpy has no dtype for the file's.

        Raises
        ------
        NoCounterpart
            There is none.
        SourceError
            It cannot be opened, or not be compared.
        """
        self.open(code)
        if self._collector_stopped:
            gc.collect()
        file = self._files[code]
        try:
            if file.classic:
                return _ClassicArray.of(file.handle.variables[path.strip("/")])
            return find_dataset(file.handle, path, shown, remote=file.remote)
        except RefmakerError:
            raise
        except KeyError as error:
            raise NoCounterpart(f"there is no {path} in the file") from error
        except Exception as error:  # h5py and netCDF4 raise errors of many kinds
            raise SourceError(f"cannot be opened: {_cause(error)}", source=file.url) from error


@dataclass(frozen=True, slots=True)
class _File:
    """An open file: an `h5py.File`, or a `netCDF4.Dataset` when `classic`."""

    handle: Any
    classic: bool
    remote: bool
    url: str
    closing: ExitStack


@dataclass(slots=True)
class _ClassicArray:
    """A variable of a netCDF classic file."""

    variable: Any
    shape: tuple[int, ...]
    growable: tuple[bool, ...]
    dtype: np.dtype[Any] | None
    undefined: bool = False
    spaces: bool = False

    @staticmethod
    def of(variable: Any) -> _ClassicArray:
        shape = tuple(map(int, variable.shape))
        return _ClassicArray(variable, shape, (False,) * len(shape), np.dtype(variable.dtype))

    def read(self, selection: Selection) -> np.ndarray:
        try:
            return np.asarray(self.variable[selection if selection else ...]).reshape(
                tuple(s.stop - s.start for s in selection)
            )
        except Exception as error:  # netCDF4 raises errors of many kinds
            raise SourceError(f"netCDF4 cannot read it: {_cause(error)}") from error

    def stored(self, selection: Selection) -> bool:
        return True

    def same_object(self, reference: object, path: str) -> bool:
        return False


def _open(targets: Targets, code: int) -> _File:
    url, options = targets.location(code)
    with ExitStack() as stack:
        try:
            name: Any = local_path(url) if is_local(url) else _remote(stack, url, options, targets.policy)
            head = _head(name)
            handle = _open_classic(stack, name) if head in _MAGIC else _open_hdf5(name)
            stack.callback(handle.close)
        except RefmakerError as error:
            error.source = url
            raise
        except Exception as error:  # every library here raises errors of its own
            raise SourceError(f"cannot be opened: {_cause(error)}", source=url) from error
        return _File(handle, head in _MAGIC, not is_local(url), url, stack.pop_all())


def _remote(stack: ExitStack, url: str, options: Any, policy: Policy) -> Any:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url, **held(url, options, policy))
    return stack.enter_context(filesystem.open(path, "rb", block_size=_REMOTE_BLOCK, cache_type="blockcache"))


def _head(name: Any) -> bytes:
    if isinstance(name, str):
        with open(name, "rb") as file:
            return file.read(4)
    head: bytes = name.read(4)
    name.seek(0)
    return head


def _open_hdf5(name: Any) -> Any:
    import h5py

    if find_spec("hdf5plugin"):
        import hdf5plugin  # noqa: F401  (registers its filters)
    return h5py.File(name, "r")


def _open_classic(stack: ExitStack, name: Any) -> Any:
    if not find_spec("netCDF4"):
        raise SourceError("netCDF classic files are compared with what netCDF4 reads, which is not installed")
    import netCDF4

    if not isinstance(name, str):
        name = _fetched(stack, name)
    handle = netCDF4.Dataset(name)
    handle.set_auto_maskandscale(False)
    handle.set_auto_chartostring(False)
    return handle


def _fetched(stack: ExitStack, file: Any) -> str:
    """Copy a remote file to the local disk: netCDF4 reads no other."""
    name = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "copy.nc")
    with open(name, "wb") as copy:
        left = limits.WHOLE_TARGET
        while block := file.read(1 << 22):
            left -= len(block)
            if left < 0:
                raise SourceError("the file is too large to be compared", expected=f"<= {limits.WHOLE_TARGET} bytes")
            copy.write(block)
    return name


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]
