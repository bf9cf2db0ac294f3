"""The formats that refmaker walks itself: HDF5, netCDF-4 with it, and netCDF classic.

Contract: `Hdf5` and `NetCDFClassic` are formats of `scanning.formats`: a walk to its end gives a tree, the tree becomes
a manifest. Of an HDF5 file whose selection leaves something out, storage is read only of what is asked for. What a scan
needs is imported when there is one: listings ask `detect` and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refmaker import netcdf3
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses
from refmaker.window import Window

if TYPE_CHECKING:
    from refmaker.driver import Driver, Step
    from refmaker.hdf5.walk import Walk
    from refmaker.manifest.manifest import Manifest
    from refmaker.model import Tree
    from refmaker.path_filter import PathFilter
    from refmaker.scanning.formats import ScanJob

__all__ = ["Hdf5", "NetCDFClassic", "read_hdf5", "read_netcdf3"]


class Hdf5:
    """HDF5 files, those of netCDF-4 among them, and such behind a user block."""

    name = "hdf5"
    title = "HDF5"
    suffixes = (".nc", ".nc4", ".h5", ".hdf5", ".he5")

    def is_installed(self) -> bool:
        """See `Format.is_installed`."""
        return True

    def detect(self, head: bytes, window: Window) -> bool:
        """See `Format.detect`: the signature stands at the start, or at 512, 1024, 2048 and so on."""
        if head.startswith(SIGNATURE):
            return True
        addresses = [a for a in signature_addresses(window.size) if a + len(SIGNATURE) <= window.size]
        window.want(addresses, len(SIGNATURE))
        for address in addresses:
            buf, pos = window.at(address, len(SIGNATURE))
            if bytes(buf[pos : pos + len(SIGNATURE)]) == SIGNATURE:
                return True
        return False

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        from refmaker.hdf5.walk import Walk

        walk = Walk(job.window, job.options.inline_limit, job.strict, narrow=job.selection.narrows)
        tree = read_hdf5(walk, job.driver, job.url, job.selection)
        return _assembled(job, tree), tree


class NetCDFClassic:
    """netCDF classic files: CDF-1, CDF-2, CDF-5."""

    name = "netcdf3"
    title = "netCDF classic"
    suffixes = (".nc", ".nc3", ".cdf")

    def is_installed(self) -> bool:
        """See `Format.is_installed`."""
        return True

    def detect(self, head: bytes, window: Window) -> bool:
        """See `Format.detect`."""
        return head[:4] in netcdf3.MAGIC

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        tree = read_netcdf3(job.window, job.driver, job.url, job.records_per_chunk)
        return _assembled(job, tree), tree


def _assembled(job: ScanJob, tree: Tree) -> Manifest:
    """Make the manifest of a tree, data in other files included."""
    from refmaker.conventions.netcdf4 import annotate
    from refmaker.linked.resolve_external import resolve_external
    from refmaker.linked.virtual import ResolveContext
    from refmaker.scanning.assembly import Assembly

    job.measure(tree)
    context = ResolveContext(job.space, job.driver.run, job.options.inline_limit, job.options.subchunk_size)
    links = job.selection.reaches if job.follow_external_links else None
    resolve_external(
        tree, context, strict=job.strict, permission=job.permission, links=links, wanted=job.selection.takes
    )
    return Assembly(tree, annotate(tree), job.space, job.selection, job.options, job.strict).run(job.driver.run)


def read_netcdf3(window: Window, driver: Driver, url: str, records_per_chunk: int | None) -> Tree:
    """Walk a netCDF classic file."""
    from refmaker.netcdf3.walk import walk as walk_netcdf3

    trees: list[Tree] = []

    def classic() -> list[Step]:
        trees.append(walk_netcdf3(window, source=url, records_per_chunk=records_per_chunk))
        return []

    driver.run([classic])
    return trees[-1]


def read_hdf5(walk: Walk, driver: Driver, url: str, selection: PathFilter) -> Tree:
    """Walk an HDF5 file."""
    from refmaker.hdf5.resolve import resolve

    driver.run(walk.start())
    if walk.narrow:
        _read_chosen(walk, driver, url, selection)
    walk.verify()
    return resolve(walk, url)


def _read_chosen(walk: Walk, driver: Driver, url: str, selection: PathFilter) -> None:
    """Read the storage of the datasets that the selection takes; of all, where one may have others as its sources."""
    from refmaker.conventions.netcdf4 import annotate
    from refmaker.hdf5.resolve import resolve
    from refmaker.hdf5.walk import WalkedObject
    from refmaker.model import Virtual

    tree = resolve(walk, url)
    base = 0 if walk.file is None else walk.file.base
    chosen = {v.dataset.address - base for v in annotate(tree).variables if selection.takes(v.zarr_path)}
    driver.run(walk.storage_of(chosen))
    sources = any(isinstance(one, WalkedObject) and isinstance(one.storage, Virtual) for one in walk.objects.values())
    if sources or any(selection.reaches(path) for path in tree.external):
        driver.run(walk.storage_of(walk.objects))
