"""Functions of the C libraries that come with h5py, looked up by name.

Contract: h5py is not imported. A symbol is looked up through an extension module of h5py, which leads to the libhdf5
that it was linked with, and on to libaec, wherever they are. None where there is none: not every build exports it.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import Any

__all__ = ["exported"]

_MODULE = "_errors."  # the smallest extension module of h5py that is linked with libhdf5


def exported(name: str, *, holding: bool = False) -> Any:
    """Return a function of the libraries of h5py, or None.

    Parameters
    ----------
    name
        Of the symbol.
    holding
        Keep hold of the interpreter while it runs: to let go of it takes longer than a short call.

    Examples
    --------
    >>> exported("no_such_function") is None
    True
    """
    import ctypes

    path = _extension_module()
    if path is None:
        return None
    try:
        return getattr((ctypes.PyDLL if holding else ctypes.CDLL)(path), name)
    except (OSError, AttributeError):
        return None


@cache
def _extension_module() -> str | None:
    spec = find_spec("h5py")
    if spec is None or spec.origin is None:
        return None
    folder = os.path.dirname(spec.origin)
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # a package in an archive
        return None
    for name in names:
        if name.startswith(_MODULE) and not name.endswith((".py", ".pyx", ".pxd")):
            return os.path.join(folder, name)
    return None
