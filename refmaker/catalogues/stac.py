"""Manifests as STAC items and a collection of them.

    item = stac_item("https://host/air.json")
    collection = stac_collection("air", [item])

Contract: STAC 1.1 with the extensions datacube 2.2, projection 2.0, file 2.1 and xarray-assets 1.0, each named only
where it is used; links and roles as the best practices for Zarr have them: a link `store` to the manifest, an asset
with the roles `data` and `virtual` for each group, the source files with the role `source`. What xpystac opens is the
asset `references`. The JSON is plain and strict; no package of STAC's is needed.
"""

from __future__ import annotations

import datetime as dt
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refmaker.catalogues.describing import Cube, describe
from refmaker.catalogues.extents import Box, geometry_of, union
from refmaker.errors import Unsupported
from refmaker.manifest.manifest import Manifest
from refmaker.redaction import redact
from refmaker.replay.loading import load
from refmaker.urls import is_local, text_of

__all__ = ["StacOptions", "stac_collection", "stac_item"]

_VERSION: Final = "1.1.0"
_EXTENSIONS: Final = {
    "cube:": "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
    "proj:": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "file:": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "xarray:": "https://stac-extensions.github.io/xarray-assets/v1.0.0/schema.json",
}
_FORMS: Final = {
    ".json": "application/json",
    ".json.gz": "application/gzip",
    ".json.zst": "application/zstd",
    ".parq": "application/vnd.apache.parquet",
    ".parquet": "application/vnd.apache.parquet",
}
_SOURCES: Final = {
    **dict.fromkeys((".nc", ".nc4", ".nc3", ".cdf"), "application/netcdf"),
    **dict.fromkeys((".h5", ".hdf5", ".he5", ".hdf"), "application/x-hdf5"),
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
}


@dataclass(frozen=True, slots=True)
class StacOptions:
    """How items are made.

    Attributes
    ----------
    href
        Where the manifest will be; by default where it is.
    datetime
        The time of an item whose coordinates and attributes have none.
    sources
        Source files that are listed at most; an item of more has none of them.
    """

    href: str | None = None
    datetime: dt.datetime | None = None
    sources: int = 100


def stac_item(
    manifest: str | os.PathLike[str],
    *,
    identifier: str | None = None,
    options: StacOptions | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a manifest as a STAC item.

    Parameters
    ----------
    manifest
        Its path or url. Its coordinates are read from the files that it refers to.
    identifier
        Of the item; by default the name of the manifest without its ending.
    options
        How the item is made.
    storage_options
        Of the manifest and of its targets, as fsspec has them.

    Raises
    ------
    Unsupported
        It has no time, which an item needs: name one. Or it has no variables.
    RefmakerError
        The manifest, or a coordinate, cannot be read.

    Examples
    --------
    >>> stac_item("air.json")["properties"]["datetime"]  # doctest: +SKIP
    '2000-01-01T00:00:00Z'
    """
    given, name = options or StacOptions(), text_of(manifest)
    opened = load(manifest, None, storage_options or {}).result().lookup.manifest
    cubes = describe(name, storage_options)
    if not cubes:
        raise Unsupported("the manifest has no variables: there is nothing to catalogue", source=name)
    href = given.href or (os.path.abspath(name) if is_local(name) else redact(name))
    boxes = [cube.box for cube in cubes if cube.box is not None]
    box = union(boxes) if boxes else None
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": _VERSION,
        "id": _identifier(identifier or _stem(name)),
        "geometry": geometry_of(box) if box else None,
        **({"bbox": list(box)} if box else {}),
        "properties": {**_titles(cubes), **_datetime(cubes, given, name), **_single(cubes)},
        "links": [_store(href, opened)],
        "assets": _assets(href, opened, cubes, given),
    }
    return _with_extensions(item)


def _stem(name: str) -> str:
    base = posixpath.basename(name.rstrip("/").partition("?")[0])
    return next((base[: -len(form)] for form in sorted(_FORMS, key=len, reverse=True) if base.endswith(form)), base)


def _identifier(text: str) -> str:
    """Return an identifier, which is the name of a folder and of a file as well."""
    if text in ("", ".", "..") or "/" in text or not text.isprintable():
        raise Unsupported(f"an item cannot be called {text!r}: give it another identifier")
    return text


def _titles(cubes: Sequence[Cube]) -> dict[str, Any]:
    found = {"title": cubes[0].title, "description": cubes[0].description}
    return {name: value for name, value in found.items() if value}


def _datetime(cubes: Sequence[Cube], given: StacOptions, name: str) -> dict[str, Any]:
    times = [time for cube in cubes if cube.times is not None for time in cube.times]
    if not times and given.datetime is not None:
        times = [given.datetime if given.datetime.tzinfo else given.datetime.replace(tzinfo=dt.UTC)]
    if not times:
        notes = [note for cube in cubes for note in cube.notes]
        raise Unsupported("; ".join(["an item needs a time, and the manifest has none: name one", *notes]), source=name)
    first, last = _written(min(times)), _written(max(times))
    if first == last:
        return {"datetime": first}
    return {"datetime": None, "start_datetime": first, "end_datetime": last}


def _written(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _single(cubes: Sequence[Cube]) -> dict[str, Any]:
    """Return the fields of an item that has one group: of several, their assets have them."""
    return _fields(cubes[0]) if len(cubes) == 1 else {}


def _fields(cube: Cube) -> dict[str, Any]:
    found = {"cube:dimensions": cube.dimensions, "cube:variables": cube.variables} if cube.dimensions else {}
    return found | (cube.projection.fields if cube.projection is not None else {})


def _media_type(manifest: Manifest) -> str:
    return f"application/vnd.zarr; version={manifest.zarr_format}"


def _store(href: str, manifest: Manifest) -> dict[str, Any]:
    return {"rel": "store", "href": href, "type": _media_type(manifest), "title": "References, as a virtual Zarr store"}


def _assets(href: str, manifest: Manifest, cubes: Sequence[Cube], given: StacOptions) -> dict[str, Any]:
    form = next((kind for ending, kind in _FORMS.items() if href.partition("?")[0].rstrip("/").endswith(ending)), None)
    assets: dict[str, Any] = {
        "references": {
            "href": href,
            "roles": ["references", "index", "virtual"],
            "title": "References in the format of kerchunk",
            **({"type": form} if form else {}),
        }
    }
    for cube in cubes:
        group = cube.path.strip("/")
        assets["data" + ("/" + group if group else "")] = {
            "href": href,
            "type": _media_type(manifest),
            "roles": ["data", "virtual"],
            "title": cube.title or cube.path,
            "xarray:open_kwargs": {"engine": "refmaker", **({"group": cube.path} if group else {})},
            **(_fields(cube) if len(cubes) > 1 else {}),
        }
    return assets | _source_assets(manifest, given)


def _source_assets(manifest: Manifest, given: StacOptions) -> dict[str, Any]:
    if len(manifest.targets) > given.sources:
        return {}
    found = {}
    for number, target in enumerate(manifest.targets):
        url = redact(target.url)
        kind = _SOURCES.get(posixpath.splitext(url.partition("?")[0])[1].lower())
        found["source" + (f"-{number}" if number else "")] = {
            "href": url,
            "roles": ["source"],
            **({"type": kind} if kind else {}),
            **({"file:size": target.size} if target.size is not None else {}),
        }
    return found


def _with_extensions(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record that names the extensions whose fields it has."""
    used = set(record) | set(record.get("properties", {})) | {key for one in record["assets"].values() for key in one}
    names = [url for prefix, url in _EXTENSIONS.items() if any(key.startswith(prefix) for key in used)]
    return {**record, "stac_extensions": names}


def stac_collection(
    identifier: str,
    items: Sequence[Mapping[str, Any]],
    *,
    title: str | None = None,
    description: str | None = None,
    license: str = "other",
) -> dict[str, Any]:
    """Return a collection of items. Its links are relative: each item is in a folder of its name.

    Parameters
    ----------
    identifier, title, description, license
        Of the collection. A license is an SPDX identifier, or "other".
    items
        Of `stac_item`.

    Raises
    ------
    ValueError
        There are no items, or two of one name.

    Examples
    --------
    >>> stac_collection("air", [item])["extent"]["spatial"]["bbox"]  # doctest: +SKIP
    [[-180.0, -90.0, 180.0, 90.0]]
    """
    names = [item["id"] for item in items]
    if not names:
        raise ValueError("a collection needs an item")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two items are called {twice!r}: an item needs a name of its own")
    boxes: list[Box] = [tuple(item["bbox"]) for item in items if "bbox" in item]
    whole = [list(union(boxes)) if boxes else [-180.0, -90.0, 180.0, 90.0]]
    links = [{"rel": "root", "href": "./collection.json", "type": "application/json"}]
    links += [{"rel": "item", "href": f"./{name}/{name}.json", "type": "application/geo+json"} for name in names]
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "stac_extensions": [],
        "id": identifier,
        **({"title": title} if title else {}),
        "description": description or f"Virtual Zarr stores: {title or identifier}",
        "license": license,
        "extent": {"spatial": {"bbox": whole}, "temporal": {"interval": [_interval(items)]}},
        "links": links,
    }


def _interval(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first and the last time."""
    times = []
    for item in items:
        known = item["properties"]
        times += [dt.datetime.fromisoformat(known[name]) for name in _TIMES if known.get(name)]
    return [_written(min(times)), _written(max(times))]


_TIMES: Final = ("datetime", "start_datetime", "end_datetime")
