"""Hold what xarray shows of a manifest against what its netCDF-4 engine shows of the file, over a folder of files.

    python tests/corpus/compare_xarray.py ../shared/corpus/files [--only GLOB] [--engine zarr] [--verbose]

Every group of every file that both can open is compared with `xarray.testing.assert_identical`: names, dimensions,
coordinates, attributes, decoded values; through the engine "refmaker", or xarray's own Zarr engine. Each difference is
printed with its first lines. Files are opened in a process of their own each, since netCDF-C does not survive all of
them.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import fnmatch
import multiprocessing
import os
import sys
import tempfile
import warnings
from pathlib import Path

OPTIONS = {"decode_timedelta": False}
LIMIT = 1 << 30
EXPECTED = ("identical", "netCDF-4 cannot open", "xarray cannot read by netcdf4", "larger than the limit")


def compare(path: str, folder: str, engine: str = "refmaker") -> list[tuple[str, str, str]]:
    """Compare all groups of a file; give (group, outcome, message) for each."""
    import h5py
    import netCDF4
    import xarray as xr

    import refmaker

    warnings.simplefilter("ignore")
    if not h5py.is_hdf5(path):
        return []
    try:
        with netCDF4.Dataset(path) as file:
            groups = ["", *_groups(file)]
    except Exception as error:  # the reference is allowed to fail in its own ways
        return [("", "netCDF-4 cannot open", f"{type(error).__name__}: {error}")]
    manifest = os.path.join(folder, "manifest.json")
    refmaker.scan(path).to_json(manifest)
    return [(group, *_compare_group(xr, path, manifest, group, engine)) for group in groups]


def _groups(group: object, prefix: str = "") -> list[str]:
    found = []
    for name, child in group.groups.items():  # type: ignore[attr-defined]
        found += [prefix + name, *_groups(child, prefix + name + "/")]
    return found


def _compare_group(xr: object, path: str, manifest: str, group: str, engine: str) -> tuple[str, str]:
    try:
        expected = xr.open_dataset(path, engine="netcdf4", group=group or None, **OPTIONS)  # type: ignore[attr-defined]
        if expected.nbytes > LIMIT:
            return "larger than the limit", f"{expected.nbytes} bytes"
        expected = expected.load()
    except Exception as error:  # the reference is allowed to fail in its own ways
        return "xarray cannot read by netcdf4", f"{type(error).__name__}: {error}"
    try:
        # zarr-python 3.1 cannot list the groups of stock `reference://`, so groups are opened through `refmaker://`.
        how = {"storage_options": {"fo": manifest}, "consolidated": False} if engine == "zarr" else {}
        name = "refmaker://" if engine == "zarr" else manifest
        shown = xr.open_dataset(  # type: ignore[attr-defined]
            name, engine=engine, group=group or None, **how, **OPTIONS
        ).load()
    except Exception as error:  # whatever a reader sees is a finding
        return "cannot read the manifest", f"{type(error).__name__}: {error}"
    try:
        xr.testing.assert_identical(expected, shown)  # type: ignore[attr-defined]
    except AssertionError as error:
        return "different", str(error)
    except (TypeError, ValueError) as error:  # ragged arrays in object arrays have no truth value
        return "xarray cannot compare", f"{type(error).__name__}: {error}"
    return "identical", ""


def _child(path: str, engine: str, connection: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = compare(path, folder, engine)
        except Exception as error:  # reported by the parent
            rows = [("", "failed", f"{type(error).__name__}: {error}")]
    connection.send(rows)  # type: ignore[attr-defined]


def run(path: str, timeout: float, engine: str = "refmaker") -> list[tuple[str, str, str]]:
    """Compare a file in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(path, engine, there))
    child.start()
    there.close()
    rows = [("", "crashed or timed out", "")]
    if here.poll(timeout):
        with contextlib.suppress(EOFError):
            rows = here.recv()
    child.join(5)
    if child.is_alive():
        child.kill()
    return rows


def main() -> None:
    """Parse the command line, compare, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--only", default="*")
    parser.add_argument("--engine", choices=("refmaker", "zarr"), default="refmaker")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    import h5py  # noqa: F401
    import netCDF4  # noqa: F401
    import xarray  # noqa: F401
    import zarr  # noqa: F401

    import refmaker.scanning.scan  # noqa: F401

    outcomes: collections.Counter[str] = collections.Counter()
    files: collections.Counter[str] = collections.Counter()
    for path in sorted(p for p in Path(options.folder).rglob("*") if p.is_file()):
        name = str(path.relative_to(options.folder))
        if not fnmatch.fnmatch(name, options.only):
            continue
        rows = run(str(path), options.timeout, options.engine)
        seen = {outcome for _, outcome, _ in rows}
        files["identical in all groups" if seen == {"identical"} else "other"] += bool(rows)
        for group, outcome, message in rows:
            outcomes[outcome] += 1
            if outcome not in EXPECTED or options.verbose:
                print(f"{outcome}: {name} /{group}\n    " + "\n    ".join(message.splitlines()[:14]), flush=True)
    print("\ngroups:")
    for outcome, count in outcomes.most_common():
        print(f"  {outcome:32s}{count:6d}")
    print("files:", dict(files))
    sys.exit(1 if outcomes["failed"] or outcomes["crashed or timed out"] else 0)


if __name__ == "__main__":
    main()
