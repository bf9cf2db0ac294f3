"""What is fuzzed: every decoder as a function of bytes, with its seeds and the law it is held to.

Each target takes bytes and gives anything, or raises a `RefmakerError`. Everything else is a finding: another
exception, more time or memory than the bounds of `tests.fuzz.fuzz_hdf5`, an answer that breaks a promise
(`ArithmeticError`). Checksums are taken on trust, as an attacker makes them right.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from refmaker.errors import ManifestError, RefmakerError
from refmaker.hdf5.budget import MeteredWindow, decoding_budget, reading_budget
from refmaker.hdf5.checksum import unverified
from refmaker.hdf5.sizes import Sizes
from refmaker.model import Chunked, ChunkIndex, Contiguous, Dataspace
from refmaker.sources.memory import MemoryWindow

__all__ = ["TARGETS", "Target"]

MAX_COALESCED_REQUEST = 8192
SIZES = (Sizes(8, 8), Sizes(4, 4), Sizes(2, 2), Sizes(4, 8))


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Attributes
    ----------
    run
        Takes the input.
    seeds
        Gives sound inputs.
    longest
        Bytes of an input, at most.
    words
        What is put into inputs.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterator[bytes]]
    longest: int = 4096
    words: tuple[str, ...] = ()


MEMBERS = (
    *(
        "version",
        "templates",
        "refs",
        "gen",
        "refmaker",
        "targets",
        "url",
        "size",
        "etag",
        "mtime",
        "format",
        "history",
    ),
    *(
        ".zarray",
        ".zattrs",
        ".zgroup",
        "zarr.json",
        ".zmetadata",
        "metadata",
        "record_size",
        "shards",
        "extra",
        "sources",
    ),
    *(
        "shape",
        "chunks",
        "dtype",
        "fill_value",
        "order",
        "filters",
        "compressor",
        "id",
        "dimension_separator",
        "base64:",
    ),
    *(
        "node_type",
        "array",
        "group",
        "data_type",
        "chunk_grid",
        "chunk_shape",
        "configuration",
        "codecs",
        "name",
        "endian",
    ),
    *(
        "dimensions",
        "key",
        "offset",
        "length",
        "start",
        "stop",
        "step",
        "{{i}}",
        "{{u}}",
        "structured",
        "fields",
        "pickle",
    ),
    *(
        "null",
        "true",
        "NaN",
        "Infinity",
        "-1",
        "1e308",
        "9223372036854775807",
        "18446744073709551615",
        "<i4",
        "|O",
        "r24",
    ),
)
HEADERS = (
    "Content-Range: bytes ",
    "ETag: ",
    "Last-Modified: ",
    "Retry-After: ",
    "GMT",
    "Jan",
    "99999999999",
    "-",
    "/*",
)


TARGETS: dict[str, Target] = {}


@cache
def files() -> tuple[bytes, ...]:
    """Return small files that between them hold every structure of HDF5."""
    from tests.fuzz.seeds_hdf5 import seeds

    return tuple(data for _, data in seeds())


def small_files() -> list[bytes]:
    return [data for data in files() if len(data) <= 3 * MAX_COALESCED_REQUEST]


# Messages and other structures that lie in one buffer.


def in_buffer(name: str, decode: Callable[[bytes, Sizes], object], *functions: str, more: bytes = b"") -> None:
    """Add a decoder of one buffer; the first byte of an input chooses the sizes of addresses and lengths."""

    def run(data: bytes) -> object:
        with unverified():
            return decode(data[1:], SIZES[data[0] & 3]) if data else None

    def seeds() -> Iterator[bytes]:
        from tests.fuzz.harvest import calls

        if more:
            yield bytes([0]) + more
        for place in functions:
            for _, args in calls(files(), _named(place)):
                buf, at = args[0], args[1] if len(args) > 1 and isinstance(args[1], int) else 0
                found = next((a for a in args if isinstance(a, Sizes)), SIZES[0])
                yield bytes([SIZES.index(found) if found in SIZES else 0]) + bytes(buf[at : at + MAX_COALESCED_REQUEST])

    TARGETS[name] = Target(run, seeds)


def _named(place: str) -> Callable[..., Any]:
    import importlib

    module, _, function = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"refmaker.hdf5.{module}"), function)
    return found


def _messages() -> None:
    from refmaker.hdf5 import (
        attribute,
        data_layout,
        dataspace,
        datatype,
        external_files,
        fill_value,
        filter_pipeline,
        fractal_heap_header,
        global_heap,
        link,
        metadata_cache_image,
        object_header,
        selection,
        shared_message,
        superblock,
        symbol_table,
        virtual,
    )
    from refmaker.hdf5 import btree_v2 as trees
    from refmaker.hdf5.values import natural_dtype

    def header(data: bytes, sizes: Sizes) -> object:
        prefix = object_header.decode_prefix(data.ljust(16, b"\0"), 0, 0)
        found = object_header.scan_messages(data, min(prefix.messages, len(data)), len(data), prefix, 0)
        return [object_header.decode_continuation(m.body, sizes) for m in found if m.kind == 0x10]

    def kind(data: bytes, sizes: Sizes) -> object:
        return natural_dtype(datatype.decode_datatype(data))

    def tables(data: bytes, sizes: Sizes) -> object:
        if data[:4] == b"HEAP" and len(data) >= symbol_table.local_heap_size(sizes):
            return symbol_table.decode_local_heap(data, 0, sizes, 0)
        if data[:4] == b"SNOD" and len(data) >= 8:
            count = symbol_table.decode_snod_count(data, 0, 0)
            room = 8 + min(count, len(data) // symbol_table.entry_size(sizes)) * symbol_table.entry_size(sizes)
            count = (min(room, len(data)) - 8) // symbol_table.entry_size(sizes)
            return symbol_table.decode_entries(data, 8, count, data, sizes, 0)
        return symbol_table.decode_symbol_table(data, sizes)

    def collection(data: bytes, sizes: Sizes) -> object:
        if len(data) < 16:
            return None
        size = global_heap.collection_size(data, 0, sizes, 0)
        return global_heap.decode_collection(data, 0, min(size, len(data)), sizes, 0)

    def shared(data: bytes, sizes: Sizes) -> object:
        if data[:4] == b"SMTB":
            count = (len(data) - 8) // 34
            return shared_message.decode_sohm_indexes(data, 0, max(count, 0), sizes, 0) if count > 0 else None
        return shared_message.decode_shared_message(data, sizes)

    in_buffer("superblock", lambda d, s: superblock.decode_superblock(d, 0, 0), "superblock:decode_superblock")
    in_buffer("object_header", header, "object_header:decode_prefix")
    in_buffer("datatype", kind, "datatype:decode_datatype")
    in_buffer("dataspace", dataspace.decode_dataspace, "dataspace:decode_dataspace")
    in_buffer("fill_value", lambda d, s: fill_value.decode_fill_value(d), "fill_value:decode_fill_value")
    in_buffer("old_fill_value", lambda d, s: fill_value.decode_old_fill_value(d), "fill_value:decode_old_fill_value",
              more=struct.pack("<i4s", 4, b"fill"))  # fmt: skip
    in_buffer(
        "filter_pipeline",
        lambda d, s: filter_pipeline.decode_filter_pipeline(d),
        "filter_pipeline:decode_filter_pipeline",
    )
    in_buffer("data_layout", data_layout.decode_data_layout, "data_layout:decode_data_layout")
    in_buffer("attribute", lambda d, s: attribute.decode_attribute(d), "attribute:decode_attribute")
    in_buffer("attribute_info", attribute.decode_attribute_info, "attribute:decode_attribute_info")
    in_buffer("link", link.decode_link, "link:decode_link")
    in_buffer("link_info", link.decode_link_info, "link:decode_link_info")
    in_buffer("symbol_table", tables, "symbol_table:decode_symbol_table", "symbol_table:decode_local_heap",
              "symbol_table:decode_snod_count")  # fmt: skip
    in_buffer("global_heap", collection, "global_heap:collection_size")
    in_buffer("shared_message", shared, "shared_message:decode_shared_message", "shared_message:decode_sohm_indexes")
    in_buffer("btree_v2_header", lambda d, s: trees.decode_header(d, 0, s, 0), "btree_v2:decode_header")
    in_buffer("fractal_heap_header", lambda d, s: fractal_heap_header.decode_header(d, 0, s, 0),
              "fractal_heap_header:decode_header")  # fmt: skip
    in_buffer("external_files", external_files.decode_external_files, "external_files:decode_external_files")
    in_buffer("virtual", virtual.decode_mappings, "virtual:decode_mappings")

    def places(data: bytes, sizes: Sizes) -> object:
        found, _ = selection.decode_selection(data, 0)
        shape = (7, 5, 3)[: max(1, sizes.offsets // 3)]
        return selection.axes_of(found, shape), selection.coordinates(found, shape, 1 << 16)

    in_buffer("selection", places, "selection:decode_selection")
    in_buffer("cache_image", lambda d, s: metadata_cache_image.decode_cache_image(d, s, 0))


# Structures that lie scattered in a file: an address and two numbers stand before the file in an input.

_HEAD = struct.Struct("<BHII")


def in_file(name: str, read: Callable[[Any, int, int, int, Sizes], object], function: str, numbers: Any) -> None:
    """Add a reader of a structure; `numbers` takes from its arguments address and what else it needs."""

    def run(data: bytes) -> object:
        if len(data) <= _HEAD.size:
            return None
        code, small, address, large = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        with unverified():
            return read(MeteredWindow(MemoryWindow(body), reading_budget(len(body))), address, small, large,
                        SIZES[code & 3])  # fmt: skip

    def seeds() -> Iterator[bytes]:
        from tests.fuzz.harvest import calls

        done: set[tuple[int, int]] = set()
        for body, args in calls(small_files(), _named(function)):
            address, small, large = numbers(*args)
            found = next((a for a in args if isinstance(a, Sizes)), SIZES[0])
            if (id(body), small) not in done and 0 <= address < len(body) and found in SIZES:
                done.add((id(body), small))
                yield _HEAD.pack(SIZES.index(found), small & 0xFFFF, address, large & 0xFFFFFFFF) + body

    TARGETS[name] = Target(run, seeds, 4 * MAX_COALESCED_REQUEST)


def heap_numbers(window: Any, heap: Any, ids: Any, *_: Any) -> tuple[int, int, int]:
    """Return address of a heap, and offset and length of its first object."""
    if not ids:
        return -1, 0, 0
    split = 1 + heap.offset_size
    offset, length = ids[0][1:split], ids[0][split : split + heap.length_size]
    return heap.address, int.from_bytes(offset, "little") & 0xFFFF, int.from_bytes(length, "little") & 0xFFFFFF


def _indexes() -> None:
    from refmaker.hdf5 import btree_v1, btree_v2, extensible_array, fixed_array, fractal_heap, fractal_heap_header

    def chunks_1(window: Any, address: int, small: int, large: int, sizes: Sizes) -> object:
        rank, k = 1 + small % 33, 1 + large % 512
        btree_v1.few_chunks(window, address, rank, k, sizes)
        return sum(map(len, btree_v1.chunk_records(window, address, rank, k, sizes)))

    def heap(window: Any, address: int, small: int, large: int, sizes: Sizes) -> object:
        found = fractal_heap_header.read_header(window, address, sizes)
        offset, length = small.to_bytes(max(found.offset_size, 2), "little")[: found.offset_size], large & 0xFFFFFF
        kind = bytes([large >> 24 & 0x30])
        heap_id = (kind + offset + length.to_bytes(max(found.length_size, 3), "little")).ljust(found.id_size, b"\0")
        ids = [heap_id[: max(found.id_size, 1)]]
        return fractal_heap.read_objects(window, found, ids, sizes, decoding_budget(window.size), {})

    in_file("btree_v1_groups", lambda w, a, n, m, s: btree_v1.group_nodes(w, a, 1 + n % 512, s),
            "btree_v1:group_nodes", lambda w, root, k, s: (root, k - 1, 0))  # fmt: skip
    in_file("btree_v1_chunks", chunks_1,
            "btree_v1:few_chunks", lambda w, root, rank, k, s: (root, rank - 1, k - 1))  # fmt: skip
    in_file("btree_v2", lambda w, a, n, m, s: btree_v2.read_records(w, a, n & 15, s),
            "btree_v2:read_records", lambda w, a, kind, s: (a, kind, 0))  # fmt: skip
    in_file("fractal_heap", heap, "fractal_heap:read_objects", heap_numbers)
    in_file("fixed_array", lambda w, a, n, m, s: list(fixed_array.read_elements(w, a, n & 1, m, s)),
            "fixed_array:read_elements", lambda w, a, client, count, s: (a, client, count))  # fmt: skip
    in_file("extensible_array", lambda w, a, n, m, s: list(extensible_array.read_elements(w, a, n & 1, s)),
            "extensible_array:read_elements", lambda w, a, client, s: (a, client, 0))  # fmt: skip
    TARGETS["chunk_index"] = Target(read_index, index_seeds, 4 * MAX_COALESCED_REQUEST)


# A chunk index with the layout and the extents that it is read by, which stand before the file in an input.

_INDEX = struct.Struct("<BBBBQIH")
"""Sizes; filtered, unfiltered edges; rank; kind of index; address; bytes of an element; K."""

_PARAMETERS = (0, 2, 0, 1, 5, 3)
"""How many parameters the layout message has, by kind of index."""


def read_index(data: bytes) -> object:
    """Read the chunk index of any dataset; chunks lie in the file, cells are in order."""
    from refmaker.hdf5.chunk_index import read_chunk_index
    from refmaker.hdf5.data_layout import ChunkedLayout

    if len(data) < _INDEX.size:
        return None
    code, flags, rank, kind, address, element, k = _INDEX.unpack_from(data)
    rank, kind = rank % 5, kind % len(_PARAMETERS)
    count = _PARAMETERS[kind]
    numbers = struct.Struct(f"<{3 * rank}Q{count}I")
    if len(data) < _INDEX.size + numbers.size:
        return None
    held = numbers.unpack_from(data, _INDEX.size)
    shape, limits, chunk = held[:rank], held[rank : 2 * rank], held[2 * rank : 3 * rank]
    if not all(chunk) or not element or any(n > m for n, m in zip(shape, limits, strict=True)):
        return None  # the messages' decoders refuse them
    body = data[_INDEX.size + numbers.size :]
    space = Dataspace("simple", shape, tuple(None if n == 2**64 - 1 else n for n in limits))
    layout = ChunkedLayout(4, chunk, element, kind, address, held[3 * rank :], bool(flags & 2))
    with unverified():
        window = MeteredWindow(MemoryWindow(body), reading_budget(len(body)))
        index = read_chunk_index(window, layout, space, bool(flags & 1), 1 + k % 512, 0, SIZES[code & 3])
    check_index("the index", index, len(body))
    return index


def index_seeds() -> Iterator[bytes]:
    """Yield the calls of walks through sound files."""
    from refmaker.hdf5.chunk_index import read_chunk_index
    from tests.fuzz.harvest import calls

    for body, (_, layout, space, filtered, k, _, sizes) in calls(small_files(), read_chunk_index):
        rank, count = len(space.shape), _PARAMETERS[layout.index]
        parameters = layout.parameters + (0,) * (count - len(layout.parameters))
        if sizes in SIZES and layout.address is not None and rank < 5 and max(parameters, default=0) < 1 << 32:
            limits = [2**64 - 1 if n is None else n for n in space.max_shape]
            yield (
                _INDEX.pack(SIZES.index(sizes), filtered | layout.unfiltered_edges << 1, rank, layout.index,
                            layout.address, layout.element_size, k - 1)
                + struct.pack(f"<{3 * rank}Q{count}I", *space.shape, *limits, *layout.chunk_shape, *parameters)
                + body
            )  # fmt: skip


# Whole files.


def check_index(path: str, index: ChunkIndex, size: int) -> None:
    """Hold the index of a dataset to what the walker promises: chunks in the file, cells in order."""
    inside = (index.offset <= size) & (index.size <= size) & (index.offset + index.size <= size)
    if not inside.all() or not (index.cell[1:] > index.cell[:-1]).all() or (len(index) and index.cell[0] < 0):
        raise ArithmeticError(f"{path}: chunks that are not in the file")


def check_tree(tree: Any, size: int) -> None:
    """Hold a tree to what the walker promises: chunks in the file, cells in order."""
    for path, dataset in tree.datasets.items():
        storage = dataset.storage
        if isinstance(storage, Contiguous) and storage.offset is not None and storage.offset + storage.size > size:
            raise ArithmeticError(f"{path}: data that are not in the file")
        if isinstance(storage, Chunked):
            check_index(path, storage.index, size)


def walk_hdf5(data: bytes) -> object:
    from tests.fuzz.harvest import walked

    with unverified():
        tree = walked(data)
    check_tree(tree, len(data))
    return tree


def walk_netcdf3(data: bytes) -> object:
    from refmaker.netcdf3.walk import walk

    tree = walk(MemoryWindow(data), source="fuzz")
    check_tree(tree, len(data))
    return tree


def scan_file(data: bytes) -> object:
    """Scan a whole file, and write and read its manifest."""
    from unittest.mock import patch

    from refmaker.file_version import FileVersion
    from refmaker.kerchunk.json_reader import read_json
    from refmaker.kerchunk.json_writer import iter_json
    from refmaker.scanning import scan

    class Memory:
        url, version = "/memory/fuzz.h5", FileVersion(len(data))
        window = MemoryWindow(data)

        def check_unchanged(self) -> None:
            pass

    if not data:
        return None
    with patch.object(scan, "open_source", lambda *_: Memory()):
        manifest = scan.scan("fuzz.h5", inline_limit=1 << 20, verify_checksums=False)
    for path, array in manifest.arrays.items():
        rows = array.references
        if len(rows.cell) and int((rows.offset + rows.size).max()) > len(data):
            raise ArithmeticError(f"{path}: references that are not in the file")
    text = b"".join(iter_json(manifest))
    if json.loads(text)["version"] != 1 or set(read_json(text, source="again").arrays) != set(manifest.arrays):
        raise ArithmeticError("the manifest does not read as it was written")
    return manifest


def netcdf3_seeds() -> Iterator[bytes]:
    from tests.netcdf3.test_fuzz import seeds

    for version in (1, 2, 5):
        yield from seeds(version)


def _whole() -> None:
    def hdf5_seeds() -> Iterator[bytes]:
        yield from small_files()

    def all_seeds() -> Iterator[bytes]:
        yield from small_files()
        yield from netcdf3_seeds()

    TARGETS["hdf5_file"] = Target(walk_hdf5, hdf5_seeds, 4 * MAX_COALESCED_REQUEST)
    TARGETS["netcdf3_file"] = Target(walk_netcdf3, netcdf3_seeds)
    TARGETS["scan"] = Target(scan_file, all_seeds, 4 * MAX_COALESCED_REQUEST)


# Manifests.


def _outcome(read: Callable[[], Any]) -> object:
    """Return what a manifest says, in a form that can be compared, or that it is refused."""
    try:
        found = read()
    except RefmakerError:
        return "refused"
    arrays = {
        path: (array.grid, array.references.cell.tolist(), array.references.offset.tolist(),
               array.references.size.tolist(), array.references.target.tolist(), array.references.inline)
        for path, array in found.arrays.items()
    }  # fmt: skip
    return arrays, [target.url for target in found.targets], dict(found.groups), dict(found.extra)


def read_manifest(data: bytes) -> object:
    """Read JSON in both ways there are, look at it as replay does, write it and read it again."""
    from unittest.mock import patch

    from refmaker.kerchunk import fast_json_reader
    from refmaker.kerchunk.json_reader import read_json
    from refmaker.kerchunk.json_writer import iter_json

    with patch.object(fast_json_reader, "WORTHWHILE", 0):
        fast = _outcome(lambda: read_json(data, source="fuzz"))
    if repr(fast) != repr(_outcome(lambda: read_json(data, source="fuzz"))):
        raise ArithmeticError("the two readers of JSON differ")
    manifest = read_json(data, source="fuzz")
    replayed(manifest)
    try:
        text = b"".join(iter_json(manifest))
    except ManifestError:  # not everything that can be read can be written
        return manifest
    return read_json(text, source="again")


def replayed(manifest: Any) -> None:
    """List a manifest, look keys up, and make its decoded view."""
    from refmaker.replay.listing import Listing
    from refmaker.replay.lookup import Lookup
    from refmaker.replay.rechunked import rechunked

    lookup = Lookup(manifest)
    listing = Listing(lookup)
    for path in [*manifest.groups, *manifest.arrays][:20]:
        for name in [*listing.contents(path).__slots__, "0", "0.0", "c/0/0", ".zarray", "zarr.json", "9" * 30]:
            with contextlib.suppress(FileNotFoundError, RefmakerError):
                lookup.find(f"{path}/{name}")
    rechunked(manifest, 1 << 16)


def manifest_seeds() -> Iterator[bytes]:
    array = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "fill_value": 0, "order": "C",
             "filters": [{"id": "shuffle", "elementsize": 4}], "compressor": {"id": "zlib", "level": 1}}  # fmt: skip
    refs = {".zgroup": {"zarr_format": 2}, ".zattrs": {"a": 1}, "x/.zarray": array, "x/.zattrs": {},
            "x/0": ["{{u}}a.nc", 10, 20], "x/1": "base64:" + base64.b64encode(bytes(8)).decode()}  # fmt: skip
    plain = {key: value for key, value in refs.items() if key != "x/0"} | {"x/0": ["a.nc"]}
    gen = {"key": "y/{{i}}", "url": "{{u}}{{i}}.nc", "offset": "{{i * 10 + 1}}", "length": "5",
           "dimensions": {"i": {"stop": 3}}}  # fmt: skip
    one = {
        "version": 1,
        "templates": {"u": "s3://b/"},
        "gen": [gen],
        "refs": refs | {"y/.zarray": array | {"shape": [6]}},
    }
    ours = {"version": 1, "refs": plain, "refmaker": {"format": 1, "targets": [{"url": "a.nc", "size": 99}],
            "refusals": {"/z": "why"}, "history": ["h"], "sources": {"x": [0, "/x"]}}}  # fmt: skip
    third = {"zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "float32", "fill_value": "NaN",
             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}, "attributes": {},
             "chunk_key_encoding": {"name": "default"}, "codecs": [
                 {"name": "bytes", "configuration": {"endian": "little"}},
                 {"name": "zstd", "configuration": {"level": 0}}]}  # fmt: skip
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    rows = {f"x/{i}": ["a.nc", i * 10, 10] for i in range(70)}
    many = {".zgroup": {"zarr_format": 2}, "x/.zarray": array | {"shape": [140]}, **rows}
    new = {"version": 1, "refs": {"zarr.json": group, "x/zarr.json": third, "x/c/1": ["a.nc", 1, 2]}}
    for document in (refs, plain, one, ours, {"version": 1, "refs": many}, new):
        yield json.dumps(document).encode()
        yield json.dumps({**document}, separators=(",", ":")).encode()
    yield json.dumps({"version": 1, "refs": {k: v if isinstance(v, str | list) else json.dumps(v)
                                            for k, v in refs.items()}}).encode()  # fmt: skip


def packed_seeds() -> Iterator[bytes]:
    from numcodecs import Zstd

    for data in manifest_seeds():
        yield gzip.compress(data, mtime=0)
        yield Zstd(1).encode(data)


def read_packed(data: bytes) -> object:
    from refmaker.kerchunk.compression import unpacked

    return len(unpacked(data, "fuzz"))


def read_set(data: bytes) -> object:
    """Read `.zmetadata` of a Parquet set, whose shards are not there."""
    from unittest.mock import patch

    from refmaker.errors import SourceError
    from refmaker.kerchunk import parquet_reader

    def read(self: Any, name: str) -> bytes:
        if name == parquet_reader.METADATA_FILE:
            return data
        raise SourceError("no such shard")

    with patch.object(parquet_reader._Files, "read", read):
        manifest = parquet_reader.load_parquet("/fuzz")
        for array in manifest.arrays.values():
            try:
                array.references.at(0)
                len(array.references)
            except RefmakerError:
                pass
    return manifest


def set_seeds() -> Iterator[bytes]:
    array = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "fill_value": 0, "order": "C",
             "filters": None, "compressor": None}  # fmt: skip
    metadata = {".zgroup": {"zarr_format": 2}, ".zattrs": {}, "x/.zarray": array, "x/.zattrs": {}}
    yield json.dumps({"metadata": metadata, "record_size": 10}).encode()
    from refmaker.kerchunk.json_reader import read_json

    with tempfile.TemporaryDirectory() as folder:
        manifest = read_json(next(manifest_seeds()).replace(b"{{u}}", b""), source="fuzz")
        manifest.to_parquet(f"{folder}/x.parq")
        yield Path(f"{folder}/x.parq/.zmetadata").read_bytes()


def shard_seeds() -> Iterator[bytes]:
    from refmaker.kerchunk.parquet_shard_codec import encode_shard
    from refmaker.manifest.references import References

    references = References(np.arange(3), np.zeros(3, "u1"), np.array([5, 9, 20], "u8"), np.array([4, 4, 9], "u8"),
                            {3: b"inlined"}, {4: 1})  # fmt: skip
    yield encode_shard(references, 0, 6, ["a.nc", "b.nc"])
    yield encode_shard(References.empty(), 0, 1, [])
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": ["a.nc", None, "b.nc", "a.nc", None, None], "offset": [1, 0, 3, 0, 0, 0],
               "size": [1, 0, 3, 0, 0, 0], "raw": [None, b"x", None, None, b"xy", None]}  # fmt: skip
    for options in ({"use_dictionary": False}, {"compression": "gzip", "data_page_version": "2.0"},
                    {"compression": "none", "write_statistics": False, "store_schema": False, "row_group_size": 3},
                    {"compression": "zstd", "use_dictionary": ["raw"]}):  # fmt: skip
        made = io.BytesIO()
        pq.write_table(pa.table(columns), made, **options)
        yield made.getvalue()


def read_shard(data: bytes) -> object:
    from refmaker.kerchunk.parquet_shard_codec import decode_shard

    urls: dict[str, int] = {}
    return decode_shard(data, 0, 6, lambda url: urls.setdefault(url, len(urls)), structure="shard", source="fuzz")


def _manifests() -> None:
    TARGETS["kerchunk_json"] = Target(read_manifest, manifest_seeds, MAX_COALESCED_REQUEST, MEMBERS)
    TARGETS["packed_json"] = Target(read_packed, packed_seeds)
    TARGETS["parquet_metadata"] = Target(read_set, set_seeds, MAX_COALESCED_REQUEST, MEMBERS)
    TARGETS["parquet_shard"] = Target(read_shard, shard_seeds, MAX_COALESCED_REQUEST)


# Codecs, containers, answers of servers.


def read_config(data: bytes) -> object:
    """Configurations of our codecs, and metadata whose chunks the decoded view decodes."""
    from refmaker.codecs.config import plan_from_json
    from refmaker.codecs.sequences import SequencesCodec
    from refmaker.replay.decoding import pipeline
    from refmaker.zarr.elements import elements_of
    from refmaker.zarr.metadata import ArrayMetadata2, ArrayMetadata3

    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    for kind in (ArrayMetadata2, ArrayMetadata3):
        found = elements_of(kind(config))
        if found is not None:
            pipeline(found.codecs, found.size)
    if "depth" in config:
        return SequencesCodec(config.get("dtype"), config["depth"])
    return plan_from_json({key: value for key, value in config.items() if key != "id"})


def config_seeds() -> Iterator[bytes]:
    from tests.hdf5.assembling import DOUBLE, datatype, integer

    for message in (integer(), DOUBLE, datatype(3, 5), datatype(5, 8, b"tag\0\0\0\0\0")):
        filters = [[2, 0, "shuffle", [4]], [1, 1, "deflate", [6]], [32000, 0, "lzf", [4, 261, 24]]]
        config = {"datatype": base64.b64encode(message).decode(), "chunk_shape": [2, 3], "dtype": "<i4",
                  "filters": filters}  # fmt: skip
        yield json.dumps(config).encode()
    for filters in (
        [[6, 0, "scaleoffset", [0] * 20]],
        [[5, 0, "nbit", [8, 1, 6, 1, 4, 0, 12, 0]]],
        [[4, 0, "szip", [141, 8, 32, 12]]],
    ):
        yield json.dumps({"datatype": base64.b64encode(integer()).decode(), "chunk_shape": [6], "dtype": "<i4",
                          "filters": filters}).encode()  # fmt: skip
    yield json.dumps({"dtype": [["a", "<i4"], ["b", [["c", "<f8", [2]]]]], "depth": 2}).encode()
    for document in manifest_seeds():
        refs = json.loads(document).get("refs", {})
        yield from (
            json.dumps(v).encode()
            for k, v in refs.items()
            if k.endswith((".zarray", "zarr.json")) and isinstance(v, dict)
        )


_CODECS = ("zlib", "gzip", "bz2", "zstd", "lz4", "blosc", "shuffle", "fletcher32")


def decode_stored(data: bytes) -> object:
    """Decode a chunk of 64 bytes by one of the codecs that the decoded view knows."""
    from refmaker.replay.decoding import pipeline

    if not data:
        return None
    found = pipeline([{"id": _CODECS[data[0] % len(_CODECS)]}], 64)
    out = found.decode(data[1:]) if found is not None else b""
    if found is not None and len(out) != 64:
        raise ArithmeticError("a chunk of another size")
    return out


def stored_seeds() -> Iterator[bytes]:
    import numcodecs

    for i, name in enumerate(_CODECS):
        yield bytes([i]) + bytes(numcodecs.get_codec({"id": name}).encode(np.arange(64, dtype="u1")))


def decode_sequences(data: bytes) -> object:
    from refmaker.codecs.sequences import SequencesCodec

    if not data:
        return None
    items = np.empty(1, object)
    items[0] = data[1:]
    return SequencesCodec("<i2", 1 + data[0] % 4).decode(items)


def sequences_seeds() -> Iterator[bytes]:
    inner = struct.pack("<II4s", 1, 4, b"abcd")
    yield b"\0abcd"
    yield b"\1" + inner
    yield b"\2" + struct.pack("<II", 1, len(inner)) + inner


def read_container(data: bytes) -> object:
    """Look for a member in a tar or zip file, as a chained url does."""
    from refmaker.file_version import FileVersion
    from refmaker.sources.container import MemberSource, located

    if not data:
        return None
    kind = "zip" if data[0] & 1 else "tar"
    start, size = located(kind, io.BytesIO(data[1:]), "a.nc", "fuzz")

    class Whole:
        window = MemoryWindow(data[1:])
        url, version = "/fuzz", FileVersion(len(data) - 1)

    source = MemberSource.of(Whole(), start, size)
    window = source.window
    buf, at = window.at(0, window.size)
    if len(bytes(buf[at : at + window.size])) != window.size or not 0 <= at <= len(data) - 1 - window.size:
        raise ArithmeticError("a member that is not in its container")
    return source


def container_seeds() -> Iterator[bytes]:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=form) as archive:
            info = tarfile.TarInfo("a.nc" if form == tarfile.USTAR_FORMAT else "d" * 120)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"data"))
            link = tarfile.TarInfo("a.nc" if form != tarfile.USTAR_FORMAT else "b.nc")
            link.type, link.linkname = tarfile.LNKTYPE, info.name
            archive.addfile(link)
        yield b"\0" + made.getvalue()[:4096]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.nc"), b"data")
        archive.writestr("b.nc", b"x" * 50, zipfile.ZIP_DEFLATED)
    yield b"\1" + made.getvalue()


def read_headers(data: bytes) -> object:
    """Read what answers of servers say of a file."""
    from refmaker.errors import SourceError
    from refmaker.file_version import FileVersion, etag_of, time_of
    from refmaker.manifest.manifest import Target as Record
    from refmaker.replay.read_errors import VersionMismatch
    from refmaker.replay.stores import RangedStore
    from refmaker.retry import seconds_asked
    from refmaker.stores.answers import content_range
    from refmaker.stores.request import Head

    lines = data.decode("latin-1").split("\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    found = content_range(headers.get("Content-Range"))
    if found is not None and found[1] < 0:
        raise ArithmeticError("a negative range")
    pause = seconds_asked(headers)
    if not pause >= 0:
        raise ArithmeticError("a negative pause")
    seen = FileVersion.of_headers(None, headers)
    Record("u", 3, '"e"', 1e9).version.differences(seen)
    store = RangedStore(None, Record("u", 30, None, None), "strict")  # type: ignore[arg-type]
    with contextlib.suppress(VersionMismatch, SourceError):
        store.admit(10, 20, Head(True, found and found[:2], FileVersion.of_headers(found and found[2], headers)))
    return etag_of(headers), time_of(headers)


def header_seeds() -> Iterator[bytes]:
    yield b'Content-Range: bytes 10-19/30\nETag: "abc"\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\nRetry-After: 3'
    yield b'Content-Range: bytes */0\nETag: W/"abc"\nlast_modified: 2024-01-01T00:00:00Z'
    yield b"Retry-After: Mon, 01 Jan 2024 00:00:00 GMT"
    yield b"Content-Range: bytes 0-1/*\nmtime: 3\nupdated: 2024-01-01"


def _others() -> None:
    TARGETS["codec_config"] = Target(read_config, config_seeds, 4096, MEMBERS)
    TARGETS["decoding"] = Target(decode_stored, stored_seeds, 1024)
    TARGETS["sequences"] = Target(decode_sequences, sequences_seeds, 1024)
    TARGETS["container"] = Target(read_container, container_seeds, MAX_COALESCED_REQUEST)
    TARGETS["http_headers"] = Target(read_headers, header_seeds, 1024, HEADERS)


_messages()
_indexes()
_whole()
_manifests()
_others()
