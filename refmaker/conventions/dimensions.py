"""Dimensions of HDF5 datasets, numbered and named as netCDF-C does it.

Contract: for a file that netCDF-4 can open, every variable gets the dimensions that netCDF-4 shows. Rules from
netCDF-C 4.9–4.10, libhdf5/hdf5open.c:

- Reading (`read_dataset`, `read_scale`, `read_var`): groups in link order, the datasets of a group before its child
  groups. A dimension scale makes a dimension with the id in `_Netcdf4Dimid`, else the next free one; ids count over
  the whole file. A scale whose NAME says so is a dimension without a variable.
- Matching (`rec_match_dimscales`), child groups first: the ids in `_Netcdf4Coordinates`; else, when the first axis has
  scales attached, the last scale of every axis, looked up in the group and its parents; else any dimension of the group
  with that length and limit, or a new `phony_dim_<id>`. Within a variable no dimension is reused that way.
- Datasets of types that netCDF-4 does not know (references, bitfields, arrays, …) take no part; but of those that are
  no references, only the first of a type: netCDF-C has listed the type when it finds that it cannot read it. Here they
  get names afterwards, so that they do not shift the numbers of the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from refmaker.model import (
    Attribute,
    Compound,
    Dataset,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Group,
    Opaque,
    String,
    VariableLength,
)

__all__ = ["Dimension", "Numbering", "Scope", "Slot", "is_empty_scale", "is_scale", "is_without_variable", "knows_type"]

WITHOUT_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


class Dimension:
    """A netCDF dimension."""

    __slots__ = ("id", "length", "name", "unlimited")

    def __init__(self, name: str, id: int, length: int, unlimited: bool) -> None:
        self.name = name
        self.id = id
        self.length = length
        self.unlimited = unlimited


class Slot:
    """A dataset under one of its names, while its dimensions are being found.

    `coordinates` are the ids of `_Netcdf4Coordinates`. `extent` is its shape, followed by the axes that an array
    datatype adds.
    """

    __slots__ = ("coordinates", "dataset", "dimensions", "extent", "known", "max_extent", "name", "path", "scale")

    def __init__(self, path: str, name: str, dataset: Dataset, extra: tuple[int, ...], known: bool) -> None:
        self.path = path
        self.name = name
        self.dataset = dataset
        self.extent = dataset.dataspace.shape + extra
        self.max_extent: tuple[int | None, ...] = (dataset.dataspace.max_shape or dataset.dataspace.shape) + extra
        self.known = known
        self.scale: Dimension | None = None
        self.coordinates: tuple[int, ...] = ()
        self.dimensions: list[Dimension | None] = [None] * len(self.extent)


class Scope:
    """A group under one of its names, with what has been found in it."""

    __slots__ = ("by_address", "by_extent", "children", "empty_scales", "group", "parent", "path", "slots")

    def __init__(self, path: str, group: Group, parent: Scope | None) -> None:
        self.path = path
        self.group = group
        self.parent = parent
        self.by_address: dict[int, Dimension] = {}
        self.by_extent: dict[tuple[int, bool], list[Dimension]] = {}
        self.empty_scales: dict[int, str] = {}  # address -> name, of scales that have no values and no length
        self.slots: list[Slot] = []
        self.children: list[Scope] = []

    def inside_out(self) -> Iterator[Scope]:
        """Iterate over child groups before their parents, the order in which netCDF-C matches."""
        stack = [(self, False)]
        while stack:
            scope, seen = stack.pop()
            if seen:
                yield scope
            else:
                stack.append((scope, True))
                stack.extend((child, False) for child in reversed(scope.children))


class Numbering:
    """The dimension ids of one file: `next_dimid` and the list of all dimensions of netCDF-C."""

    def __init__(self) -> None:
        self.next_id = 0
        self.by_id: dict[int, Dimension] = {}

    def add(
        self, scope: Scope, name: str, length: int, unlimited: bool, address: int | None = None, id: int = -1
    ) -> Dimension:
        """Add a dimension to a group; `address` is its scale's, `id` is -1 for the next free one."""
        if id < 0:
            id = self.next_id
        self.next_id = max(self.next_id, id + 1)
        unlimited = unlimited or length == 0  # to `nc4_dim_list_add`, length 0 is NC_UNLIMITED
        dimension = Dimension(name, id, length, unlimited)
        self.by_id[id] = dimension
        scope.by_extent.setdefault((length, unlimited), []).append(dimension)
        if address is not None:
            scope.by_address.setdefault(address, dimension)
        return dimension

    def read_scale(self, scope: Scope, slot: Slot, without_variable: bool) -> None:
        """Make the dimension of a scale dataset, which must have at least one axis."""
        assigned = _integers(slot.dataset.attributes.get("_Netcdf4Dimid"))
        id = assigned[0] if assigned else -1
        unlimited = slot.max_extent[0] is None
        length = _longest(scope, id) if without_variable and unlimited else slot.extent[0]
        name = slot.path.rpartition("/")[2]
        slot.scale = self.add(scope, name, length, unlimited, slot.dataset.address, id)

    def read_coordinates(self, slot: Slot) -> None:
        """Take the dimension ids from `_Netcdf4Coordinates`, when there is one for every axis."""
        ids = _integers(slot.dataset.attributes.get("_Netcdf4Coordinates"))
        if ids and len(ids) == len(slot.dataset.dataspace.shape):
            slot.coordinates = ids

    def match(self, root: Scope) -> None:
        """Find the dimensions of all variables that netCDF-4 knows, then those of the others."""
        for scope in root.inside_out():
            for slot in scope.slots:
                if slot.known:
                    self._match_slot(scope, slot)
        for scope in root.inside_out():
            for slot in scope.slots:
                if not slot.known:
                    self._match_slot(scope, slot)
                if None in slot.dimensions:
                    self._attached(scope, slot)
                    self._phony(scope, slot)

    def _match_slot(self, scope: Scope, slot: Slot) -> None:
        if slot.scale is not None and len(slot.dataset.dataspace.shape) == 1:
            slot.dimensions[0] = slot.scale
        elif slot.coordinates:
            slot.dimensions[: len(slot.coordinates)] = [self.by_id.get(id) for id in slot.coordinates]
        elif slot.scale is not None:
            slot.dimensions[0] = slot.scale
        elif _scales(slot.dataset, 0):
            self._attached(scope, slot)
        else:
            self._phony(scope, slot, len(slot.dataset.dataspace.shape))

    def _attached(self, scope: Scope, slot: Slot) -> None:
        """Look the last scale of every axis up in the group and its parents."""
        for axis, found in enumerate(slot.dimensions):
            scales = _scales(slot.dataset, axis) if found is None else []
            if scales:
                slot.dimensions[axis] = _find(scope, scales[-1]) or self._of_empty_scale(scope, slot, axis, scales[-1])

    def _of_empty_scale(self, scope: Scope, slot: Slot, axis: int, address: int) -> Dimension | None:
        """Name an axis after a scale of a null dataspace, which netCDF-C does not survive and h5netcdf goes by."""
        at: Scope | None = scope
        while at is not None and address not in at.empty_scales:
            at = at.parent
        if at is None:
            return None
        length = slot.extent[axis]
        known = at.by_address.get(address)
        if known is not None:
            return known if known.length == length else None
        return self.add(at, at.empty_scales[address], length, slot.max_extent[axis] is None, address)

    def _phony(self, scope: Scope, slot: Slot, axes: int | None = None) -> None:
        """Name what is left by length: a dimension of the group that this variable does not use yet, or a new one.

        Parameters
        ----------
        axes
            Number of axes to name: netCDF-C knows none that an array datatype adds.
        """
        used = {dimension.id for dimension in slot.dimensions if dimension is not None}
        for axis, found in enumerate(slot.dimensions[:axes]):
            if found is not None:
                continue
            length, unlimited = slot.extent[axis], slot.max_extent[axis] is None
            for dimension in scope.by_extent.get((length, unlimited), ()):
                if dimension.id not in used:
                    break
            else:
                dimension = self.add(scope, f"phony_dim_{self.next_id}", length, unlimited)
            slot.dimensions[axis] = dimension
            used.add(dimension.id)


def knows_type(datatype: Datatype, committed: set[Datatype]) -> bool:
    """Return whether netCDF-4 makes a variable of a dataset with this datatype (`get_type_info2`, `read_type`).

    Parameters
    ----------
    committed
        The user-defined types seen so far: members of a compound must be atomic or among them.
    """
    if isinstance(datatype, (FixedPoint, FloatingPoint, String, Enumeration, Opaque)):
        return True
    if isinstance(datatype, VariableLength):
        return datatype.is_string or datatype in committed or _is_member(datatype.base, committed)
    if isinstance(datatype, Compound):
        return datatype in committed or all(_is_member(m.datatype, committed) for m in datatype.members)
    return datatype in committed


def _is_member(datatype: Datatype, committed: set[Datatype]) -> bool:
    if isinstance(datatype, (FixedPoint, String)) or datatype in committed:
        return True
    if isinstance(datatype, FloatingPoint):
        return 2 < datatype.size <= 8  # what libhdf5 makes a float or a double of; of others netCDF-C has none
    if isinstance(datatype, VariableLength):
        return datatype.is_string
    base = getattr(datatype, "base", None)
    return hasattr(datatype, "shape") and base is not None and _is_member(base, committed)


def is_scale(dataset: Dataset) -> bool:
    """Return whether a dataset is a dimension scale with an axis to name."""
    return _is_of_class_scale(dataset) and bool(dataset.dataspace.shape)


def is_empty_scale(dataset: Dataset) -> bool:
    """Return whether a dataset is a dimension scale without values."""
    return dataset.dataspace.kind == "null" and _is_of_class_scale(dataset)


def _is_of_class_scale(dataset: Dataset) -> bool:
    attribute = dataset.attributes.get("CLASS")
    return attribute is not None and _first_bytes(attribute) == b"DIMENSION_SCALE"


def is_without_variable(dataset: Dataset) -> bool:
    """Return whether a scale stands for a netCDF dimension that has no variable."""
    attribute = dataset.attributes.get("NAME")
    return attribute is not None and _first_bytes(attribute).startswith(WITHOUT_VARIABLE)


def _first_bytes(attribute: Attribute) -> bytes:
    value = attribute.value
    if value is None or value.size != 1 or value.dtype.kind not in "SO":
        return b""
    item = value.item()
    return item.partition(b"\0")[0] if isinstance(item, bytes) else b""


def _integers(attribute: Attribute | None) -> tuple[int, ...]:
    if attribute is None or attribute.value is None or attribute.value.dtype.kind not in "iu":
        return ()
    return tuple(attribute.value.ravel().tolist())


def _scales(dataset: Dataset, axis: int) -> list[int]:
    """Return the addresses of the scales attached to an axis, null references left out."""
    attribute = dataset.attributes.get("DIMENSION_LIST")
    if attribute is None or attribute.value is None or attribute.value.dtype.kind != "O":
        return []
    rows = attribute.value.ravel()
    if axis >= len(rows) or rows[axis] is None or getattr(rows[axis], "dtype", None) is None:
        return []
    return [address for address in rows[axis].ravel().tolist() if address not in (0, 2**64 - 1)]


def _find(scope: Scope, address: int) -> Dimension | None:
    at: Scope | None = scope
    while at is not None:
        if address in at.by_address:
            return at.by_address[address]
        at = at.parent
    return None


def _longest(scope: Scope, id: int) -> int:
    """Return the longest extent among the variables of a group that name a dimension by its id."""
    lengths = [slot.extent[slot.coordinates.index(id)] for slot in scope.slots if id in slot.coordinates]
    return max(lengths, default=0)
