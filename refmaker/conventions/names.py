"""Which names of a source can be names in Zarr.

Contract: names are kept or refused, never mangled. The rules are those of the Zarr 2 and 3 specifications for node
names, and of what zarr-python does to paths (a backslash becomes a slash).
"""

from __future__ import annotations

__all__ = ["zarr_name_problem"]


def zarr_name_problem(name: str) -> str | None:
    """Return why a link name cannot be the name of a Zarr group or array; None when it can.

    Parameters
    ----------
    name
        One name, not a path. Bytes that are not UTF-8 stand as lone surrogates.
    """
    if not name:
        return "the name is empty"
    if not name.strip("."):
        return "a Zarr name cannot consist of full stops alone"
    if name.startswith(".z"):
        return "names that begin with '.z' are those of Zarr's own metadata"
    if name == "zarr.json":
        return "'zarr.json' is the name of Zarr's own metadata"
    if "/" in name or "\\" in name:
        return "Zarr takes a slash or backslash in a name for a separator"
    if name.isascii():
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    return None
