"""Datasets as h5py reads them, in the form in which Zarr shows them.

Contract: the axes of an array datatype stand behind those of the dataspace; a member of a compound is an array of its
own; elements beyond the extent of an unlimited dimension are the fill value, as netCDF-4 shows them. Everything that
h5py raises while values are read is a `SourceError`.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from refmaker.errors import SourceError
from refmaker.verification.values import MissingCounterpart

__all__ = ["Hdf5Array", "find_dataset"]

Selection: TypeAlias = tuple[slice, ...]


@dataclass(slots=True)
class Hdf5Array:
    """A dataset, or one member of a compound dataset. See `refmaker.verification.originals.Original`.

    `members` leads from the compound to the member. `memory` is the dtype that libhdf5 is to convert to, where numpy
    has none for what the file holds.
    """

    dataset: Any
    members: tuple[str, ...]
    memory: np.dtype[Any] | None
    shape: tuple[int, ...]
    growable: tuple[bool, ...]
    dtype: np.dtype[Any] | None
    undefined: bool
    spaces: bool

    @property
    def rank(self) -> int:
        """Number of axes of the dataspace."""
        return len(self.dataset.shape)

    def read(self, selection: Selection) -> np.ndarray:
        """See `Original.read`."""
        try:
            return self._read(selection)
        except Exception as error:  # h5py raises errors of many kinds
            cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
            raise SourceError(f"h5py cannot read it: {cause}") from error

    def _read(self, selection: Selection) -> np.ndarray:
        outer, inner = selection[: self.rank], selection[self.rank :]
        inside = tuple(
            slice(min(s.start, extent), min(s.stop, extent)) for s, extent in zip(outer, self.shape, strict=False)
        )
        extra = self.shape[self.rank :]
        wanted, there = _lengths(outer), _lengths(inside)
        if wanted == there:
            return _inner(self._slab(inside), inner)
        values = np.empty(wanted + extra, self.dtype)
        values[...] = self._fill()
        if 0 not in there:
            values[tuple(slice(0, n) for n in there)] = self._slab(inside)
        return _inner(values, inner)

    def _slab(self, selection: Selection) -> np.ndarray:
        """Read elements of the dataspace, with all that an array datatype adds."""
        shape = _lengths(selection) + self.shape[self.rank :]
        if self.memory is not None:
            return self._converted(selection, shape)
        values: Any = self._plain(selection, shape)
        for name in self.members[1:]:
            values = values[name]
        if shape == () and self.dtype is not None and self.dtype.kind == "O":
            single = np.empty((), object)  # its only element may itself be a sequence
            single[()] = values
            return single
        return np.asarray(values).reshape(shape)

    def _plain(self, selection: Selection, shape: tuple[int, ...]) -> Any:
        """Read with h5py; where libhdf5 lacks the conversion, as with opaque data that have a tag, as stored."""
        dtype = self.dataset.dtype
        if self.members and dtype.names is not None:
            _check_apart(dtype[self.members[0]])
            return self.dataset.fields(self.members[0])[selection]
        if self.members:  # of an array of compounds
            _check_apart(dtype)
            return self.dataset[selection][self.members[0]]
        if _overlapping(dtype):
            return self._member_by_member(selection)
        try:
            return self.dataset[selection]
        except OSError:
            datatype = self.dataset.id.get_type()
            stored = self.dataset.dtype
            if stored.hasobject or stored.itemsize != datatype.get_size():
                raise
            outer = _lengths(selection)
            return self._low_level(selection, np.empty(outer + shape[len(outer) :], self.dtype), datatype)

    def _member_by_member(self, selection: Selection) -> np.ndarray:
        """Read where h5py shows a member by a wider number, which would be written over its neighbour."""
        dtype = self.dataset.dtype
        names = dtype.names or ()
        for name in names:
            _check_apart(dtype[name])
        if not names:
            _check_apart(dtype)
        values = np.empty(_lengths(selection), [(name, dtype[name]) for name in names])
        for name in names:
            values[name] = self.dataset.fields(name)[selection]
        return values

    def _converted(self, selection: Selection, shape: tuple[int, ...]) -> np.ndarray:
        """Read as `memory`."""
        import h5py

        extra = self.shape[self.rank :]
        mtype = h5py.h5t.py_create(np.dtype((self.memory, extra)) if extra else self.memory)
        return self._low_level(selection, np.empty(shape, self.memory), mtype)

    def _low_level(self, selection: Selection, values: np.ndarray, mtype: Any) -> np.ndarray:
        """Read into `values`, which are of the type `mtype` of libhdf5."""
        import h5py

        space = self.dataset.id.get_space()
        memory = h5py.h5s.create(h5py.h5s.SCALAR)
        if self.rank:
            space.select_hyperslab(tuple(s.start for s in selection), _lengths(selection))
            memory = h5py.h5s.create_simple(_lengths(selection))
        if values.size:
            self.dataset.id.read(memory, space, values, mtype)
        return values

    def _fill(self) -> Any:
        if self.memory is not None:
            value = np.zeros((), self.memory)
            self.dataset.id.get_create_plist().get_fill_value(value)
            return value
        import h5py

        from refmaker.conventions.default_fill import default_fill

        if not self.members and self.dataset.dtype.kind in "iuf" and h5py.check_enum_dtype(self.dataset.dtype) is None:
            defined = self.dataset.id.get_create_plist().fill_value_defined()
            default = default_fill(self.dataset.dtype)
            if defined != h5py.h5d.FILL_VALUE_USER_DEFINED and default is not None:
                return default
        value = self.dataset.fillvalue
        for name in self.members:
            value = value[name]
        return value

    @property
    def attributes(self) -> dict[str, Any]:
        """See `Original.attributes`; those that h5py cannot read are left out."""
        found = {}
        for name in list(self.dataset.attrs):
            with contextlib.suppress(OSError, TypeError, ValueError, KeyError):
                if not _overlapping(self.dataset.attrs.get_id(name).dtype):
                    found[str(name)] = self.dataset.attrs[name]
        return found

    @property
    def dimensions(self) -> tuple[str | None, ...]:
        """See `Original.dimensions`: the names of dimension scales."""
        found: list[str | None] = []
        for dim in list(self.dataset.dims):
            try:
                name = dim[0].name if len(dim) else None
            except (OSError, RuntimeError, KeyError, ValueError):
                name = None
            found.append(None if name is None else name.rpartition("/")[2])
        if self.dataset.is_scale and self.rank == 1:
            found = [self.dataset.name.rpartition("/")[2]]
        return (*found, *[None] * (len(self.shape) - self.rank))

    def stored(self, selection: Selection) -> bool:
        """See `Original.stored`."""
        import h5py

        layout = self.dataset.id.get_create_plist().get_layout()
        if layout == h5py.h5d.CONTIGUOUS:
            return bool(self.dataset.id.get_storage_size()) or self.dataset.external is not None
        if layout != h5py.h5d.CHUNKED:
            return True
        start = tuple(s.start for s in selection[: self.rank])
        if any(at >= extent for at, extent in zip(start, self.shape, strict=False)):
            return False
        try:
            return self.dataset.id.get_chunk_info_by_coord(start).byte_offset is not None
        except RuntimeError as error:
            raise SourceError(f"h5py cannot look a chunk up: {error}") from error

    def same_object(self, reference: object, path: str) -> bool:
        """See `Original.same_object`."""
        import h5py

        errors = (KeyError, OSError, RuntimeError, TypeError, ValueError)
        try:
            found = h5py.h5o.get_info(h5py.h5r.dereference(reference, self.dataset.file.id))
        except errors:
            return not path
        try:
            shown = h5py.h5o.get_info(h5py.h5o.open(self.dataset.file.id, path.encode("utf-8", "surrogateescape")))
        except errors:
            return False
        return bool((found.fileno, found.addr) == (shown.fileno, shown.addr))


def find_dataset(file: Any, path: str, shown: np.dtype[Any], *, remote: bool) -> Hdf5Array:
    """Find a dataset, or a member of a compound, by path: a member is named as if the dataset were a group.

    Raises
    ------
    KeyError
        There is neither.
    NoCounterpart
        It is something else.
    SourceError
        It cannot be compared.
    """
    import h5py

    dataset, rest = _deepest(file, path)
    if not isinstance(dataset, h5py.Dataset):
        raise MissingCounterpart(f"{path} is no dataset in the file")
    if dataset.shape is None:
        raise MissingCounterpart(f"{path} has a null dataspace in the file: no values")
    if remote and (dataset.is_virtual or dataset.external is not None):
        raise SourceError(f"{path} lies in other files, which libhdf5 does not find from a remote one")
    if _misses_raw_files(dataset):
        name = dataset.name
        del dataset  # as long as it is open, libhdf5 keeps to the places where it looked first
        dataset = _open_beside(file, name)
    try:
        dtype, memory = dataset.dtype, None
    except (TypeError, ValueError) as error:
        dtype, memory = None, _memory(dataset, shown)
        if memory is None or rest:
            raise SourceError(f"{path} has a datatype that numpy has not: {error}") from error
        dtype = memory
    members: tuple[str, ...] = ()
    extra: tuple[int, ...] = _array_axes(dataset) if memory is not None else ()
    if rest:
        dtype, extra = _base(dtype, extra)
        members = _member_path(dtype, rest)
        for name in members:
            dtype, extra = _base(dtype[name], extra)
    elif memory is None:
        dtype, extra = _base(dtype, extra)
    growable = tuple(limit is None for limit in dataset.maxshape) + (False,) * len(extra)
    undefined, spaces = _is_undefined(dataset), _has_spaces(dataset.id.get_type())
    return Hdf5Array(dataset, members, memory, dataset.shape + extra, growable, dtype, undefined, spaces)


def _deepest(file: Any, path: str) -> tuple[Any, str]:
    """Find the object at a path, or the compound dataset above it and what is left of the path."""
    import h5py

    parts = [part for part in path.split("/") if part]
    for count in range(len(parts), 0, -1):
        name = "/".join(parts[:count]).encode("utf-8", "surrogateescape")
        try:
            found = file[name]
        except KeyError as error:
            if name in file:
                raise SourceError(f"h5py cannot open {path}: {error}") from error
            continue
        rest = "/".join(parts[count:])
        if not rest or (isinstance(found, h5py.Dataset) and found.dtype.base.names is not None):
            return found, rest
        break
    raise KeyError(path)


def _misses_raw_files(dataset: Any) -> bool:
    """Return whether the external raw data are not where libhdf5 looks: by default in the current directory."""
    if dataset.external is None or "HDF5_EXTFILE_PREFIX" in os.environ:
        return False
    return not all(os.path.exists(name) for name, _, _ in dataset.external)


def _open_beside(file: Any, name: str) -> Any:
    """Open a dataset whose external raw data lie beside the file, where people put them."""
    import h5py

    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(b"${ORIGIN}")
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode("utf-8", "surrogateescape"), access))


def _member_path(dtype: np.dtype[Any], rest: str) -> tuple[str, ...]:
    """Take the names of nested members apart: they may hold slashes themselves."""
    dtype = dtype.base
    for name in dtype.names or ():
        if rest == name:
            return (name,)
        if rest.startswith(name + "/"):
            return (name, *_member_path(dtype[name], rest[len(name) + 1 :]))
    raise KeyError(rest)


def _base(dtype: np.dtype[Any], extra: tuple[int, ...]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the element of an array datatype, and the axes found so far with those that it adds."""
    while dtype.subdtype is not None:
        dtype, axes = dtype.subdtype
        extra += axes
    return dtype, extra


def _memory(dataset: Any, shown: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype of the manifest where libhdf5 can convert to it without loss, as far as sizes tell."""
    import h5py

    datatype = dataset.id.get_type()
    while isinstance(datatype, h5py.h5t.TypeArrayID):
        datatype = datatype.get_super()
    kinds = {h5py.h5t.FLOAT: "f", h5py.h5t.BITFIELD: "u"}
    kind = kinds.get(datatype.get_class())
    if datatype.get_class() == h5py.h5t.INTEGER:
        kind = "u" if datatype.get_sign() == h5py.h5t.SGN_NONE else "i"
    return shown if shown.kind == kind and shown.itemsize >= datatype.get_size() else None


def _array_axes(dataset: Any) -> tuple[int, ...]:
    import h5py

    axes: tuple[int, ...] = ()
    datatype = dataset.id.get_type()
    while isinstance(datatype, h5py.h5t.TypeArrayID):
        axes += datatype.get_array_dims()
        datatype = datatype.get_super()
    return axes


def _is_undefined(dataset: Any) -> bool:
    """Return whether HDF5 leaves open what elements are that were never written."""
    import h5py

    creation = dataset.id.get_create_plist()
    never = creation.get_fill_time() == h5py.h5d.FILL_TIME_NEVER
    return bool(never or creation.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED)


def _has_spaces(datatype: Any) -> bool:
    """Return whether a datatype has text that is padded with spaces: h5py takes them away."""
    import h5py

    if isinstance(datatype, h5py.h5t.TypeCompoundID):
        return any(_has_spaces(datatype.get_member_type(i)) for i in range(datatype.get_nmembers()))
    if isinstance(datatype, h5py.h5t.TypeArrayID):
        return _has_spaces(datatype.get_super())
    text = isinstance(datatype, h5py.h5t.TypeStringID) and not datatype.is_variable_str()
    return bool(text and datatype.get_strpad() == h5py.h5t.STR_SPACEPAD)


def _inner(values: np.ndarray, selection: Selection) -> np.ndarray:
    """Select on the last axes."""
    return values[(slice(None),) * (values.ndim - len(selection)) + selection] if selection else values


def _check_apart(dtype: np.dtype[Any]) -> None:
    """Raise `SourceError` for what libhdf5 would write beyond its memory."""
    if _overlapping(dtype):
        raise SourceError("h5py would lay members of these compounds over one another")


def _overlapping(dtype: np.dtype[Any]) -> bool:
    """Return whether members of a compound lie over one another in memory, where libhdf5 would not look."""
    if dtype.subdtype is not None:
        return _overlapping(dtype.base)
    stop = 0
    for member, offset, *_ in sorted((dtype.fields or {}).values(), key=lambda field: field[1]):
        if offset < stop or _overlapping(member):
            return True
        stop = offset + member.itemsize
    return False


def _lengths(selection: Selection) -> tuple[int, ...]:
    return tuple(s.stop - s.start for s in selection)
