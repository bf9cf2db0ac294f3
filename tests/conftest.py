"""What holds for all tests: hypothesis without deadlines, as the machines that run them differ; hdf5plugin's filters.

A run draws the same examples as the last one, so that what passes, passes again. `--hypothesis-profile explore` draws
others, and more where a test does not say how many. Pauses between attempts over a network are short.

netCDF4 brings HDF5 plugins of its own, some of which libhdf5 cannot write with. The one that is loaded first stays, so
that the tests load hdf5plugin's before any of them can import netCDF4.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings

from refmaker.sources import async_store

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401

# A shell has background jobs ignore Ctrl-C, which their children inherit; tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("refmaker", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=500)
settings.load_profile("refmaker")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither a user's cache of manifests nor that of a worker beside this one is read or written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFMAKER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def short_pauses() -> Iterator[None]:
    """Between attempts over loopback sockets there is nothing to wait for."""
    with pytest.MonkeyPatch.context() as patch:
        quick = replace(async_store.SCAN_POLICY, pause=0.002, longest_pause=0.01)
        patch.setattr(async_store, "SCAN_POLICY", quick)
        yield
