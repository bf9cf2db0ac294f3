"""The libhdf5 that h5py brings along, for the property lists that h5py does not set."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

_PLACES = ("../h5py.libs/libhdf5-*", "../h5py.libs/libhdf5.*", ".dylibs/libhdf5.*")


def _load() -> ctypes.CDLL | None:
    for place in _PLACES:
        for path in sorted(Path(h5py.__file__).parent.glob(place)):
            return ctypes.CDLL(str(path))
    return None


def available() -> bool:
    """Return whether there is such a library."""
    return _load() is not None


def call(name: str, *types: type) -> Callable[..., int]:
    """Return a function of libhdf5 that takes these C types; it raises when the library says that it failed."""
    library = _load()
    if library is None:
        pytest.skip("h5py does not bring a libhdf5 of its own")
    function = getattr(library, name)
    function.argtypes, function.restype = types, ctypes.c_int

    def checked(*arguments: object) -> int:
        result: int = function(*arguments)
        if result < 0:
            raise RuntimeError(f"{name} failed")
        return result

    return checked


def set_istore_k(creation: h5py.h5p.PropFCID, k: int) -> None:
    """Set the K of chunk B-trees."""
    call("H5Pset_istore_k", ctypes.c_int64, ctypes.c_uint)(creation.id, k)


def set_sym_k(creation: h5py.h5p.PropFCID, internal: int, leaf: int) -> None:
    """Set the K of group B-trees and of symbol table nodes."""
    call("H5Pset_sym_k", ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)(creation.id, internal, leaf)


def share_messages(
    creation: h5py.h5p.PropFCID, *indexes: tuple[int, int], list_max: int = 50, list_min: int = 40
) -> None:
    """Set shared message indexes: for each the message types (flags) and the smallest size that is shared.

    An index becomes a B-tree beyond `list_max` messages, a list again below `list_min`.
    """
    call("H5Pset_shared_mesg_nindexes", ctypes.c_int64, ctypes.c_uint)(creation.id, len(indexes))
    for number, (flags, size) in enumerate(indexes):
        set_index = call("H5Pset_shared_mesg_index", ctypes.c_int64, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
        set_index(creation.id, number, flags, size)
    phase = call("H5Pset_shared_mesg_phase_change", ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)
    phase(creation.id, list_max, list_min)


def leave_edges_unfiltered(creation: h5py.h5p.PropDCID) -> None:
    """Store partial edge chunks without filters."""
    call("H5Pset_chunk_opts", ctypes.c_int64, ctypes.c_uint)(creation.id, 2)


def set_cache_image(access: h5py.h5p.PropFAID) -> None:
    """Write an image of the metadata cache when the file is closed."""

    class Config(ctypes.Structure):
        _fields_ = [
            ("version", ctypes.c_int),
            ("generate_image", ctypes.c_bool),
            ("save_resize_status", ctypes.c_bool),
            ("entry_ageout", ctypes.c_int),
        ]

    set_config = call("H5Pset_mdc_image_config", ctypes.c_int64, ctypes.POINTER(Config))
    set_config(access.id, ctypes.byref(Config(1, True, False, -1)))
