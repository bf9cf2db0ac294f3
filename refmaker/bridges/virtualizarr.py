"""VirtualiZarr: refmaker as a parser of files and manifests, and virtual datasets as manifests.

    from refmaker.bridges.virtualizarr import RefmakerParser
    vds = virtualizarr.open_virtual_dataset(url, registry=registry, parser=RefmakerParser())

Contract: `RefmakerParser` follows `virtualizarr.parsers.typing.Parser` of VirtualiZarr 2.8. What a file holds and
VirtualiZarr cannot is said: by a warning, an error or an attribute. See docs/virtualizarr.md.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from refmaker.bridges.opening import opened
from refmaker.bridges.packages import needed
from refmaker.bridges.registered_files import registered_file
from refmaker.bridges.virtual_groups import virtual_group
from refmaker.bridges.virtual_manifests import manifest_of_store, manifest_of_virtual
from refmaker.errors import Unsupported
from refmaker.kerchunk.sniff import looks_like_manifest
from refmaker.manifest.manifest import Manifest

__all__ = ["REFUSALS", "OnRefusal", "ParserOptions", "RefmakerParser", "from_virtual", "to_manifest_store"]

OnRefusal: TypeAlias = Literal["warn", "error", "attribute"]
REFUSALS = "refmaker_refusals"
"""The attribute of the root group that lists what was refused, where that is asked for."""
_SHOWN = 5
"""Refusals that a warning or an error shows."""


class ParserOptions(TypedDict, total=False):
    """Options of `refmaker.scan` that a parser hands on: see there."""

    storage_options: Mapping[str, Any] | None
    include: Sequence[str]
    exclude: Sequence[str]
    inline_threshold: int
    inline_limit: int
    portable: bool
    follow_external_links: bool
    other_files: bool
    allow: Sequence[str | os.PathLike[str]] | None
    keep_checksums: bool
    verify_checksums: bool
    records_per_chunk: int | None


class RefmakerParser:
    """A parser for VirtualiZarr: any file that refmaker scans, and any manifest of this machine.

    Parameters
    ----------
    group
        The group of the file that becomes the root.
    drop_variables
        Names of variables and groups of that group to leave out.
    on_refusal
        What to do with what VirtualiZarr cannot be given: "warn", raise an "error", or list it in the "attribute"
        `refmaker_refusals` of the root group.
    **options
        Of `refmaker.scan`: `portable`, `inline_threshold` and so on. `storage_options` are for other files that a file
        names, as the sources of a virtual dataset; the file itself is read through the registry.

    Examples
    --------
    >>> from obspec_utils.registry import ObjectStoreRegistry  # doctest: +SKIP
    >>> from obstore.store import LocalStore  # doctest: +SKIP
    >>> registry = ObjectStoreRegistry({"file://": LocalStore()})  # doctest: +SKIP
    >>> RefmakerParser()("file:///data/air.nc", registry)  # doctest: +SKIP
    """

    def __init__(
        self,
        group: str | None = None,
        drop_variables: Iterable[str] | None = None,
        *,
        on_refusal: OnRefusal = "warn",
        **options: Unpack[ParserOptions],
    ) -> None:
        self.group = group
        self.drop_variables = drop_variables
        self.on_refusal = on_refusal
        self.options = options

    def __call__(self, url: str, registry: Any) -> Any:
        """Return a `virtualizarr.manifests.ManifestStore` of a file or manifest.

        Parameters
        ----------
        url
            Of the file.
        registry
            An `obspec_utils.registry.ObjectStoreRegistry`: the file is scanned, and its chunks are read, through the
            store that it has for the url.

        Raises
        ------
        ValueError
            The registry has no store for the url, or `on_refusal` is none of its choices.
        SourceError, FormatError
            The file cannot be read, or is of no format that can be scanned.
        Unsupported
            Something is refused, and `on_refusal` is "error".
        """
        return to_manifest_store(self.manifest(url, registry), registry, on_refusal=self.on_refusal)

    def manifest(self, url: str, registry: Any) -> Manifest:
        """Return the manifest of a file, before VirtualiZarr sees it. Parameters are those of `__call__`."""
        file = registered_file(url, registry)
        if file.local is not None and looks_like_manifest(file.local):
            if self.group or self.drop_variables or self.options:
                raise Unsupported("a manifest is opened as it is: options are for files", source=url)
            return opened(file.local)
        group = "/" + (self.group or "").strip("/")
        dropped = (f"{group.rstrip('/')}/{glob.escape(name)}" for name in self.drop_variables or ())
        exclude = [*self.options.get("exclude", ()), *dropped]
        return file.scan({**self.options, "group": group, "exclude": exclude, "zarr_format": 3})


def to_manifest_store(manifest: Manifest, registry: Any = None, *, on_refusal: OnRefusal = "warn") -> Any:
    """Return a manifest as a `virtualizarr.manifests.ManifestStore`, which `to_virtual_dataset` makes a dataset of.

    Parameters
    ----------
    manifest
        Of either Zarr format; its targets are absolute.
    registry
        An `obspec_utils.registry.ObjectStoreRegistry` that chunks are read through.
    on_refusal
        As for `RefmakerParser`.

    Raises
    ------
    Unsupported
        VirtualiZarr is not installed, or something is refused and `on_refusal` is "error".

    Examples
    --------
    >>> to_manifest_store(refmaker.open_manifest("/data/air.json"), registry)  # doctest: +SKIP
    """
    if on_refusal not in ("warn", "error", "attribute"):
        raise ValueError(f"on_refusal must be 'warn', 'error' or 'attribute', not {on_refusal!r}")
    group, refusals = virtual_group(manifest)
    if refusals and on_refusal == "attribute":
        group.metadata.attributes[REFUSALS] = refusals
    elif refusals:
        text = _listed(refusals)
        if on_refusal == "error":
            raise Unsupported(text)
        warnings.warn(text, UserWarning, stacklevel=3)
    manifests = needed("virtualizarr", "virtualizarr.manifests")
    return manifests.ManifestStore(group=group, registry=registry)


def _listed(refusals: Mapping[str, str]) -> str:
    shown = "; ".join(f"{path}: {reason}" for path, reason in list(refusals.items())[:_SHOWN])
    more = f"; and {len(refusals) - _SHOWN} more" if len(refusals) > _SHOWN else ""
    return f"{len(refusals)} of the file's objects cannot be virtualized: {shown}{more}"


def from_virtual(virtual: Any) -> Manifest:
    """Return a virtual dataset, a virtual tree or a `ManifestStore` as a manifest, to verify, write or serve it.

    Variables that were loaded are kept in the manifest. Sizes, ETags and times of files are not known: VirtualiZarr
    does not record them, so that a manifest cannot tell whether its files have changed.

    Parameters
    ----------
    virtual
        A `virtualizarr.manifests.ManifestStore` or `ManifestGroup`; an `xarray.Dataset` or `xarray.DataTree` of
        virtual variables.

    Returns
    -------
    Manifest
        In Zarr 3.

    Raises
    ------
    TypeError
        It is none of these.
    Unsupported
        VirtualiZarr is not installed.

    Examples
    --------
    >>> manifest = from_virtual(vds)  # doctest: +SKIP
    >>> refmaker.write_manifest(manifest, "air.parq")  # doctest: +SKIP
    """
    manifests = needed("virtualizarr", "virtualizarr.manifests")
    if isinstance(virtual, manifests.ManifestStore):
        return manifest_of_store(virtual._group)  # VirtualiZarr 2.8 has no public name for it
    if isinstance(virtual, manifests.ManifestGroup):
        return manifest_of_store(virtual)
    return manifest_of_virtual(virtual)
