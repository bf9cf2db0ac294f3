"""A manifest held against its file as users see both: through xarray.

Contract: done in a process of its own (`refmaker.verification.shown`), in bounded time. What the engine "refmaker"
shows otherwise than xarray's netCDF-4 engine is a difference; what xarray's own Zarr engine does is a note, since JSON
and Zarr cannot tell it all. What could not be compared is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from refmaker.manifest.manifest import Manifest
from refmaker.urls import is_local, local_path
from refmaker.verification.values import counted

__all__ = ["ShownDifference", "ShownResult", "compare_shown"]

_GROUPS, _VARIABLES = 50, 300
"""Of a sample: groups that are compared, and variables of each."""
_SECONDS, _SECONDS_FULL = 120, 3600


@dataclass(slots=True)
class ShownDifference:
    """What xarray shows otherwise: of a variable or group, by which engine ("refmaker", "zarr"), and in what."""

    path: str
    reader: str
    aspect: str
    expected: str
    got: str


@dataclass(slots=True)
class ShownResult:
    """What became of the comparison through xarray.

    Attributes
    ----------
    status
        "skipped" where nothing was compared.
    reason
        Why something was not compared; None where all was.
    variables
        Number of those compared.
    differences
        What the engine "refmaker" shows otherwise.
    notes
        What xarray's own Zarr engine shows otherwise.
    """

    status: Literal["same", "differs", "skipped"]
    reason: str | None = None
    variables: int = 0
    differences: list[ShownDifference] = field(default_factory=list)
    notes: list[ShownDifference] = field(default_factory=list)


def compare_shown(
    manifest: Manifest, named: str | None, target: str | None, options: Mapping[str, Any], *, full: bool
) -> ShownResult | None:
    """Compare a manifest of one HDF5 or netCDF file with it; None where there is no such file.

    Parameters
    ----------
    named
        Where the manifest lies; None: in memory.
    target
        Where the file lies; None where it could not be read.
    options
        Of `refmaker.FileSystem`.
    """
    missing = [name for name in ("xarray", "zarr", "netCDF4") if find_spec(name) is None]
    if missing:
        return ShownResult("skipped", f"{missing[0]} is not installed")
    if target is None:
        return None
    if not is_local(target):
        return ShownResult("skipped", "netCDF-C opens local files only")
    if not _is_netcdf(local_path(target)):
        return None
    groups = list(_groups(manifest))
    chosen = groups if full else groups[:_GROUPS]
    with tempfile.TemporaryDirectory() as folder:
        if named is None:
            named = str(Path(folder) / "manifest.json")
            manifest.to_json(named)
        request = {
            "manifest": named,
            "file": local_path(target),
            "options": dict(options),
            "zarr_format": manifest.zarr_format,
            "full": full,
            "variables": sys.maxsize if full else _VARIABLES,
            "groups": chosen,
        }
        answers, problem = _ask(request, _SECONDS_FULL if full else _SECONDS)
    return _result(answers, problem, len(groups), len(chosen))


def _is_netcdf(path: str) -> bool:
    import h5py

    with open(path, "rb") as file:
        classic = file.read(4) in (b"CDF\x01", b"CDF\x02", b"CDF\x05")
    return classic or bool(h5py.is_hdf5(path))


def _groups(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Iterate over groups with arrays: their path in the manifest, and in the file."""
    seen = set()
    for path in manifest.arrays:
        code, source = manifest.sources.get(path, (0, "/" + path))
        group = path.rpartition("/")[0]
        if code == 0 and group not in seen:
            seen.add(group)
            yield group, source.rpartition("/")[0].strip("/")


def _ask(request: dict[str, Any], seconds: float) -> tuple[list[dict[str, Any]], str | None]:
    """Have a process of its own compare; return what it found, and why that may not be all."""
    command = [sys.executable, "-P", "-m", "refmaker.verification.shown"]
    problem = None
    try:
        text = json.dumps(request)
    except TypeError:
        return [], "storage options that cannot be handed to another process"
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
        out = done.stdout
        if done.returncode:
            problem = (
                f"the process that compares ended with status {done.returncode}: netCDF-C does not survive all files"
            )
    except subprocess.TimeoutExpired as error:
        out = (error.stdout or b"").decode("utf-8", "replace")  # bytes, whatever was asked for
        problem = f"it took more than {seconds} seconds"
    lines = out.split("\n")[:-1]
    return [json.loads(line) for line in lines], problem


def _result(answers: list[dict[str, Any]], problem: str | None, groups: int, chosen: int) -> ShownResult:
    found = [ShownDifference(*one) for answer in answers for one in answer["found"]]
    differences = [one for one in found if one.reader == "refmaker"]
    both = {(one.path, one.aspect) for one in differences}
    notes = [one for one in found if one.reader != "refmaker" and (one.path, one.aspect) not in both]
    reasons = [problem] if problem is not None else []
    lost = [answer["reason"] for answer in answers if answer["reason"] is not None]
    if lost:
        reasons.append(f"{counted(len(lost), 'group')} that xarray cannot open in the file: {lost[0]}")
    if chosen < groups:
        reasons.append(f"{chosen} of {groups} groups were looked at")
    variables = sum(answer["variables"] for answer in answers)
    status: Literal["same", "differs", "skipped"] = "differs" if differences else "same" if variables else "skipped"
    if not groups:
        return ShownResult("same")
    return ShownResult(status, "; ".join(reasons) or None, variables, differences, notes)
