"""The numcodecs codec "refmaker_hdf5", found through the entry point group `numcodecs.codecs`.

Contract: `decode` gives exactly the bytes that libhdf5 makes of the stored bytes of a chunk, whatever the filters and
the datatype, or raises a `RefmakerError`; `encode` is refused. The configuration is checked before anything is done
with it (see `refmaker.codecs.config`). Reads as `compressor` or filter of Zarr version 2 metadata, in zarr-python 2 and
3. This module is the face towards numcodecs and imports it; nothing of refmaker imports this module.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray

from refmaker.codecs.config import Plan, plan_from_json, plan_to_json
from refmaker.codecs.decode import decoder_of
from refmaker.errors import FormatError, Unsupported

__all__ = ["Hdf5Codec"]


class Hdf5Codec(Codec):  # type: ignore[misc]
    """Decodes chunks as libhdf5 would.

    Parameters
    ----------
    plan
        Datatype, chunk shape, filters and dtype; `from_config` makes it of a configuration.
    """

    codec_id = "refmaker_hdf5"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode one chunk.

        Parameters
        ----------
        buf
            The bytes as stored: any contiguous buffer.
        out
            A writable buffer of the decoded size.

        Returns
        -------
        uint8[decoded size] or `out`
        """
        data = memoryview(buf).cast("B")
        if out is None:
            return decoder_of(self.plan).decode(data)
        decoder_of(self.plan).decode(data, _bytes_of(out, self.plan.decoded_size))
        return out

    def encode(self, buf: Any) -> NoReturn:
        """Refuse: the codec reads only."""
        raise Unsupported("the codec only decodes: it reads HDF5 files in place", structure="HDF5 codec")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, "id" included."""
        return {"id": self.codec_id, **plan_to_json(self.plan)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Hdf5Codec:
        """Build the codec of a configuration; raise `ManifestError` for one that is not valid."""
        return cls(plan_from_json({key: value for key, value in config.items() if key != "id"}))


def _bytes_of(out: Any, size: int) -> npt.NDArray[np.uint8]:
    """View a caller's buffer as bytes."""
    view = ensure_contiguous_ndarray(out).view(np.uint8)
    if len(view) != size:
        raise FormatError("size of the output buffer", structure="HDF5 codec", expected=size, got=len(view))
    if not view.flags.writeable:
        raise FormatError("the output buffer is read-only", structure="HDF5 codec")
    return view  # type: ignore[no-any-return]
