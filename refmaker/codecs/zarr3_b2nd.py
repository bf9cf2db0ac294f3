"""The codec "refmaker.b2nd" of Zarr version 3, found by zarr-python through the entry point group `zarr.codecs`.

Contract: as `refmaker.codecs.b2nd`, from bytes to bytes. This module is the face towards zarr and imports it; nothing
of refmaker imports this module.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
from zarr.abc.codec import BytesBytesCodec

from refmaker.codecs.b2nd import B2ndCodec
from refmaker.errors import ManifestError, Unsupported

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

__all__ = ["B2ndBytesCodec"]

_SETTINGS = ("chunk_shape", "block_shape", "itemsize")


@dataclass(frozen=True)
class B2ndBytesCodec(BytesBytesCodec):
    """Decodes chunks of b2nd; cannot encode."""

    name: ClassVar[str] = "refmaker.b2nd"
    is_fixed_size = False

    inner: B2ndCodec

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> B2ndBytesCodec:
        """Build the codec of its metadata; raise `ManifestError` for what is not valid."""
        configuration = data.get("configuration")
        if not isinstance(configuration, dict) or set(configuration) != set(_SETTINGS):
            raise ManifestError("metadata", structure="b2nd chunk", expected=cls.name, got=repr(data)[:80])
        return cls(B2ndCodec(**configuration))

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata."""
        return {"name": self.name, "configuration": {name: getattr(self.inner, name) for name in _SETTINGS}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        data = chunk_bytes.as_numpy_array().view("u1").data
        decoded = await asyncio.to_thread(self.inner.decode, data)
        return chunk_spec.prototype.buffer.from_array_like(np.frombuffer(decoded, "u1"))

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NoReturn:
        raise Unsupported("the codec only decodes: it reads b2nd files in place", structure="b2nd chunk")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> NoReturn:
        """Refuse: the stored size varies."""
        raise NotImplementedError
