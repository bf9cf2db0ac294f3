"""TIFF files as a format of the table.

Contract: see `scanning.formats.Format`. Files of vendors whose pages are not what the specification says are handed to
kerchunk's scanner. What a scan needs is imported when there is a file to scan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refmaker.scanning.handed_over import KerchunkFormat

if TYPE_CHECKING:
    from refmaker.manifest.manifest import Manifest
    from refmaker.model import Tree
    from refmaker.scanning.formats import ScanJob

__all__ = ["Tiff"]


class Tiff(KerchunkFormat):
    """TIFF, walked here; of some vendors by kerchunk."""

    def __init__(self) -> None:
        super().__init__("tiff")

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        from refmaker.formats.detect import require
        from refmaker.formats.kerchunk_scan import ScanOptions, finished
        from refmaker.model import Tree
        from refmaker.tiff.scan import Foreign, scan_tiff

        require("tiff")  # readers need the codecs, whoever scans
        try:
            found = scan_tiff(job.window, job.driver.run)
        except Foreign:
            return super().read(job)
        options = ScanOptions(job.selection, job.options.inline_threshold, job.options.zarr_format, job.strict)
        manifest = finished(found, job.space, job.driver.run, options)
        return manifest, Tree(job.url, job.space.window.size, self.name)
