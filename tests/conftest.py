"""What holds for all tests: hypothesis without deadlines, as the machines that run them differ; hdf5plugin's filters.

netCDF4 brings HDF5 plugins of its own, some of which libhdf5 cannot write with. The one that is loaded first stays, so
that the tests load hdf5plugin's before any of them can import netCDF4.
"""

from __future__ import annotations

import contextlib

from hypothesis import settings

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401

settings.register_profile("refmaker", deadline=None, print_blob=True)
settings.load_profile("refmaker")
