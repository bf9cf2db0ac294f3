"""A manifest and its file side by side, as xarray shows them: the part that runs in a process of its own.

    python -m refmaker.verification.shown < request.json > answer.json

Contract: the file is opened by xarray's netCDF-4 engine, or by h5netcdf where netCDF-C cannot; the manifest by the
engine "refmaker", and by xarray's own Zarr engine. Variables that only one side has are left: netCDF-C does not know
all types, and what was refused is named elsewhere. netCDF-C does not survive all files; whatever happens here costs the
comparison only.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from refmaker.errors import SourceError

__all__ = ["compare_group"]

_SAMPLE_BYTES = 1 << 20
_FULL_BYTES = 1 << 28
"""Bytes of a variable whose values are compared, of those at the beginning and at the end."""
_LONGEST = 120
"""Characters of a value in the report."""


def compare_group(request: dict[str, Any], group: str, source: str) -> dict[str, Any]:
    """Compare one group.

    Parameters
    ----------
    request
        `manifest`, `file`, `options`, `zarr_format`, `full`, `variables` (the most that are compared).
    group, source
        Its paths in the manifest and in the file.

    Returns
    -------
    answer
        `variables`: number of those compared; `found`: path, reader, aspect, expected and got of what differs;
        `reason`: why nothing was compared.
    """
    import xarray as xr

    found: list[list[str]] = []
    options = {"decode_times": True}
    want, problem, engine = _original(xr, request["file"], source, options)
    if want is None and problem is not None:
        options = {"decode_times": False}  # some files have times that are none
        want, second, engine = _original(xr, request["file"], source, options)
        problem = problem if want is None else second
    if want is None:
        return {"variables": 0, "found": [], "reason": problem}
    names: set[str] = set()
    for reader in ("refmaker", "zarr"):
        try:
            with _explained():
                got = _shown(xr, request, reader, group, options)
        except SourceError as error:
            found.append(["/" + group, reader, "opening", "a dataset", error.message])
            continue
        both = [name for name in want.variables if name in got.variables][: request["variables"]]
        names.update(map(str, both))
        for name in both:
            path = f"/{group}/{name}" if group else f"/{name}"
            for aspect, expected, shown in _differences(want[name], got[name], reader, engine, request["full"]):
                found.append([path, reader, aspect, expected, shown])
        if engine == "netcdf4":
            for aspect, expected, shown in _attributes(want.attrs, got.attrs):
                found.append(["/" + group, reader, aspect, expected, shown])
    return {"variables": len(names), "found": found, "reason": None}


def _original(xr: Any, file: str, source: str, options: dict[str, Any]) -> tuple[Any, str | None, str]:
    """Open a group of the file; return the dataset or the reason why there is none, and the engine."""
    problem = None
    for engine, more in (("netcdf4", {}), ("h5netcdf", {"phony_dims": "sort"})):
        try:
            with _explained():
                return xr.open_dataset(file, engine=engine, group=source or None, **options, **more), None, engine
        except SourceError as error:
            problem = problem or error.message
    return None, problem, ""


def _shown(xr: Any, request: dict[str, Any], reader: str, group: str, options: dict[str, Any]) -> Any:
    opening = request["options"]
    if reader == "refmaker":
        given = {**opening, "check": "off"}
        return xr.open_dataset(request["manifest"], engine="refmaker", group=group or None, **given, **options)
    storage = {"fo": request["manifest"], "check": "off", **opening}
    return xr.open_dataset(
        "refmaker://", engine="zarr", group=group or None, consolidated=False, storage_options=storage, **options
    )


def _differences(want: Any, got: Any, reader: str, engine: str, full: bool) -> Iterator[tuple[str, str, str]]:
    """Iterate over what is not the same: aspect, in the file, through the manifest."""
    if tuple(want.shape) != tuple(got.shape):
        yield "shape", str(tuple(want.shape)), str(tuple(got.shape))
        return
    if _named(want.dims, engine) != _named(got.dims, engine):
        yield "dimensions", str(tuple(want.dims)), str(tuple(got.dims))
    if _kind(want.dtype) != _kind(got.dtype):
        if want.dtype.kind == "V" or want.dtype.metadata:  # compounds and enumerations have forms of their own here
            return
        yield "dtype", str(want.dtype), str(got.dtype)
    for part in _parts(want, full):
        try:
            with _explained():
                expected = np.asarray(want[part].values)
        except SourceError:
            continue  # values are compared with h5py; here there is no more to be seen than in the file
        try:
            with _explained():
                shown = np.asarray(got[part].values)
        except SourceError as error:
            yield "reading", "values", error.message
            return
        at = _first_difference(expected, shown, reader)
        if at is not None:
            yield "values", *at
            return
    if engine == "netcdf4":
        yield from _attributes(want.attrs, got.attrs)


def _named(dims: Any, engine: str) -> tuple[str, ...]:
    """Return names that can be compared: h5netcdf numbers dimensions without names in an order of its own."""
    return tuple("" if engine != "netcdf4" and str(dim).startswith("phony_dim_") else str(dim) for dim in dims)


def _kind(dtype: Any) -> str:
    """Return what two dtypes have in common that show the same."""
    if dtype.kind in "OUT":
        return "text"
    return "i1" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"


def _parts(variable: Any, full: bool) -> list[tuple[slice, ...]]:
    """Choose what is compared: all that is small, else the beginning and the end."""
    room = _FULL_BYTES if full else _SAMPLE_BYTES
    if variable.nbytes <= room or not variable.ndim or variable.size == 0:
        return [()] if variable.nbytes <= _FULL_BYTES else []
    begin: list[slice] = []
    end: list[slice] = []
    left = max(room // variable.dtype.itemsize, 1)
    for extent in reversed(variable.shape):
        take = min(extent, max(left, 1))
        left //= max(take, 1)
        begin.insert(0, slice(0, take))
        end.insert(0, slice(extent - take, extent))
    return [tuple(begin), tuple(end)]


def _first_difference(want: np.ndarray, got: np.ndarray, reader: str) -> tuple[str, str] | None:
    """Return the first elements that are not the same. Zarr readers compute in 64 bits where others do in 32."""
    if want.dtype.kind in "fc" and got.dtype.kind in "fc":
        exact = reader == "refmaker" or got.dtype == want.dtype
        with np.errstate(all="ignore"):
            same = (want == got) | (np.isnan(want) & np.isnan(got))
            if not exact:
                same |= np.isclose(want, got, rtol=1e-5, atol=0) | (abs(want - got) <= 1e-5 * np.nanmax(abs(want)))
    elif want.dtype.kind in "mM" and got.dtype.kind == want.dtype.kind:
        same = (want == got) | (np.isnat(want) & np.isnat(got))
    elif want.dtype.kind == "O" or got.dtype.kind == "O":
        pairs = zip(want.ravel().tolist(), got.ravel().tolist(), strict=True)
        same = np.array([_alike(one, other) for one, other in pairs], bool).reshape(want.shape)
    else:
        same = np.asarray(want == got)
        if same.shape != want.shape:
            return str(want.dtype), str(got.dtype)
    if same.all():
        return None
    at = int(np.argmin(same.ravel()))
    return _short(want.ravel()[at]), _short(got.ravel()[at])


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, float) and isinstance(other, float) and one != one:
        return other != other
    texts = [x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in (one, other)]
    return bool(texts[0] == texts[1])


def _attributes(want: dict[str, Any], got: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Compare attributes that both sides have: which ones are left out, the report of the scan says."""
    from xarray.core.utils import equivalent

    for name, value in want.items():
        if name not in got or (isinstance(value, np.ndarray) and value.dtype.kind == "V"):
            continue
        other = got[name]
        if isinstance(other, list):
            other = other[0] if len(other) == 1 and np.ndim(value) == 0 else np.asarray(other)
        try:
            same = bool(equivalent(value, other))
        except (TypeError, ValueError):
            same = _short(value) == _short(other)
        if not same and not _not_finite(value):
            yield f"attribute {name!r}", _short(value), _short(other)


def _not_finite(value: Any) -> bool:
    """Return whether JSON has no number for a value: what stock readers see then is said in the report of the scan."""
    array = np.asarray(value)
    return array.dtype.kind == "f" and not bool(np.isfinite(array).all())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Make one line of ours of whatever xarray and its engines raise."""
    try:
        yield
    except Exception as error:
        raise SourceError(f"{type(error).__name__}: {error}".split("\n", 1)[0][:300]) from error


def main() -> None:
    """Read a request, compare its groups, write the answers, one a line."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    for group, source in request["groups"]:
        try:
            with _explained():
                answer = compare_group(request, group, source)
        except SourceError as error:
            answer = {"variables": 0, "found": [], "reason": error.message}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
