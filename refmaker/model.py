"""Plain records of what a source file says, in the nouns of the HDF5 specification.

Contract: no I/O, no behaviour beyond simple derived properties. The walkers (`refmaker.hdf5`, `refmaker.netcdf3`)
fill these, the conventions and the Zarr layer read them. Nothing here knows Zarr. All `offset` and `address` values
count bytes from the start of the source file, the user block included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.datatypes import (
    ArrayType,
    BitField,
    ByteOrder,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Member,
    ObjectReference,
    Opaque,
    RegionReference,
    String,
    Time,
    VariableLength,
)

__all__ = [
    "ArrayType",
    "Attribute",
    "BitField",
    "ByteOrder",
    "ChunkIndex",
    "Chunked",
    "Compact",
    "Complex",
    "Compound",
    "Contiguous",
    "Dataset",
    "Dataspace",
    "Datatype",
    "Enumeration",
    "External",
    "ExternalLink",
    "ExternalSegment",
    "FillValue",
    "Filter",
    "FixedPoint",
    "FloatingPoint",
    "Group",
    "JSON",
    "LinkNote",
    "Member",
    "ObjectReference",
    "Opaque",
    "Refusal",
    "RegionReference",
    "Selection",
    "Slab",
    "Storage",
    "String",
    "Time",
    "Tree",
    "Unread",
    "VariableLength",
    "Virtual",
    "VirtualMapping",
]


@dataclass(slots=True)
class Dataspace:
    """Extent of a dataset or attribute (Dataspace message). `max_shape` has None for an unlimited dimension."""

    kind: Literal["scalar", "simple", "null"]
    shape: tuple[int, ...] = ()
    max_shape: tuple[int | None, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        if self.kind == "null":
            return 0
        n = 1
        for extent in self.shape:
            n *= extent
        return n


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline. `id` is the registered number; `optional` is flag bit 0."""

    id: int
    name: str
    optional: bool
    client_data: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FillValue:
    """Fill Value message. `value` is None when undefined; b"" when the library's default (zeros) holds.

    `write_time`: 0 on allocation, 1 never, 2 if set.
    """

    value: bytes | None = b""
    write_time: int = 2


@dataclass(slots=True)
class ChunkIndex:
    """Columns of the allocated chunks, sorted by `cell`. An absent chunk is an absent row.

    Attributes
    ----------
    cell : int64[n]
        Ravelled (C order) position in the chunk grid of the current extent, `ceil(shape / chunk_shape)`.
    offset : uint64[n]
        Bytes from the start of the source file.
    size : uint64[n]
        Stored bytes.
    filter_mask : uint32[n]
        Bit i set: filter i of the pipeline was skipped.
    """

    cell: npt.NDArray[np.int64]
    offset: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    filter_mask: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.cell)

    @staticmethod
    def empty() -> ChunkIndex:
        """Return an index of no chunks."""
        return ChunkIndex(np.empty(0, "i8"), np.empty(0, "u8"), np.empty(0, "u8"), np.empty(0, "u4"))


@dataclass(slots=True)
class Compact:
    """Values stand in the object header."""

    data: bytes


@dataclass(slots=True)
class Contiguous:
    """One block; `offset` is None when storage was never allocated.

    `part` is the size in bytes that a chunk of it should have, where another than that of all blocks is better;
    `rows` is how many rows of the first axis a chunk has to have, if that was asked for.
    """

    offset: int | None
    size: int
    part: int | None = None
    rows: int | None = None


@dataclass(slots=True)
class Chunked:
    """Chunks on a regular grid. `chunk_shape` has the rank of the dataspace.

    `edge_unfiltered`: partial edge chunks are stored without the filters (layout message flag bit 0).
    """

    chunk_shape: tuple[int, ...]
    index: ChunkIndex
    edge_unfiltered: bool = False


@dataclass(slots=True)
class ExternalSegment:
    """A slot of the External Data Files message. `size` is None when unlimited."""

    name: str
    offset: int
    size: int | None


@dataclass(slots=True)
class External:
    """Raw data in other files, one after the other."""

    segments: tuple[ExternalSegment, ...]


@dataclass(frozen=True, slots=True)
class Slab:
    """A regular hyperslab along one axis. `count` or `block` is None when unlimited."""

    start: int
    stride: int
    count: int | None
    block: int | None


@dataclass(frozen=True, slots=True)
class Selection:
    """A dataspace selection. `slabs` has one entry an axis; `blocks` is int64[n, rank, 2]: start and stop."""

    kind: Literal["all", "none", "slabs", "blocks"]
    slabs: tuple[Slab, ...] = ()
    blocks: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class VirtualMapping:
    """Elements of a source dataset, in C order, become those of a virtual dataset. Names are as stored: `%` escaped."""

    file: str
    dataset: str
    source: Selection
    virtual: Selection


@dataclass(slots=True)
class Virtual:
    """Virtual dataset: the mappings, and where they are: address of a global heap collection, index of the object."""

    collection: int
    index: int
    mappings: tuple[VirtualMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """Storage that nobody asked for: the dataset's values are not to be had."""


Storage: TypeAlias = Compact | Contiguous | Chunked | External | Virtual | Unread


@dataclass(slots=True)
class Attribute:
    """An attribute with its value decoded.

    `value` is None for a null dataspace, else a numpy array of the dataspace's shape (0-d for scalar). The dtype is
    the natural one: `<i4`, `>f8`, bool for FALSE/TRUE enumerations, `S<n>` for fixed strings (padding stripped later),
    a structured dtype for compounds. Variable-length strings are object arrays of `bytes` (None for a null pointer);
    other variable-length data object arrays of numpy arrays; object references uint64 arrays of header addresses
    (2**64-1 or 0: null).
    """

    name: str
    datatype: Datatype
    dataspace: Dataspace
    value: np.ndarray | None


@dataclass(slots=True)
class Group:
    """A group under its first path. `creation_order_tracked`: links were listed in creation order."""

    path: str
    address: int
    attributes: dict[str, Attribute] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)  # names, in the order netCDF-C sees them
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Dataset:
    """A dataset under its first path.

    `values` is set by the walker for data that only the file can resolve (variable-length): an object array of the
    dataset's shape, with elements as in `Attribute.value`. `dimensions` is set where the format itself names the
    dimensions (netCDF classic), one name an axis; None where the conventions have to find them (HDF5).
    `datatype_message` is the body of the Datatype message as stored, for codecs that let libhdf5 decode.
    """

    path: str
    address: int
    dataspace: Dataspace
    datatype: Datatype
    filters: tuple[Filter, ...]
    fill: FillValue
    storage: Storage
    attributes: dict[str, Attribute] = field(default_factory=dict)
    values: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    dimensions: tuple[str, ...] | None = None
    datatype_message: bytes = b""


@dataclass(slots=True)
class Refusal:
    """An object that could not be read or expressed, and why."""

    path: str
    kind: Literal["dataset", "group", "type", "link"]
    reason: str


@dataclass(slots=True)
class LinkNote:
    """A further name of an object: a second hard link, or a soft link. `first` is the path that owns the object."""

    path: str
    kind: Literal["hard", "soft", "external"]
    first: str
    object_kind: Literal["dataset", "group", "type"]


@dataclass(frozen=True, slots=True)
class ExternalLink:
    """A link to an object in another file, named as the link stores it."""

    path: str
    file: str
    target: str


@dataclass(slots=True)
class Tree:
    """All that a scan found in one source file.

    `groups` and `datasets` are keyed by path ("/" is the root, "/a/b" below it) in alphabetical walk order: every
    object once, under the first path of that walk. `links` lists the other names. `types` lists committed datatypes,
    `definitions` holds what they are, where known. `external` lists the external links, which are refused as well until
    they are followed.
    `metadata_size` and `metadata_blocks` say how many bytes of the file the scan had to read, in how many pieces;
    `metadata_extents` where these are, as starts and stops.
    """

    source: str
    size: int
    kind: str  # a name of the table of formats; nothing more is known here of those that refmaker does not walk
    groups: dict[str, Group] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)
    links: dict[str, LinkNote] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    metadata_size: int = 0
    metadata_blocks: int = 0
    metadata_extents: list[tuple[int, int]] = field(default_factory=list)
    definitions: dict[str, Datatype] = field(default_factory=dict)
    external: dict[str, ExternalLink] = field(default_factory=dict)
    dangling: dict[str, str] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)  # header address -> first path, of every object


JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
