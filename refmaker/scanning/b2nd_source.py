"""Files of b2nd, Caterva and Blosc2 frames as a format of the table.

Contract: see `scanning.formats.Format`. What it needs is imported when there is a file to scan.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from refmaker.extras import install_command
from refmaker.window import Window

if TYPE_CHECKING:
    from refmaker.driver import Step
    from refmaker.manifest.manifest import Manifest
    from refmaker.model import Tree
    from refmaker.scanning.formats import ScanJob

__all__ = ["B2nd"]

_MAGIC = b"\x9e\xa8b2frame\0"


@cache
def _is_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("blosc2") is not None and find_spec("msgpack") is not None


class B2nd:
    """Frames of Blosc2."""

    name = "b2nd"
    title = "b2nd"
    suffixes = (".b2nd", ".b2frame")

    def is_installed(self) -> bool:
        """See `Format.is_installed`."""
        return _is_installed()

    def detect(self, head: bytes, window: Window) -> bool:
        """See `Format.detect`."""
        return head.startswith(_MAGIC)

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """See `Format.read`."""
        from refmaker.errors import Unsupported
        from refmaker.file_version import Target
        from refmaker.formats.b2nd import scan_b2nd
        from refmaker.model import Tree

        if not self.is_installed():
            raise Unsupported(f"b2nd files are read with blosc2: {install_command('b2nd')}")
        found: list[Manifest] = []

        def whole() -> list[Step]:
            found.append(
                scan_b2nd(
                    job.window,
                    Target.of(job.space.url, job.space.version),
                    selection=job.selection,
                    zarr_format=job.options.zarr_format,
                    inline_limit=job.options.inline_limit,
                    portable=job.options.portable,
                    strict=job.strict,
                )
            )
            return []

        job.driver.run([whole])
        for array in found[-1].arrays.values():
            array.references = job.space.settle(array.references)
        return found[-1], Tree(job.url, job.space.window.size, self.name)
