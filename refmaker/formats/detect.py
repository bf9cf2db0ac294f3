"""Which formats are handed to kerchunk, how they are told by content, and what has to be installed for each.

Contract: a format is told by the first bytes of a file, never by its name. Nothing is imported to find out whether a
package is there. Sources: TIFF 6.0, section 2 (and the BigTIFF design for version 43); FITS standard 4.0, 4.4.1.1; WMO
Manual on Codes 306, FM 92 GRIB, section 0.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

from refmaker.errors import Unsupported
from refmaker.extras import install_command

__all__ = [
    "HEAD_SIZE",
    "NAMES",
    "PACKAGES",
    "TITLES",
    "Format",
    "format_of",
    "is_kind",
    "missing",
    "require",
]

Format: TypeAlias = Literal["tiff", "fits", "grib"]

HEAD_SIZE: Final = 10
"""Bytes that tell."""
TITLES: Final[dict[Format, str]] = {"tiff": "TIFF", "fits": "FITS", "grib": "GRIB"}
PACKAGES: Final[dict[Format, tuple[str, ...]]] = {
    "tiff": ("kerchunk", "tifffile", "imagecodecs"),
    "fits": ("kerchunk", "astropy"),
    "grib": ("kerchunk", "cfgrib", "eccodes"),
}
NAMES: Final[dict[Format, tuple[str, ...]]] = {
    "tiff": (".tif", ".tiff"),
    "fits": (".fits", ".fit"),
    "grib": (".grib2", ".grb2", ".grib"),
}
"""How files are named that are looked for where only names are known."""
_MAGIC: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00\x08\x00\x00\x00", "tiff"),
    (b"MM\x00+\x00\x08\x00\x00", "tiff"),
    (b"SIMPLE  =", "fits"),
    (b"GRIB", "grib"),
)


def format_of(head: bytes) -> Format | None:
    """Tell the format from the first `HEAD_SIZE` bytes of a file; None for one that is none of these."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def is_kind(name: str) -> bool:
    """Return whether this is the name of one of these formats."""
    return name in TITLES


def missing(kind: Format) -> list[str]:
    """Name the packages that a format needs and that are not installed."""
    return [name for name in PACKAGES[kind] if find_spec(name) is None]


def require(kind: Format) -> None:
    """Raise `Unsupported`, with what to install, unless the packages for a format are there."""
    absent = missing(kind)
    if absent:
        names = " and ".join(absent)
        needed = f"{names} for them: {install_command('formats')}"
        raise Unsupported(f"{TITLES[kind]} files are scanned with kerchunk, which needs {needed}")
