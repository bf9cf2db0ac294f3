"""The classes of kerchunk that most programs call, over refmaker: for who moves from one to the other.

    from refmaker.bridges.kerchunk import SingleHdf5ToZarr, MultiZarrToZarr

Contract: `SingleHdf5ToZarr`, `NetCDF3ToZarr` and `MultiZarrToZarr` take the arguments of kerchunk 0.2.10 that mean
something here, and `translate` gives a reference document as kerchunk's do. Every other argument is a `TypeError` that
says what there is in its place. What a file holds and the document does not is a warning. See docs/from-kerchunk.md.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from refmaker.manifest.manifest import Manifest
from refmaker.sources.objects import Scannable

__all__ = ["MultiZarrToZarr", "NetCDF3ToZarr", "SingleHdf5ToZarr"]

_SCANS: Final = {
    "spec": "documents are of version 1",
    "vlen_encode": "text is kept in the manifest, always",
    "error": "what cannot be mapped is refused by name: see `Manifest.refusals`",
    "out": "write manifests by `refmaker.write_manifest`",
    "max_chunk_size": "use `records_per_chunk` of `refmaker.scan`",
    "unsupported_inline_threshold": "use `inline_limit` of `refmaker.scan`",
}
_COMBINES: Final = {
    "indicts": "documents and paths are `path`",
    "coo_map": "a dimension may be new: concat_dims=['NAME=PATTERN'], see `refmaker.combine`",
    "coo_dtypes": "coordinates keep the data type of the files",
    "identical_dims": "what does not have the dimension is compared, always",
    "target_protocol": "give urls with their protocol",
    "remote_protocol": "give urls with their protocol",
    "target_options": "use `remote_options`, which are for manifests and files",
    "inline_threshold": "inline while scanning: `inline_threshold` of `refmaker.scan`",
    "preprocess": "change `Manifest`s before they are combined",
    "postprocess": "change the `Manifest` that `refmaker.combine` returns",
    "cf_units": "times are converted exactly, always",
    "out": "write manifests by `refmaker.write_manifest`",
}


class SingleHdf5ToZarr:
    """References of an HDF5 or netCDF-4 file.

    Parameters
    ----------
    h5f
        Path or url, or a file that is open to be read as bytes.
    url
        What the references refer to, where `h5f` does not say.
    inline_threshold
        Chunks of at most so many stored bytes are kept in the document.
    storage_options
        Of the fsspec filesystem of `h5f`.
    others
        Arguments of kerchunk's class that mean nothing here: a `TypeError` each.

    Examples
    --------
    >>> import h5py
    >>> from refmaker.bridges.kerchunk import SingleHdf5ToZarr
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> sorted(SingleHdf5ToZarr("air.h5").translate()["refs"])
    ['.zgroup', 't/.zarray', 't/.zattrs', 't/0']
    """

    def __init__(
        self,
        h5f: Scannable,
        url: str | None = None,
        *,
        inline_threshold: int = 500,
        storage_options: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        _none_of(type(self).__name__, others, _SCANS)
        self.file = h5f
        self.url = url
        self.inline_threshold = inline_threshold
        self.storage_options = storage_options

    def manifest(self) -> Manifest:
        """Return the manifest, which says more than its document."""
        from refmaker.scanning.scan import scan

        url = None if isinstance(self.file, str | os.PathLike) else self.url
        return scan(self.file, url=url, inline_threshold=self.inline_threshold, storage_options=self.storage_options)

    def translate(self) -> dict[str, Any]:
        """Return the reference document; a `UserWarning` names what it does not hold."""
        return _document(self.manifest())


class NetCDF3ToZarr(SingleHdf5ToZarr):
    """References of a netCDF classic file.

    Parameters
    ----------
    filename
        Path or url.
    inline_threshold, storage_options, others
        As for `SingleHdf5ToZarr`.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        inline_threshold: int = 100,
        storage_options: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(filename, inline_threshold=inline_threshold, storage_options=storage_options, **others)


class MultiZarrToZarr:
    """References of several documents, put one after the other.

    Parameters
    ----------
    path
        Documents, or paths or urls of manifests.
    concat_dims
        Dimensions along which they follow one another; by default those whose coordinates differ.
    remote_options
        Of the filesystem of manifests and files.
    others
        Arguments of kerchunk's class that mean nothing here: a `TypeError` each.
    """

    def __init__(
        self,
        path: Sequence[str | os.PathLike[str] | Mapping[str, Any] | Manifest],
        concat_dims: str | Sequence[str] | None = None,
        *,
        remote_options: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        _none_of(type(self).__name__, others, _COMBINES)
        self.path = path
        self.concat_dims = concat_dims
        self.remote_options = remote_options

    def manifest(self) -> Manifest:
        """Return the combined manifest."""
        from refmaker.combining.combine import combine

        inputs = [Manifest.from_dict(dict(one)) if isinstance(one, Mapping) else one for one in self.path]
        return combine(inputs, concat=self.concat_dims, storage_options=self.remote_options)

    def translate(self) -> dict[str, Any]:
        """Return the reference document; a `UserWarning` names what it does not hold."""
        return _document(self.manifest())


def _document(manifest: Manifest) -> dict[str, Any]:
    if manifest.refusals:
        listed = "; ".join(f"{path}: {reason}" for path, reason in list(manifest.refusals.items())[:5])
        warnings.warn(
            f"{len(manifest.refusals)} objects are not in the references: {listed}", UserWarning, stacklevel=3
        )
    found: dict[str, Any] = manifest.to_dict()
    return found


def _none_of(name: str, others: Mapping[str, Any], known: Mapping[str, str]) -> None:
    for argument in others:
        _refuse(name, argument, known)


def _refuse(name: str, argument: str, known: Mapping[str, str]) -> NoReturn:
    instead = known.get(argument, "it is no argument of kerchunk's either")
    raise TypeError(f"{name} takes no {argument!r}: {instead}")
