"""The scanners that are measured, each called as its documentation has it.

`scan` does the work that is timed: from a path to everything that the tool knows of the file's chunks, in memory or in
a JSON file. `chunk_lists` turns that, untimed, into the form in which answers are compared. Everything is imported by
the functions that need it: a tool that is not installed raises `ModuleNotFoundError` when it is called.
"""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import chunk_lists as lists
from tests.benchmarks.chunk_lists import ChunkLists


@dataclass(frozen=True)
class Tool:
    """A scanner: what it is timed at, and how its answer is read.

    Attributes
    ----------
    scan
        (path, path of an output file that may be written) -> result. This is timed.
    chunk_lists
        (result, path, path of the output) -> chunk lists; None where the tool does not tell them.
    packages
        Distributions whose versions say what was measured.
    reads
        The formats that it is made for.
    rival
        Which tool of ours it is paired with.
    """

    scan: Callable[[str, str], Any]
    chunk_lists: Callable[[Any, str, str], ChunkLists | None]
    packages: tuple[str, ...]
    reads: tuple[str, ...] = ("hdf5",)
    rival: str = "refmaker"


def scan_refmaker(path: str, output: str) -> Any:
    """Scan to memory."""
    import refmaker

    return refmaker.scan(path)


def lists_of_refmaker(manifest: Any, path: str, output: str) -> ChunkLists:
    """Read the columns of a manifest."""
    found = {}
    for name, array in manifest.arrays.items():
        references = array.references
        inline = list(references.inline)
        cell = [*references.cell.tolist(), *inline]
        offset = [*references.offset.tolist(), *(lists.INLINE[0] for _ in inline)]
        size = [*references.size.tolist(), *(lists.INLINE[1] for _ in inline)]
        found[name] = lists.columns(cell, offset, size)
    if manifest.refusals:
        raise SystemExit(f"refused: {manifest.refusals}")
    return found


def scan_refmaker_json(path: str, output: str) -> None:
    """Scan to a JSON file."""
    scan_refmaker(path, output).to_json(output)


def lists_of_json(result: Any, path: str, output: str) -> ChunkLists:
    """Read the JSON file that was written."""
    with open(output) as file:
        return lists.from_references(json.load(file)["refs"])


def _classic(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(3) == b"CDF"


def scan_kerchunk(path: str, output: str) -> Any:
    """Scan to a dict of references."""
    if _classic(path):
        from kerchunk.netCDF3 import NetCDF3ToZarr

        return NetCDF3ToZarr(path, inline_threshold=0).translate()
    from kerchunk.hdf import SingleHdf5ToZarr

    with open(path, "rb") as file:
        return SingleHdf5ToZarr(file, path, inline_threshold=0).translate()


def lists_of_kerchunk(result: Any, path: str, output: str) -> ChunkLists:
    """Read the references."""
    return lists.from_references(result["refs"])


def scan_kerchunk_json(path: str, output: str) -> None:
    """Scan, and write the references with ujson, as kerchunk's documentation does."""
    import ujson

    references = scan_kerchunk(path, output)
    with open(output, "wb") as file:
        file.write(ujson.dumps(references).encode())


def scan_virtualizarr(path: str, output: str) -> Any:
    """Parse to a manifest store, through obstore's store of local files."""
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser, NetCDF3Parser

    parser = NetCDF3Parser() if _classic(path) else HDFParser()
    return parser(f"file://{os.path.abspath(path)}", ObjectStoreRegistry({"file://": LocalStore()}))


def lists_of_virtualizarr(store: Any, path: str, output: str) -> ChunkLists:
    """Read the chunk manifests of all groups."""
    return dict(_virtual_arrays("", store._group))


def _virtual_arrays(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, array in group.arrays.items():
        entries = array.manifest.dict()
        positions = [list(map(int, key.split("."))) if key else [] for key in entries]
        offset, size = ([entry[field] for entry in entries.values()] for field in ("offset", "length"))
        yield prefix + name, lists.from_positions(array.shape or [1], array.chunks or [1], positions, offset, size)
    for name, child in group.groups.items():
        yield from _virtual_arrays(f"{prefix}{name}/", child)


def scan_async_hdf5(path: str, output: str) -> Any:
    """Walk all groups; ask for the attributes and the chunk index of each dataset."""
    import asyncio

    return asyncio.run(_walk_async_hdf5(path))


async def _walk_async_hdf5(path: str) -> list[tuple[str, Any, Any]]:
    from async_hdf5 import HDF5File
    from async_hdf5.store import LocalStore

    folder, name = os.path.split(os.path.abspath(path))
    file = await HDF5File.open(name, store=LocalStore(folder))
    found = []
    groups = [("", await file.root_group())]
    while groups:
        prefix, group = groups.pop()
        await group.attributes()
        for child in await group.dataset_names():
            dataset = await group.dataset(child)
            await dataset.attributes()
            found.append((prefix + child, dataset, await dataset.chunk_index()))
        for child in await group.group_names():
            groups.append((f"{prefix}{child}/", await group.group(child)))
    return found


def lists_of_async_hdf5(result: Any, path: str, output: str) -> ChunkLists:
    """Read the chunk indexes."""
    found = {}
    for name, dataset, index in result:
        chunks = [(chunk.indices, chunk.byte_offset, chunk.byte_length) for chunk in index]
        positions, offset, size = zip(*chunks, strict=True) if chunks else ((), (), ())
        found[name] = lists.from_positions(dataset.shape, dataset.chunk_shape or dataset.shape, positions, offset, size)
    return found


def scan_pyfive(path: str, output: str) -> Any:
    """Visit all datasets, which reads their chunk indexes; read the attributes."""
    import pyfive

    found = []

    def visit(name: str, item: Any) -> None:
        dict(item.attrs)
        if isinstance(item, pyfive.Dataset):
            found.append((name, item))

    file = pyfive.File(path)
    file.visititems(visit)
    return found


def lists_of_pyfive(result: Any, path: str, output: str) -> ChunkLists:
    """Read the chunk indexes, or where the one piece stands."""
    found = {}
    for name, dataset in result:
        if not dataset.chunks:
            info = dataset.id.get_chunk_info_from_chunk_coord((0,) * dataset.ndim)
            found[name] = lists.columns([0], [info.byte_offset], [info.size])
            continue
        infos = list(dataset.id.index.values())
        positions = [[x // c for x, c in zip(info.chunk_offset, dataset.chunks, strict=True)] for info in infos]
        offset, size = [info.byte_offset for info in infos], [info.size for info in infos]
        found[name] = lists.from_positions(dataset.shape, dataset.chunks, positions, offset, size)
    return found


def scan_hidefix(path: str, output: str) -> Any:
    """Make the index."""
    import hidefix

    return hidefix.Index(path)


def lists_of_hidefix(result: Any, path: str, output: str) -> None:
    """Return nothing: the Python interface does not tell where chunks are."""


def scan_libhdf5(path: str, output: str) -> None:
    """Open all datasets and iterate over their chunks, with a callback that does nothing: what libhdf5 needs alone."""
    nothing = collections.deque(maxlen=0).append
    for _, dataset in _libhdf5_datasets(path):
        if dataset.get_create_plist().get_layout() == 2:  # H5D_CHUNKED
            dataset.chunk_iter(nothing)
        else:
            dataset.get_offset()


def _libhdf5_datasets(path: str) -> Iterator[tuple[str, Any]]:
    from h5py import h5d, h5f, h5o

    file = h5f.open(path.encode(), h5f.ACC_RDONLY)
    names: list[bytes] = []
    h5o.visit(file, names.append)
    for name in names:
        item = h5o.open(file, name)
        if isinstance(item, h5d.DatasetID):
            yield name.decode(), item


def lists_of_libhdf5(result: Any, path: str, output: str) -> ChunkLists:
    """Iterate once more, and keep what is told."""
    found = {}
    for name, dataset in _libhdf5_datasets(path):
        plist = dataset.get_create_plist()
        if plist.get_layout() != 2:
            found[name] = lists.columns([0], [dataset.get_offset()], [dataset.get_storage_size()])
            continue
        rows: list[tuple[tuple[int, ...], int, int]] = []
        keep = rows.append
        dataset.chunk_iter(lambda info, keep=keep: keep((info.chunk_offset, info.byte_offset, info.size)))
        corners, offset, size = zip(*rows, strict=True) if rows else ((), (), ())
        chunk = plist.get_chunk()
        positions = [[x // c for x, c in zip(corner, chunk, strict=True)] for corner in corners]
        found[name] = lists.from_positions(dataset.shape, chunk, positions, offset, size)
    return found


BOTH = ("hdf5", "netcdf3")

TOOLS = {
    "refmaker": Tool(scan_refmaker, lists_of_refmaker, ("refmaker", "numpy"), BOTH),
    "refmaker-json": Tool(scan_refmaker_json, lists_of_json, ("refmaker", "numpy"), BOTH),
    "kerchunk": Tool(scan_kerchunk, lists_of_kerchunk, ("kerchunk", "h5py", "zarr"), BOTH),
    "kerchunk-json": Tool(scan_kerchunk_json, lists_of_json, ("kerchunk", "ujson"), BOTH, "refmaker-json"),
    "virtualizarr": Tool(scan_virtualizarr, lists_of_virtualizarr, ("virtualizarr", "h5py", "obstore"), BOTH),
    "async-hdf5": Tool(scan_async_hdf5, lists_of_async_hdf5, ("async-hdf5",)),
    "pyfive": Tool(scan_pyfive, lists_of_pyfive, ("pyfive",)),
    "hidefix": Tool(scan_hidefix, lists_of_hidefix, ("hidefix",)),
    "libhdf5": Tool(scan_libhdf5, lists_of_libhdf5, ("h5py",)),
}
"""By the name they have in tables. `libhdf5` is no scanner but a floor: iteration over chunks that keeps nothing."""
OURS = ("refmaker", "refmaker-json")
