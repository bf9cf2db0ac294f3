"""A file's format, and its tree, by the walker for that format.

Contract: the format is told by content. `read_tree` runs a walk to its end; of an HDF5 file whose selection leaves
something out, storage is read only of what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from refmaker import netcdf3
from refmaker.conventions.netcdf4 import annotate
from refmaker.driver import Driver, Step
from refmaker.errors import FormatError, concealed
from refmaker.formats.detect import HEAD_SIZE, Format, format_of
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses
from refmaker.hdf5.walk import Walk, WalkedObject
from refmaker.mapping.build import DEFAULT_INLINE_LIMIT
from refmaker.model import Tree, Virtual
from refmaker.netcdf3.walk import walk as walk_netcdf3
from refmaker.path_filter import PathFilter
from refmaker.sources.open import open_source
from refmaker.window import Window

__all__ = ["NativeFormat", "detect_format", "read_hdf5", "read_netcdf3", "read_tree"]

NativeFormat: TypeAlias = Literal["hdf5", "netcdf3"]


def detect_format(window: Window, driver: Driver) -> NativeFormat | Format:
    """Tell the format of a file. Raises `FormatError` where it is none that can be scanned."""
    found: list[NativeFormat | Format] = []

    def detect() -> list[Step]:
        found.append(_detect(window))
        return []

    driver.run([detect])
    return found[-1]


def _detect(window: Window) -> NativeFormat | Format:
    """Tell the format by content: at the start, or HDF5 behind a user block, which may be of any format."""
    buf, pos = window.at(0, min(HEAD_SIZE, window.size))
    head = bytes(buf[pos : pos + min(HEAD_SIZE, window.size)])
    if head.startswith(SIGNATURE):
        return "hdf5"
    if head[:4] in netcdf3.MAGIC:
        return "netcdf3"
    addresses = [a for a in signature_addresses(window.size) if a + len(SIGNATURE) <= window.size]
    window.want(addresses, len(SIGNATURE))
    for address in addresses:
        buf, pos = window.at(address, len(SIGNATURE))
        if bytes(buf[pos : pos + len(SIGNATURE)]) == SIGNATURE:
            return "hdf5"
    other = format_of(head)
    if other is not None:
        return other
    raise FormatError(
        "neither HDF5 nor netCDF, TIFF, FITS or GRIB: no signature at the start or behind a user block",
        structure="superblock",
        address=0,
        got=head[: len(SIGNATURE)],
    )


def read_netcdf3(window: Window, driver: Driver, url: str, records_per_chunk: int | None) -> Tree:
    """Walk a netCDF classic file."""
    trees: list[Tree] = []

    def classic() -> list[Step]:
        trees.append(walk_netcdf3(window, source=url, records_per_chunk=records_per_chunk))
        return []

    driver.run([classic])
    return trees[-1]


def read_hdf5(walk: Walk, driver: Driver, url: str, selection: PathFilter) -> Tree:
    """Walk an HDF5 file."""
    driver.run(walk.start())
    if walk.narrow:
        _read_chosen(walk, driver, url, selection)
    walk.verify()
    return resolve(walk, url)


def _read_chosen(walk: Walk, driver: Driver, url: str, selection: PathFilter) -> None:
    """Read the storage of the datasets that the selection takes; of all, where one may have others as its sources."""
    tree = resolve(walk, url)
    base = 0 if walk.file is None else walk.file.base
    chosen = {v.dataset.address - base for v in annotate(tree).variables if selection.takes(v.zarr_path)}
    driver.run(walk.storage_of(chosen))
    sources = any(isinstance(one, WalkedObject) and isinstance(one.storage, Virtual) for one in walk.objects.values())
    if sources or any(selection.reaches(path) for path in tree.external):
        driver.run(walk.storage_of(walk.objects))


@concealed
def read_tree(url: str, storage_options: Mapping[str, Any] | None = None) -> Tree:
    """Walk a file without making a manifest of it."""
    source = open_source(url, storage_options)
    driver = Driver(source, None)
    kind = detect_format(source.window, driver)
    if kind == "netcdf3":
        return read_netcdf3(source.window, driver, url, None)
    if kind != "hdf5":
        raise FormatError("neither HDF5 nor netCDF", structure="superblock", address=0, got=kind)
    return read_hdf5(Walk(source.window, DEFAULT_INLINE_LIMIT), driver, url, PathFilter("/", (), ()))
