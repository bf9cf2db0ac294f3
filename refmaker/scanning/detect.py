"""A file's format, as the driver of a scan finds it out, and its tree alone.

Contract: `detect_format` asks the table of formats (`scanning.formats`) and fetches what of the file is missing for an
answer. `read_tree` runs a walk to its end, of formats that refmaker walks itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refmaker.driver import Driver, Step
from refmaker.errors import FormatError, concealed
from refmaker.hdf5.walk import Walk
from refmaker.mapping.build import DEFAULT_INLINE_LIMIT
from refmaker.model import Tree
from refmaker.path_filter import PathFilter
from refmaker.scanning.formats import Format, format_of, unknown_format
from refmaker.scanning.walked import Hdf5, NetCDFClassic, read_hdf5, read_netcdf3
from refmaker.sources.open import open_source
from refmaker.window import Window

__all__ = ["detect_format", "read_tree"]


def detect_format(window: Window, driver: Driver) -> Format:
    """Tell the format of a file. Raises `FormatError` where it is none that can be scanned."""
    found: list[Format] = []

    def detect() -> list[Step]:
        kind = format_of(window)
        if kind is None:
            raise unknown_format(window)
        found.append(kind)
        return []

    driver.run([detect])
    return found[-1]


@concealed
def read_tree(url: str, storage_options: Mapping[str, Any] | None = None) -> Tree:
    """Walk a file without making a manifest of it."""
    source = open_source(url, storage_options)
    driver = Driver(source, None)
    kind = detect_format(source.window, driver)
    if isinstance(kind, NetCDFClassic):
        return read_netcdf3(source.window, driver, url, None)
    if not isinstance(kind, Hdf5):
        raise FormatError("neither HDF5 nor netCDF", structure="superblock", address=0, got=kind.name)
    return read_hdf5(Walk(source.window, DEFAULT_INLINE_LIMIT), driver, url, PathFilter("/", (), ()))
