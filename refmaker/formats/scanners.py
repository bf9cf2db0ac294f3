"""The scanner of each format, called in this process.

Contract: what kerchunk and the libraries behind it raise becomes a `FormatError`. A file is given as a url that
fsspec opens.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from refmaker.errors import FormatError, RefmakerError
from refmaker.formats.detect import TITLES, Format
from refmaker.formats.kerchunk_references import Found

__all__ = ["scan_here"]


def scan_here(
    kind: Format, url: str, storage_options: Mapping[str, Any], size: int, alive: Callable[[], None] = lambda: None
) -> Found:
    """Scan a file.

    Parameters
    ----------
    url
        Absolute path, or url.
    size
        Bytes of the file.
    alive
        Called after every part of the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries about each other
            if kind == "tiff":
                from refmaker.formats.tiff import scan_tiff

                return scan_tiff(url, storage_options, size)
            if kind == "fits":
                from refmaker.formats.fits import scan_fits

                return scan_fits(url, storage_options, size, alive)
            from refmaker.formats.grib import scan_grib

            return scan_grib(url, storage_options, size, alive)
    except RefmakerError:
        raise
    except MemoryError as error:
        raise FormatError(f"to scan this {TITLES[kind]} file takes more memory than there is for it") from error
    except Exception as error:  # kerchunk, and each library behind it, raises errors of its own
        cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise FormatError(f"kerchunk cannot scan this {TITLES[kind]} file: {cause}") from error
