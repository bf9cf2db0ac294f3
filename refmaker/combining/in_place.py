"""A combined manifest that grows where it is: inputs in, a new version of it out.

Contract: reading, adding and writing are one step, under the lock of the manifest: of two at once the second waits, and
adds to what the first has made, or is told. Readers see the old manifest or the new one, whenever a run is killed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

from refmaker.combining.combine import append_with_report, combine_with_report
from refmaker.combining.loading import Input
from refmaker.combining.records import Combination, CombineOptions
from refmaker.errors import concealed
from refmaker.kerchunk.open import write_manifest
from refmaker.locks.output import WAIT, locked
from refmaker.options import takes_options
from refmaker.urls import text_of

__all__ = ["append_in_place"]


@concealed
@takes_options(CombineOptions, combine_with_report)
def append_in_place(
    combined: str | os.PathLike[str],
    new: Input | Sequence[Input],
    *,
    wait: float = WAIT,
    **options: Unpack[CombineOptions],
) -> Combination:
    """Add inputs to a combined manifest where it is, and say how it came about.

    Parameters
    ----------
    combined
        Path or url of the manifest; it is replaced.
    new
        One input, or several.
    wait
        Seconds to wait while another run writes the manifest.
    **options
        Those of `combine_with_report`.

    Returns
    -------
    Combination
        What the manifest is now.

    Raises
    ------
    OutputError
        Another run is writing the manifest, or has replaced it in the meantime; or it cannot be written.
    CombineError
        The inputs do not agree, or how they follow each other is not plain. The manifest is as it was.
    RefmakerError
        An input, or a coordinate in a target, cannot be read.

    Examples
    --------
    >>> import h5py, refmaker
    >>> for day in (1, 2, 3):
    ...     with h5py.File(f"{day}.nc", "w") as file:
    ...         file["time"], file["t"] = [day], [280.0 + day]
    ...         file["time"].make_scale("time")
    ...         file["t"].dims[0].attach_scale(file["time"])
    >>> refmaker.combine(["1.nc", "2.nc"]).to_json("all.json")
    >>> result = refmaker.append_in_place("all.json", "3.nc")
    >>> refmaker.open_manifest("all.json").arrays["t"].metadata.shape
    (3,)
    """
    name = text_of(combined)
    stores = options.get("storage_options")
    with locked(name, wait=wait, storage_options=stores) as held:
        made = append_with_report(name, new, **options)
        held.check()
        write_manifest(made.manifest, name, storage_options=stores)
        return made
