"""Files that were scanned by way of kerchunk, read by the libraries that define what is right in them.

Contract: TIFF is compared with what tifffile reads, FITS with what astropy reads, GRIB with what cfgrib makes of it, as
far as cfgrib has a variable of the same name and shape and it is the only one. Nothing of kerchunk is used.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import SourceError
from refmaker.formats.detect import Format, require
from refmaker.verification.values import MissingCounterpart

__all__ = ["FormatFile", "PlainArray", "open_format"]


@dataclass(slots=True)
class FormatFile:
    """An open file; `find` gives the array of a path, as `Originals.find` does."""

    find: Callable[[str, np.dtype[Any]], Any]
    closing: ExitStack

    def close(self) -> None:
        """Close it."""
        self.closing.close()


@dataclass(slots=True)
class PlainArray:
    """An array that a library reads in slabs."""

    data: Any
    shape: tuple[int, ...]
    growable: tuple[bool, ...]
    dtype: np.dtype[Any] | None
    undefined: bool = False
    spaces: bool = False

    @staticmethod
    def of(data: Any) -> PlainArray:
        """Return what a library has opened as such an array."""
        shape = tuple(map(int, data.shape))
        return PlainArray(data, shape, (False,) * len(shape), np.dtype(data.dtype))

    def read(self, selection: tuple[slice, ...]) -> np.ndarray:
        """See `Original.read`."""
        try:
            return np.asarray(self.data[selection])
        except Exception as error:  # every library raises errors of its own
            raise SourceError(f"cannot be read: {type(error).__name__}: {error}".split("\n", 1)[0]) from error

    @property
    def attributes(self) -> dict[str, Any] | None:
        """See `Original.attributes`."""
        return None

    @property
    def dimensions(self) -> tuple[str | None, ...]:
        """See `Original.dimensions`."""
        return (None,) * len(self.shape)

    def stored(self, selection: tuple[slice, ...]) -> bool:
        """See `Original.stored`."""
        return True

    def same_object(self, reference: object, path: str) -> bool:
        """See `Original.same_object`."""
        return False


def open_format(kind: Format, name: Any) -> FormatFile:
    """Open a file of a format that kerchunk scans; `name` is a local path, for TIFF perhaps an open file."""
    require(kind)
    if kind == "tiff":
        return _tiff(name)
    if kind == "fits":
        return _fits(name)
    return _grib(name)


@contextmanager
def _closed_on_failure(stack: ExitStack) -> Iterator[None]:
    with ExitStack() as guard:
        guard.callback(stack.close)
        yield
        guard.pop_all()


def _tiff(name: Any) -> FormatFile:
    import tifffile
    import zarr

    stack = ExitStack()
    with _closed_on_failure(stack):
        file = stack.enter_context(tifffile.TiffFile(name))
        series = file.series[0]

        def find(path: str, shown: np.dtype[Any]) -> PlainArray:
            level = path.strip("/")
            if not level.isdecimal() or int(level) >= len(series.levels):
                raise MissingCounterpart(f"there is no {path} in the file")
            store = stack.enter_context(series.aszarr(level=int(level)))
            return PlainArray.of(zarr.open_array(store, mode="r"))

        return FormatFile(find, stack)


def _fits(name: str) -> FormatFile:
    from astropy.io import fits

    stack = ExitStack()
    with _closed_on_failure(stack):

        def opened(**options: Any) -> Any:
            # With a memory map, astropy does not close what arrays were made of.
            file = stack.enter_context(io.FileIO(name))
            return stack.enter_context(fits.open(file, memmap=False, **options))

        stored = opened(do_not_scale_image_data=True)

        def find(path: str, shown: np.dtype[Any]) -> PlainArray:
            number, _, column = path.strip("/").partition("/")
            if not number.isdecimal() or int(number) >= len(stored):
                raise MissingCounterpart(f"there is no HDU {path} in the file")
            hdu = stored[int(number)]
            if not hdu.is_image:
                if column not in hdu.columns.names:
                    raise MissingCounterpart(f"there is no column {column!r} in HDU {number}")
                data = hdu.data.view(np.ndarray)[column]
                if shown.newbyteorder("=") != data.dtype.newbyteorder("="):
                    data = _exact(opened()[int(number)].data[column], shown)
                return PlainArray.of(data)
            data = hdu.data
            if shown.newbyteorder("=") != data.dtype.newbyteorder("="):
                # Integers that stand for others of the opposite sign, as astropy decodes them.
                data = _exact(opened()[int(number)].data, shown)
            return PlainArray.of(data)

        return FormatFile(find, stack)


def _exact(data: np.ndarray, shown: np.dtype[Any]) -> np.ndarray:
    """Return whole numbers as integers: astropy has floats for bytes that stand for signed ones."""
    if data.dtype.kind != "f" or shown.kind not in "iu" or not (data == np.rint(data)).all():
        return data
    limits = np.iinfo(shown)
    within = bool((data >= limits.min).all() and (data <= limits.max).all())
    return data.astype(shown) if within else data


def _grib(name: str) -> FormatFile:
    import cfgrib

    options = {"indexpath": "", "values_dtype": np.dtype("f8")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cfgrib about its dependencies
        datasets = cfgrib.open_datasets(name, backend_kwargs=options)

    def find(path: str, shown: np.dtype[Any]) -> PlainArray:
        group, _, wanted = path.strip("/").rpartition("/")
        found: list[np.ndarray] = []
        for dataset in datasets:
            if wanted == "longitude" and any(v.attrs.get("GRIB_iScansNegatively") for v in dataset.data_vars.values()):
                raise SourceError("cfgrib turns longitudes round where rows go from east to west, and not the values")
            levels = {str(v.attrs.get("GRIB_typeOfLevel", "")) for v in dataset.data_vars.values()}
            if wanted in dataset.variables and (not group or any(group.startswith(level) for level in levels)):
                values = _as_stored(np.asarray(dataset[wanted].values))
                if not any(np.array_equal(values, other, equal_nan=True) for other in found):
                    found.append(values)
        if len(found) != 1:
            what = f"{len(found)} different variables" if found else "no variable"
            raise SourceError(f"cfgrib has {what} of this name and place to compare it with")
        return PlainArray.of(found[0])

    stack = ExitStack()
    for dataset in datasets:
        stack.callback(dataset.close)
    return FormatFile(find, stack)


def _as_stored(values: np.ndarray) -> np.ndarray:
    """Return times as kerchunk stores them: seconds since 1970, and steps in hours."""
    if values.dtype.kind == "M":
        return values.astype("M8[s]").astype("i8")
    if values.dtype.kind == "m":
        hours = values / np.timedelta64(1, "h")
        return np.asarray(hours, "i8") if (hours == np.rint(hours)).all() else np.asarray(hours)
    return values
