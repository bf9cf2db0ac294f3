"""Filters that libhdf5 must have at hand before it can decode a pipeline.

Contract: libhdf5 knows some filters itself and finds others in plugins (HDF5_PLUGIN_PATH); hdf5plugin brings many and
is imported only when one is missing. A filter that stays missing is `Unsupported`, with its number, its registered
name and what to install.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from refmaker.errors import Unsupported
from refmaker.extras import install_command
from refmaker.model import Filter

__all__ = ["FIRST_PLUGIN", "require_filters"]

FIRST_PLUGIN = 256
"""Lower ids are libhdf5's own filters (H5Z_FILTER_RESERVED)."""

REGISTERED = {
    1: "deflate",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "n-bit",
    6: "scale-offset",
    305: "lzo",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32018: "fcidecomp",
    32019: "jpeg",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
"""Names in the registry of the HDF Group."""
_IN_HDF5PLUGIN = {307, 32001, 32004, 32008, 32013, 32015, 32017, 32018, 32024, 32026, 32028}


def require_filters(filters: Iterable[Filter]) -> None:
    """Make sure that libhdf5 can decode with these filters; raise `Unsupported` for the first that it has not."""
    missing = [f for f in filters if not _available(f.id)]
    if not missing:
        return
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  importing registers its filters
    for one in missing:
        if not _available(one.id):
            raise Unsupported(f"{_described(one)} is not available: {_advice(one.id)}", structure="HDF5 codec")


def _available(number: int) -> bool:
    from h5py import h5z

    if not h5z.filter_avail(number):
        return False
    # libhdf5 may have been built without the decoder of szip
    return bool(h5z.get_filter_info(number) & h5z.FILTER_CONFIG_DECODE_ENABLED)


def _described(one: Filter) -> str:
    name = REGISTERED.get(one.id, "not in refmaker's list")
    return f"filter {one.id} ({name}{f', stored as {one.name!r}' if one.name and one.name != name else ''})"


def _advice(number: int) -> str:
    if number in _IN_HDF5PLUGIN:
        return install_command("filters")
    if number < FIRST_PLUGIN:
        return "the HDF5 library of h5py was built without it"
    return "put its plugin for HDF5 into a directory that HDF5_PLUGIN_PATH names"
