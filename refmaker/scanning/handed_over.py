"""The formats that are handed to kerchunk's scanners: TIFF, FITS, GRIB.

Contract: `KerchunkFormat` is a format of `scanning.formats`; what is known of each stands in `formats.detect`. kerchunk
is imported when there is a file to scan.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from refmaker.formats import detect
from refmaker.window import Window

if TYPE_CHECKING:
    from refmaker.manifest.manifest import Manifest
    from refmaker.model import Tree
    from refmaker.scanning.formats import ScanJob

__all__ = ["KerchunkFormat"]


@cache
def _is_installed(name: detect.Format) -> bool:
    """Return whether the packages of a format are there: looked for once, as listings ask for every file."""
    return not detect.missing(name)


class KerchunkFormat:
    """One of the formats of `formats.detect`."""

    def __init__(self, name: detect.Format) -> None:
        self._name: detect.Format = name

    @property
    def name(self) -> str:
        """See `Format`."""
        return self._name

    @property
    def title(self) -> str:
        """See `Format`."""
        return detect.TITLES[self._name]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """See `Format`."""
        return detect.NAMES[self._name]

    def is_installed(self) -> bool:
        """See `Format.is_installed`."""
        return _is_installed(self._name)

    def detect(self, head: bytes, window: Window) -> bool:
        """See `Format.detect`."""
        return detect.format_of(head) == self._name

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        from refmaker.formats.kerchunk_scan import ScanOptions, scan_with_kerchunk
        from refmaker.model import Tree

        tree = Tree(job.url, job.space.window.size, self._name)
        options = ScanOptions(job.selection, job.options.inline_threshold, job.options.zarr_format, job.strict)
        run = job.driver.run
        return scan_with_kerchunk(self._name, job.url, job.storage_options, job.space, run, options), tree
