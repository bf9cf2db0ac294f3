#!/bin/sh
# From Python 3.11 alone to a netCDF-4 file read as Zarr: makes .venv, then runs quickstart.py.
set -eu
cd "$(dirname "$0")/.."
sh .ci/environment examples
exec .venv/bin/python examples/quickstart.py
