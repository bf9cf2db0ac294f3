"""Which names of a source can be names in Zarr.

Contract: names are kept or refused, never mangled. The rules are those of the Zarr 2 and 3 specifications for node
names, and of what zarr-python does to paths (a backslash becomes a slash).
"""

from __future__ import annotations

__all__ = ["escaped", "is_utf8", "zarr_name_problem"]


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
    return None if is_utf8(name) else "the name is not valid UTF-8"


def is_utf8(text: str) -> bool:
    """Return whether a text of a source can stand in JSON: bytes that are not UTF-8 are lone surrogates in it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(text: str) -> str:
    r"""Return a text with the bytes that are not UTF-8 written as `\xb0`, for what has to be named and is no node."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
