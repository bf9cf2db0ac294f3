"""Zarr stores as formats of the table: folders, and zip files.

Contract: `ZarrZip` is a format of `scanning.formats`, told by the names in the zip file; `ZarrFolder` is one of its
folders. What they need is imported when there is one to scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refmaker.window import Window

if TYPE_CHECKING:
    from refmaker.driver import Step
    from refmaker.manifest.manifest import Manifest
    from refmaker.model import Tree
    from refmaker.path_filter import PathFilter
    from refmaker.scanning.formats import ScanJob
    from refmaker.zarr.metadata import ZarrFormat

__all__ = ["WkwFolder", "ZarrFolder", "ZarrZip"]

_ZIP = b"PK"


class ZarrZip:
    """Zip files that hold a Zarr store, stored as it is."""

    name = "zarr"
    title = "Zarr"
    suffixes = (".zarr.zip", ".ozx")

    def is_installed(self) -> bool:
        """See `Format.is_installed`."""
        return True

    def detect(self, head: bytes, window: Window) -> bool:
        """See `Format.detect`."""
        if not head.startswith(_ZIP):
            return False
        from refmaker.zarr_stores.zip import is_zip_store

        return is_zip_store(head, window)

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        from refmaker.file_version import Target
        from refmaker.model import Tree
        from refmaker.zarr_stores.scan import StoreOptions, scan_store
        from refmaker.zarr_stores.zip import ZipStore

        options = StoreOptions(job.selection, job.options.inline_threshold, job.zarr_format, job.strict)
        found: list[Manifest] = []

        def whole() -> list[Step]:
            store = ZipStore.open(job.window, Target.of(job.space.url, job.space.version))
            found.append(scan_store(store, options))
            return []

        job.driver.run([whole])
        manifest = found[-1]
        for array in manifest.arrays.values():
            array.references = job.space.settle(array.references)
        return manifest, Tree(job.url, job.space.window.size, self.name)


class ZarrFolder:
    """Folders that hold a Zarr store, local ones and those of any filesystem."""

    name = "zarr"
    title = "Zarr"

    def read(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None,
        selection: PathFilter,
        inline_threshold: int,
        zarr_format: ZarrFormat | None,
        strict: bool,
    ) -> Manifest | None:
        """See `FolderFormat.read`."""
        from refmaker.zarr_stores.open import open_store
        from refmaker.zarr_stores.scan import StoreOptions, scan_store

        store = open_store(url, storage_options)
        if store is None:
            return None
        return scan_store(store, StoreOptions(selection, inline_threshold, zarr_format, strict))


class WkwFolder:
    """Folders of webKnossos, local ones."""

    name = "wkw"
    title = "webKnossos"

    def read(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None,
        selection: PathFilter,
        inline_threshold: int,
        zarr_format: ZarrFormat | None,
        strict: bool,
    ) -> Manifest | None:
        """See `FolderFormat.read`."""
        import os

        from refmaker.urls import is_local, local_path

        if not is_local(url) or not os.path.isdir(local_path(url)):
            return None
        from refmaker.zarr_stores.local import LocalStore
        from refmaker.zarr_stores.scan import StoreOptions
        from refmaker.zarr_stores.wkw import HEADER, scan_wkw

        store = LocalStore.open(url)
        if not any(key.rpartition("/")[2] == HEADER for key in store.entries):
            return None
        return scan_wkw(store, StoreOptions(selection, inline_threshold, zarr_format, strict))
