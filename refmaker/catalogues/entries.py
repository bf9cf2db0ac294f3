"""Manifests as entries of other catalogues: intake 2, and NASA's Common Metadata Repository (CMR).

Contract: plain records. What intake reads is a catalogue of version 2, whose readers open with xarray; what CMR takes
is the `RelatedUrls` of a granule (UMM-G 1.6), to be put beside those that it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["cmr_related_urls", "intake_catalogue"]

_READER: Final = "intake.readers.readers:XArrayDatasetReader"
_DATA: Final = "intake.readers.datatypes:Zarr"


def intake_catalogue(
    manifests: Mapping[str, str], *, storage_options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return manifests as a catalogue of intake 2, to be written as YAML or JSON.

    Parameters
    ----------
    manifests
        Name in the catalogue -> path or url of a manifest. They are opened with the engine "refmaker".
    storage_options
        Options of `refmaker.FileSystem` that they are opened with. They are written: no credentials, please.

    Raises
    ------
    ValueError
        A name is not an identifier of Python, which intake needs.

    Examples
    --------
    >>> sorted(intake_catalogue({"air": "/data/air.json"})["entries"])
    ['air']
    """
    data: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    common: dict[str, Any] = {"metadata": {}, "user_parameters": {}}
    for name, url in manifests.items():
        if not name.isidentifier():
            raise ValueError(f"a name in a catalogue of intake is an identifier of Python, not {name!r}")
        token = hashlib.sha256(url.encode()).hexdigest()[:16]
        data[token] = {"datatype": _DATA, "kwargs": {"url": url, "storage_options": None, "root": ""}, **common}
        opening = {"args": [f"{{data({token})}}"], "engine": "refmaker", **(storage_options or {})}
        entries[name] = {"reader": _READER, "output_instance": "xarray:Dataset", "kwargs": opening, **common}
    return {"version": 2, "data": data, "entries": entries, "aliases": {}, **common}


def cmr_related_urls(url: str, *, description: str | None = None) -> list[dict[str, str]]:
    """Return what a granule's `RelatedUrls` say of a manifest.

    Parameters
    ----------
    url
        Where the manifest is: `https://` or `s3://`.
    description
        By default what it is.

    Raises
    ------
    ValueError
        The url is of another kind.

    Examples
    --------
    >>> cmr_related_urls("https://host/air.json")[0]["Type"]
    'EXTENDED METADATA'
    """
    if not url.startswith(("https://", "s3://")):
        raise ValueError(f"CMR has urls that begin with https:// or s3://, not {url!r}")
    text = description or "References to the chunks of this granule, in the format of kerchunk: a virtual Zarr store"
    found = {"URL": url, "Type": "EXTENDED METADATA", "Description": text}
    return [found | ({"MimeType": "application/json", "Format": "JSON"} if url.endswith(".json") else {})]
