"""FITS by way of `kerchunk.fits.process_file`.

Contract: every image becomes one array under its name, every binary table a group with one array a column
(`refmaker.formats.columns`), or is refused by name. Values are as stored; where the header scales them, `scale_factor`,
`add_offset` and `_FillValue` say so, as in netCDF, and integers that only stand for unsigned (or signed) ones are
decoded to these. Known of kerchunk, and put right or refused here: it divides by BSCALE instead of multiplying, ignores
BLANK, reads compressed images as if they were plain, makes one structured array of a table and drops the scaling of
columns, gives several HDUs of one name the same array, has names for three dimensions only, and a fill value of 0,
which xarray masks. Source: FITS standard 4.0, sections 4.4.2.5, 5.3, 7.3.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from refmaker.conventions.names import zarr_name_problem
from refmaker.errors import RefmakerError, Unsupported
from refmaker.formats.columns import NOTE, columns_of
from refmaker.formats.kerchunk_references import Found, dtype_of, manifest_of, settled
from refmaker.manifest.manifest import Manifest, ManifestArray

__all__ = ["scan_fits"]

MAX_HDUS: Final = 10_000
_UNSIGNED: Final = {8: (-128, "|i1"), 16: (1 << 15, ">u2"), 32: (1 << 31, ">u4")}
"""BITPIX -> BZERO that only changes the sign, and what the values are then."""


def scan_fits(
    url: str, storage_options: Mapping[str, Any], size: int, alive: Callable[[], None] = lambda: None
) -> Found:
    """Scan a FITS file; parameters as in `scanners.scan_here`."""
    import fsspec
    from astropy.io import fits

    found = Found()
    with (
        warnings.catch_warnings(record=True, action="always") as remarks,
        fsspec.open(url, "rb", **storage_options) as file,
        fits.open(file, do_not_scale_image_data=True) as hdus,
    ):
        chosen = _chosen(hdus, fits, found)
        tables = {name: number for name, number in chosen.items() if isinstance(hdus[number], fits.BinTableHDU)}
        images = {name: number for name, number in chosen.items() if name not in tables}
        for name, number in tables.items():
            alive()
            _table(found, name, number, hdus[number], size)
        scanned = _by_kerchunk(url, storage_options, hdus, images)
        for name, number in images.items():
            alive()
            try:
                array = scanned.get(number) or _alone(url, storage_options, number)
                found.arrays[name] = _mended(array, hdus[number], size)
            except RefmakerError as error:
                found.refusals["/" + name] = error.message
                continue
            found.sources[name] = f"/{number}"
            if hdus[number].is_image and "scale_factor" in found.arrays[name].attributes:
                found.note(name, "values are as stored: scale_factor and add_offset are BSCALE and BZERO")
        damage = next(
            (text for text in (str(r.message) for r in remarks) if "corrupt" in text or "truncat" in text), ""
        )
        if damage:
            found.refusals[f"/HDU{len(hdus)}"] = f"astropy finds the file damaged: {' '.join(damage.split())}"
    _name_dimensions(found)
    return found


def _table(found: Found, name: str, number: int, hdu: Any, size: int) -> None:
    """Add the columns of a table."""
    arrays: dict[str, ManifestArray] = {}
    refused: dict[str, str] = {}
    try:
        for column, made in columns_of(hdu, size):
            if isinstance(made, str):
                refused[f"/{name}/{column}"] = f"column {column!r}: {made}"
            else:
                arrays[f"{name}/{column}"] = made
    except Unsupported as error:
        found.refusals["/" + name] = error.message
        return
    found.refusals.update(refused)
    if not arrays:
        return
    found.groups[name] = _attributes(hdu.header)
    found.arrays.update(arrays)
    for path, array in arrays.items():
        found.sources[path] = f"/{number}/{path.removeprefix(name + '/')}"
        found.note(path, NOTE if array.metadata.codecs else "the only column of its table")
        if "scale_factor" in array.attributes:
            found.note(path, "values are as stored: scale_factor and add_offset are TSCAL and TZERO")


def _chosen(hdus: Any, fits: Any, found: Found) -> dict[str, int]:
    """Return name and number of the HDUs that are to be scanned; refuse the others that have data."""
    chosen, names = {}, set()
    for number, hdu in enumerate(hdus):
        if number >= MAX_HDUS:
            raise Unsupported(f"more than {MAX_HDUS} HDUs")
        before = _scaling(hdu.header), hdu.header.get("BLANK")
        hdu.header.__str__()  # has astropy mend what is invalid
        if number == 0:
            found.groups[""] = _attributes(hdu.header)
        if not _has_data(hdu):
            continue
        # Named as kerchunk names it, and where that name was there before, with its number behind.
        name = str(hdu.name or number)
        name = name if name not in names else f"{name}_{number}"
        names.add(name)
        try:
            _check(hdu, name, fits)
            if before != (_scaling(hdu.header), hdu.header.get("BLANK")):
                raise Unsupported("its header is damaged: BSCALE, BZERO or BLANK")
        except Unsupported as error:
            found.refusals["/" + name] = error.message
        else:
            chosen[name] = number
    return chosen


def _has_data(hdu: Any) -> bool:
    return bool(hdu.header.get("NAXIS")) and hdu.fileinfo()["datSpan"] > 0


def _check(hdu: Any, name: str, fits: Any) -> None:
    """Raise `Unsupported` for an HDU that what kerchunk makes of it would not show as it is."""
    problem = zarr_name_problem(name)
    if problem is not None:
        raise Unsupported(problem)
    if isinstance(hdu, fits.CompImageHDU):
        raise Unsupported("a tile-compressed image: kerchunk takes its table for pixels")
    if isinstance(hdu, fits.TableHDU):
        raise Unsupported("an ASCII table: kerchunk's codec does not find its columns")
    if isinstance(hdu, fits.BinTableHDU):
        return
    if not hdu.is_image or isinstance(hdu, fits.GroupsHDU):
        raise Unsupported(f"an extension of kind {type(hdu).__name__}, which kerchunk leaves out")
    if math.nan in _scaling(hdu.header):
        raise Unsupported("its header is damaged: BSCALE or BZERO is no number")
    if hdu.header["BITPIX"] == 64 and _scaling(hdu.header) != (1.0, 0.0):
        raise Unsupported("64-bit integers with BSCALE or BZERO, for which Zarr has no exact codec")


def _scaling(header: Any) -> tuple[float, float]:
    found = []
    for key, default in (("BSCALE", 1), ("BZERO", 0)):
        value = header.get(key, default)
        # A card without a value, as a damaged one is, has text for one.
        found.append(float(value) if isinstance(value, int | float) else math.nan)
    return found[0], found[1]


def _by_kerchunk(
    url: str, storage_options: Mapping[str, Any], hdus: Any, chosen: Mapping[str, int]
) -> dict[int, ManifestArray]:
    """Have kerchunk scan HDUs of different names together; return what comes of it by their numbers.

    One by one, it would read all headers before each. Where it fails on one, nothing is given.
    """
    named: dict[str, int] = {}
    for number in chosen.values():
        named.setdefault(str(hdus[number].name or number), number)
    try:
        manifest = _called(url, storage_options, list(named.values()))
    except RefmakerError:
        return {}
    return {number: manifest.arrays[name] for name, number in named.items() if name in manifest.arrays}


def _alone(url: str, storage_options: Mapping[str, Any], number: int) -> ManifestArray:
    """Have kerchunk scan one HDU."""
    arrays = list(_called(url, storage_options, [number]).arrays.values())
    if len(arrays) != 1:
        raise Unsupported(f"kerchunk makes {len(arrays)} arrays of it")
    return arrays[0]


def _called(url: str, storage_options: Mapping[str, Any], numbers: list[int]) -> Manifest:
    import kerchunk.fits

    try:
        refs = kerchunk.fits.process_file(url, storage_options=dict(storage_options), extension=numbers)
    except Exception as error:  # kerchunk and the libraries behind it raise errors of their own
        cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise Unsupported(f"kerchunk cannot scan it: {cause}") from error
    return manifest_of(refs, url)


def _mended(array: ManifestArray, hdu: Any, size: int) -> ManifestArray:
    """Put right what kerchunk says of an HDU."""
    if hdu.is_image:
        array.metadata = array.metadata.replaced(filters=None)
    if array.references.offset.tolist() != [hdu.fileinfo()["datLoc"]]:
        raise Unsupported("kerchunk finds its data elsewhere than astropy")
    array = settled(array, size)
    array.attributes.clear()
    array.attributes.update(_attributes(hdu.header))
    if hdu.is_image:
        _scale(array, hdu.header)
    rank = len(array.metadata.shape)
    array.attributes["_ARRAY_DIMENSIONS"] = [f"axis{n}" for n in range(rank, 3, -1)] + ["z", "y", "x"][-rank:]
    return array


def _scale(array: ManifestArray, header: Any) -> None:
    """Return how values are scaled, and which one stands for none."""
    bits = header["BITPIX"]
    scale, zero = _scaling(header)
    blank = header.get("BLANK") if bits > 0 else None
    sign, dtype = _UNSIGNED.get(bits, (None, ""))
    if scale == 1 and zero == sign:
        stored = dtype_of(array).str
        codec = {"id": "fixedscaleoffset", "scale": 1, "offset": zero, "dtype": dtype, "astype": stored}
        array.metadata = array.metadata.replaced(dtype=dtype, filters=[codec])
        blank = None if blank is None else int(blank) + int(zero)
    elif (scale, zero) != (1.0, 0.0):
        array.attributes.update(scale_factor=scale, add_offset=zero)
    if blank is not None:
        array.attributes["_FillValue"] = int(blank)


def _attributes(header: Any) -> dict[str, Any]:
    """Return a header as attributes; what stands several times, as COMMENT does, as lines of text."""
    from astropy.io.fits.card import Undefined

    kept: dict[str, Any] = {}
    for name in dict.fromkeys(header.keys()):
        if not name:
            continue
        value = header[name]
        if value is None or isinstance(value, Undefined):
            kept[name] = None
        else:
            kept[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return kept


def _name_dimensions(found: Found) -> None:
    """Return dimensions names of their own where arrays of other lengths are along the same name."""
    lengths: dict[str, set[int]] = {}
    images = {path: array for path, array in found.arrays.items() if "/" not in path}
    for array in images.values():
        for name, extent in zip(array.attributes["_ARRAY_DIMENSIONS"], array.metadata.shape, strict=True):
            lengths.setdefault(name, set()).add(extent)
    for path, array in images.items():
        names = array.attributes["_ARRAY_DIMENSIONS"]
        array.attributes["_ARRAY_DIMENSIONS"] = [n if len(lengths[n]) == 1 else f"{path}_{n}" for n in names]
