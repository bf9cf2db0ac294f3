"""Values of kerchunk manifests, for whoever knows what their keys mean.

Contract: what these functions give is what the reader of kerchunk JSON (`refmaker.kerchunk.json_writer`) gives for
the same values, or they say that it has to be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.kerchunk.chunk_columns import inline_data
from refmaker.kerchunk.extension import EXTENSION_FORMAT, extension_lines, extension_notes
from refmaker.kerchunk.urls import UrlTable, url_table

__all__ = ["Extension", "extension_of", "inline_data"]


@dataclass(frozen=True, slots=True)
class Extension:
    """What the member `refmaker` says.

    Attributes
    ----------
    urls
        Url of a reference -> index of its target; new ones are added as they are met.
    """

    urls: UrlTable
    refusals: dict[str, str]
    history: list[str]
    notes: list[str]


def extension_of(document: Mapping[str, Any], source: str) -> Extension | None:
    """Read the member `refmaker` of a manifest without templates; None where it is unusual.

    Raises
    ------
    ManifestError
        It is malformed.
    """
    extension = document.get("refmaker", {})
    if extension and (not isinstance(extension, dict) or extension.get("format") != EXTENSION_FORMAT):
        return None
    return Extension(
        url_table({}, extension, source),
        extension_lines(extension, "refusals", dict, source),
        extension_lines(extension, "history", list, source),
        extension_notes(extension, source),
    )
