"""Hold whole trees: what `open_datatree` shows of a manifest against what its netCDF-4 engine shows of the file.

    python tests/corpus/compare_trees.py ../shared/corpus/files [--only GLOB] [--verbose]

Every file that netCDF-C opens is compared with `xarray.testing.assert_identical` of DataTrees, as a whole: groups, what
they inherit, variables, attributes, decoded values. Files are opened in a process of their own each, since netCDF-C
does not survive all of them.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import fnmatch
import multiprocessing
import warnings
from pathlib import Path

OPTIONS = {"decode_timedelta": False}
LIMIT = 1 << 30


def compare(path: str) -> tuple[str, str]:
    """Compare the trees of a file; give an outcome and a message."""
    import h5py
    import netCDF4
    import xarray as xr

    import refmaker

    warnings.simplefilter("ignore")
    if not h5py.is_hdf5(path):
        return "not HDF5", ""
    try:
        netCDF4.Dataset(path).close()
    except Exception as error:  # the reference is allowed to fail in its own ways
        return "netCDF-4 cannot open", f"{type(error).__name__}: {error}"
    try:
        expected = xr.open_datatree(path, engine="netcdf4", **OPTIONS)
        if expected.nbytes > LIMIT:
            return "larger than the limit", f"{expected.nbytes} bytes"
        expected = expected.load()
    except Exception as error:  # likewise
        return "xarray cannot read by netcdf4", f"{type(error).__name__}: {error}"
    try:
        shown = refmaker.open_datatree(path, **OPTIONS).load()
    except Exception as error:  # whatever a reader sees is a finding
        return "refmaker fails", f"{type(error).__name__}: {error}"
    try:
        xr.testing.assert_identical(expected, shown)
    except AssertionError as error:
        return _without_more(xr, expected, shown) or ("different", str(error))
    except (TypeError, ValueError) as error:  # ragged arrays in object arrays have no truth value
        return "xarray cannot compare", f"{type(error).__name__}: {error}"
    return "identical", f"{len(expected.groups)} groups"


def _without_more(xr: object, expected: object, shown: object) -> tuple[str, str] | None:
    """Return the outcome without what only refmaker shows, as object references; None where more differs."""
    nodes = {node.path: node for node in shown.subtree}  # type: ignore[attr-defined]
    more, kept = [], {}
    for node in expected.subtree:  # type: ignore[attr-defined]
        if node.path not in nodes:
            return None
        dataset, known = nodes[node.path].to_dataset(inherit=False), node.to_dataset(inherit=False)
        own = [name for name in dataset.variables if name not in known.variables]
        more += [f"{node.path.rstrip('/')}/{name}" for name in own]
        kept[node.path] = dataset.drop_vars(own)
    more += [path for path in nodes if path not in kept]
    try:
        xr.testing.assert_identical(expected, xr.DataTree.from_dict(kept))  # type: ignore[attr-defined]
    except AssertionError:
        return None
    return "identical in what netCDF-4 shows", f"refmaker shows more: {', '.join(more)}"


def _child(path: str, connection: object) -> None:
    connection.send(compare(path))  # type: ignore[attr-defined]


def run(path: str, timeout: float) -> tuple[str, str]:
    """Compare a file in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(path, there))
    child.start()
    there.close()
    outcome = ("crashed or timed out", "")
    if here.poll(timeout):
        with contextlib.suppress(EOFError):
            outcome = here.recv()
    child.join(5)
    if child.is_alive():
        child.kill()
    return outcome


def main() -> None:
    """Parse the command line, compare, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--only", default="*")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    import h5py  # noqa: F401
    import netCDF4  # noqa: F401
    import xarray  # noqa: F401
    import zarr  # noqa: F401

    import refmaker.scanning.scan  # noqa: F401

    outcomes: collections.Counter[str] = collections.Counter()
    for path in sorted(p for p in Path(options.folder).rglob("*") if p.is_file()):
        name = str(path.relative_to(options.folder))
        if not fnmatch.fnmatch(name, options.only):
            continue
        outcome, message = run(str(path), options.timeout)
        outcomes[outcome] += 1
        if outcome in ("different", "refmaker fails", "crashed or timed out") or options.verbose:
            print(f"{outcome}: {name}\n    " + "\n    ".join(message.splitlines()[:14]), flush=True)
    print("\nfiles:")
    for outcome, count in outcomes.most_common():
        print(f"  {outcome:32s}{count:6d}")


if __name__ == "__main__":
    main()
