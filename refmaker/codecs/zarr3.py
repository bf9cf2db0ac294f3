"""The codec "refmaker.hdf5" of Zarr version 3, found by zarr-python through the entry point group `zarr.codecs`.

Contract: as `refmaker.codecs.hdf5`, from bytes to bytes; the `bytes` codec before it in the list has the byte order of
the dtype. This module is the face towards zarr and imports it; nothing of refmaker imports this module.

    {"name": "refmaker.hdf5", "configuration": {"datatype": …, "chunk_shape": …, "filters": …, "dtype": …}}
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from zarr.abc.codec import BytesBytesCodec

from refmaker.codecs.config import Plan, plan_from_json, plan_to_json
from refmaker.codecs.decode import decoder_of
from refmaker.errors import ManifestError, Unsupported

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

__all__ = ["Hdf5BytesCodec"]


@dataclass(frozen=True)
class Hdf5BytesCodec(BytesBytesCodec):
    """Decodes chunks as libhdf5 would; cannot encode."""

    name: ClassVar[str] = "refmaker.hdf5"
    is_fixed_size = False

    plan: Plan

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hdf5BytesCodec:
        """Build the codec of its metadata; raise `ManifestError` for what is not valid."""
        configuration = data.get("configuration")
        if data.get("name") != cls.name or not isinstance(configuration, dict):
            raise ManifestError("metadata", structure="HDF5 codec", expected=cls.name, got=repr(data)[:80])
        return cls(plan_from_json(configuration))

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata."""
        return {"name": self.name, "configuration": plan_to_json(self.plan)}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        data = chunk_bytes.as_numpy_array().view("u1").data
        decoded = await asyncio.to_thread(decoder_of(self.plan).decode, data)
        return chunk_spec.prototype.buffer.from_array_like(decoded)

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NoReturn:
        raise Unsupported("the codec only decodes: it reads HDF5 files in place", structure="HDF5 codec")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> NoReturn:
        """Refuse: the stored size varies."""
        raise NotImplementedError
