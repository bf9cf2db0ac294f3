"""The table of formats: which there are, how a file's is told, and what scans it.

Contract: this is the one extension point for formats. One more is a package with a `Format`, and a line in `FORMATS`
(or a call of `register`, for one that comes from elsewhere): scans, listings of archives and `refmaker info` ask the
table alone. A format is told by content; the first of the table that says yes has the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from refmaker.errors import FormatError
from refmaker.formats.detect import PACKAGES
from refmaker.scanning.b2nd_source import B2nd
from refmaker.scanning.handed_over import KerchunkFormat
from refmaker.scanning.tiff_source import Tiff
from refmaker.scanning.walked import Hdf5, NetCDFClassic
from refmaker.scanning.zarr_sources import WkwFolder, ZarrFolder, ZarrZip
from refmaker.window import Window

if TYPE_CHECKING:
    from refmaker.driver import Driver
    from refmaker.linked.address_space import AddressSpace
    from refmaker.linked.permission import Permission
    from refmaker.manifest.manifest import Manifest
    from refmaker.mapping.build import BuildOptions
    from refmaker.model import Tree
    from refmaker.path_filter import PathFilter
    from refmaker.sources.recording import RecordingWindow
    from refmaker.zarr.metadata import ZarrFormat

__all__ = [
    "FOLDERS",
    "FORMATS",
    "HEAD_SIZE",
    "FolderFormat",
    "Format",
    "ScanJob",
    "format_named",
    "format_of",
    "register",
    "unknown_format",
]

HEAD_SIZE: Final = 10
"""First bytes of a file that every format is shown."""


@dataclass(frozen=True, slots=True)
class ScanJob:
    """One file that is scanned, and what is asked for; see the parameters of `scan_file`.

    Attributes
    ----------
    space
        The file as it was opened, and others that its data may stand in.
    window
        Its bytes. Those that are missing raise `MissingBytes`, so that they are read in steps of the driver.
    recorder
        Notes what of the window is read, where that is asked for.
    zarr_format
        Format of the metadata, None where that is left to the source.
    """

    url: str
    storage_options: Mapping[str, Any] | None
    space: AddressSpace
    window: Window
    driver: Driver
    selection: PathFilter
    options: BuildOptions
    permission: Permission
    strict: bool
    follow_external_links: bool
    records_per_chunk: int | None
    recorder: RecordingWindow | None
    zarr_format: ZarrFormat | None = None

    def measure(self, tree: Tree) -> None:
        """Note in a tree, once the structure of the file is read, how much of the file that took."""
        if self.recorder is not None:
            tree.metadata_size, tree.metadata_blocks = self.recorder.extent()
            tree.metadata_extents = self.recorder.blocks()


class Format(Protocol):
    """A format of files that can be scanned.

    Attributes
    ----------
    name
        What `Tree.kind` says, a short word in lower case.
    title
        What users read.
    suffixes
        How its files are named, in lower case. A file that is named so is taken for a source whatever it holds, so that
        a damaged one is not overlooked.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def suffixes(self) -> tuple[str, ...]: ...  # noqa: D102

    def is_installed(self) -> bool:
        """Return whether all packages are there that it needs. Listings leave files out that nothing here can scan."""

    def detect(self, head: bytes, window: Window) -> bool:
        """Return whether a file is of this format, by its first bytes, or by more of it; that may be missing yet.

        Parameters
        ----------
        head
            The first `HEAD_SIZE` bytes, or all where there are fewer.
        """

    def read(self, job: ScanJob) -> tuple[Manifest, Tree]:
        """Scan a file of this format: every object is mapped, inlined or refused by name with the reason.

        Raises
        ------
        FormatError
            The file is damaged where nothing can be read without it.
        Unsupported
            Packages are missing; with `strict`, anything would be refused.
        """


class FolderFormat(Protocol):
    """A format of sources that are no file, but a folder of files."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def title(self) -> str: ...  # noqa: D102

    def read(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None,
        selection: PathFilter,
        inline_threshold: int,
        zarr_format: ZarrFormat | None,
        strict: bool,
    ) -> Manifest | None:
        """Scan a folder of this format, see `Format.read`; None where a url is not that of one."""


FOLDERS: Final[list[FolderFormat]] = [ZarrFolder(), WkwFolder()]
"""All formats of folders, in the order in which they are asked before a url is taken for that of a file."""

FORMATS: Final[list[Format]] = [
    NetCDFClassic(),
    Hdf5(),  # may stand behind a user block, which may be of any format below
    ZarrZip(),
    B2nd(),
    Tiff(),
    *(KerchunkFormat(name) for name in PACKAGES if name != "tiff"),
]
"""All formats, in the order in which they are asked."""


def register(new: Format) -> None:
    """Add a format to the table, behind those that are there. Raises `ValueError` where its name is taken."""
    if any(known.name == new.name for known in FORMATS):
        raise ValueError(f"there is a format {new.name!r} already: give this one a name of its own")
    FORMATS.append(new)


def format_named(name: str) -> Format | None:
    """Return the format of a name."""
    return next((known for known in FORMATS if known.name == name), None)


def format_of(window: Window) -> Format | None:
    """Tell the format of a file by content; None where it is none of the table."""
    size = min(HEAD_SIZE, window.size)
    head = b""
    if size:
        buf, pos = window.at(0, size)
        head = bytes(buf[pos : pos + size])
    return next((known for known in FORMATS if known.detect(head, window)), None)


def unknown_format(window: Window) -> FormatError:
    """Return the error for a file that is of no format of the table."""
    first, *others, last = [known.title for known in sorted(FORMATS, key=lambda known: known.name != "hdf5")]
    size = min(8, window.size)
    buf, pos = window.at(0, size)
    return FormatError(
        f"neither {first} nor {', '.join(others)} or {last}: no signature at the start or behind a user block",
        structure="superblock",
        address=0,
        got=bytes(buf[pos : pos + size]),
    )
