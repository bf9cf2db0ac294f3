"""The original files, read by the libraries that define what is right: h5py for HDF5, netCDF4 for netCDF classic.

Other formats are read by those of `refmaker.verification.other_formats`.

Contract: `Originals.find` gives an object of a target as an array that can be read in slabs; files are opened when
they are first needed, few at a time. Nothing of refmaker's own parsers is used. Whatever these libraries raise comes
out as a `SourceError`.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from refmaker import limits
from refmaker.errors import RefmakerError, SourceError, cause_of
from refmaker.formats.detect import HEAD_SIZE, format_of
from refmaker.replay.connections import held
from refmaker.replay.targets import Targets
from refmaker.urls import filesystem_of, is_local, local_path
from refmaker.verification.b2nd_originals import is_b2nd, open_b2nd
from refmaker.verification.containers import Member, MemberFile, member_with, members_of
from refmaker.verification.hdf5 import find_dataset
from refmaker.verification.other_formats import FormatFile, open_format
from refmaker.verification.retrying import CountedRetries, PatientFile
from refmaker.verification.values import MissingCounterpart
from refmaker.verification.wkw_originals import open_wkw
from refmaker.verification.zarr_originals import open_zarr_file, open_zarr_zip

__all__ = ["Original", "Originals"]

Selection: TypeAlias = tuple[slice, ...]

_OPEN = 8
_REMOTE_BLOCK = 1 << 20
_GARBAGE = 100_000
"""Objects that may have been made since the last collection, while none is made by itself."""
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

    @property
    def attributes(self) -> dict[str, Any] | None:
        """Attributes as the library gives them; None where it has none of the kind: raw values are what counts then."""

    @property
    def dimensions(self) -> tuple[str | None, ...]:
        """Names of the dimensions that have any; of the axes that an array datatype adds, none."""

    def stored(self, selection: Selection) -> bool:
        """Return whether the chunk of these elements was ever written."""

    def same_object(self, reference: object, path: str) -> bool:
        """Return whether a reference leads to the object of a path; a null reference to the empty path."""


def _close(file: _File) -> None:
    """Close a file that has been read; over damaged ones libhdf5 may fail even then, and there is nothing to lose."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        file.closing.close()


class Originals:
    """The files behind the targets of a manifest, open while they are used.

    Parameters
    ----------
    extent
        Gives for a target the first byte that is referred to, and the one behind the last: in containers that says
        which member is meant.
    """

    def __init__(self, targets: Targets, extent: Callable[[int], tuple[int, int] | None]) -> None:
        self.targets = targets
        self.extent = extent
        self.retries = CountedRetries()
        self._files: OrderedDict[tuple[int, Member | None], _File] = OrderedDict()
        self._collector_stopped = self._frozen = False

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._files:
            _close(self._files.popitem()[1])
        if self._collector_stopped:
            if self._frozen:
                gc.unfreeze()
            gc.enable()

    def members(self, code: int) -> list[Member] | None:
        """Return the members of a target that is a tar or zip file; None for any other. Raises `SourceError`."""
        url, options = self._located(code)
        with ExitStack() as stack, _explained(url):
            return members_of(_opened(stack, url, options, self.retries))

    def open(self, code: int, member: Member | None = None) -> None:
        """Open the file of a target, if it is not open. Raises `SourceError` when it cannot be.

        Parameters
        ----------
        member
            Of a container; None: the one that the references lie in.
        """
        key = code, member
        if key not in self._files:
            while len(self._files) >= _OPEN:
                _close(self._files.popitem(last=False)[1])
            url, options = self._located(code)
            if not is_local(url):
                self._stop_collector()
            self._files[key] = _open(url, options, member, lambda: self.extent(code), self.retries)
        self._files.move_to_end(key)

    def _located(self, code: int) -> tuple[str, Any]:
        """Return the place of a target, and options that keep its filesystem to the policy of the manifest."""
        url, options = self.targets.location(code)
        return url, held(url, options, self.targets.policy)

    def _stop_collector(self) -> None:
        """Have garbage collected here only.

        h5py holds its lock while fsspec's thread reads. A collection that ran there, and freed an object of h5py, would
        wait for that lock for ever. What there is now is not looked at again.
        """
        if gc.isenabled():
            gc.disable()
            gc.collect()
            self._frozen = gc.get_freeze_count() == 0
            if self._frozen:
                gc.freeze()
            self._collector_stopped = True

    def find(self, code: int, path: str, shown: np.dtype[Any], member: Member | None = None) -> Original:
        """Find the array at a path of a target.

        Parameters
        ----------
        shown
            The dtype in Zarr: what h5py is asked for where numpy has no dtype for the file's.
        member
            See `open`.

        Raises
        ------
        NoCounterpart
            There is none.
        SourceError
            It cannot be opened, or not be compared.
        """
        self.open(code, member)
        if self._collector_stopped and gc.get_count()[0] > _GARBAGE:
            gc.collect()
        file = self._files[code, member]
        try:
            if isinstance(file.handle, FormatFile):
                return cast("Original", file.handle.find(path, shown))
            if file.classic:
                return _ClassicArray.of(file.handle.variables[path.strip("/")])
            return find_dataset(file.handle, path, shown, remote=file.detached)
        except RefmakerError:
            raise
        except KeyError as error:
            raise MissingCounterpart(f"there is no {path} in the file") from error
        except Exception as error:  # h5py and netCDF4 raise errors of many kinds
            raise SourceError(f"cannot be opened: {_cause(error)}", source=file.url) from error


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Make errors of ours of what libraries raise."""
    try:
        yield
    except RefmakerError as error:
        error.source = url
        raise
    except Exception as error:  # every library here raises errors of its own
        raise SourceError(f"cannot be opened: {_cause(error)}", source=url) from error


@dataclass(frozen=True, slots=True)
class _File:
    """An open file: an `h5py.File`, a `netCDF4.Dataset` when `classic`, or a `FormatFile`.

    `detached` says that libhdf5 does not know where it lies.
    """

    handle: Any
    classic: bool
    detached: bool
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

    @property
    def attributes(self) -> dict[str, Any]:
        return {name: self.variable.getncattr(name) for name in self.variable.ncattrs()}

    @property
    def dimensions(self) -> tuple[str | None, ...]:
        return tuple(self.variable.dimensions)

    def stored(self, selection: Selection) -> bool:
        return True

    def same_object(self, reference: object, path: str) -> bool:
        return False


def _open(
    url: str, options: Any, member: Member | None, extent: Callable[[], tuple[int, int] | None], retries: CountedRetries
) -> _File:
    with ExitStack() as stack, _explained(url):
        name: Any = _opened(stack, url, options, retries)
        members = members_of(name) if member is None else [member]
        if members is not None:
            name = stack.enter_context(io.BufferedReader(MemberFile(name, member or member_with(members, extent()))))
        elif is_local(url):
            name = local_path(url)  # libhdf5 reads by itself, and finds what lies beside the file
        head = _head(name)
        kind = format_of(head)
        handle: Any = _open_other(stack, name, head, url, options) if members is None and kind is None else None
        if handle is not None:
            pass
        elif head[:4] in _MAGIC:
            handle = _open_classic(stack, name)
        else:
            if kind in ("fits", "grib") and not isinstance(name, str):
                name = _fetched(stack, name)
            handle = _open_hdf5(name) if kind is None else open_format(kind, name)
        stack.callback(handle.close)
        detached = members is not None or not is_local(url)
        return _File(handle, head[:4] in _MAGIC, detached, url, stack.pop_all())


def _open_other(stack: ExitStack, name: Any, head: bytes, url: str, options: Any) -> FormatFile | None:
    """Open a frame of Blosc2, or the Zarr store that a target is, or is part of; None where it is none of these."""
    if head.startswith((b"\x89HDF", *_MAGIC)):
        return None
    if head.startswith(b"WKW") and is_local(url):
        return open_wkw(local_path(url))
    if is_b2nd(head):
        return open_b2nd(name if isinstance(name, str) else _fetched(stack, name, "copy.b2nd"))
    if head.startswith(b"PK"):
        return open_zarr_zip(name if isinstance(name, str) else _fetched(stack, name, "copy.zip"))
    return open_zarr_file(url, options)


def _opened(stack: ExitStack, url: str, options: Any, retries: CountedRetries) -> Any:
    """Open the bytes of a target."""
    if is_local(url):
        return stack.enter_context(open(local_path(url), "rb"))
    filesystem, path = filesystem_of(url, options)
    opened = retries(lambda: filesystem.open(path, "rb", block_size=_REMOTE_BLOCK, cache_type="blockcache"))
    return PatientFile(stack.enter_context(opened), retries)


def _head(name: Any) -> bytes:
    if isinstance(name, str):
        with open(name, "rb") as file:
            return file.read(HEAD_SIZE)
    name.seek(0)
    head: bytes = name.read(HEAD_SIZE)
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


def _fetched(stack: ExitStack, file: Any, name: str = "copy.nc") -> str:
    """Copy a remote file to the local disk: netCDF4 and cfgrib read no other, astropy closes none."""
    name = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), name)
    with open(name, "wb") as copy:
        left = limits.WHOLE_TARGET
        while block := file.read(1 << 22):
            left -= len(block)
            if left < 0:
                raise SourceError("the file is too large to be compared", expected=f"<= {limits.WHOLE_TARGET} bytes")
            copy.write(block)
    return name


def _cause(error: Exception) -> str:
    return cause_of(error)
