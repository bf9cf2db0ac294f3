"""The codec "refmaker.crop" of Zarr version 3, found by zarr-python through the entry point group `zarr.codecs`.

Contract: as `refmaker.codecs.crop`, from bytes to an array, in the place of the codec `bytes`; it only decodes. This
module is the face towards zarr and imports it; nothing of refmaker imports this module.

    {"name": "refmaker.crop", "configuration": {"encoded_chunk": [null, 4], "endian": "little"}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
from zarr.abc.codec import ArrayBytesCodec

from refmaker.codecs.crop import cropped
from refmaker.errors import ManifestError, Unsupported
from refmaker.zarr.crop_config import CROP, encoded_chunk

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["CropCodec"]


@dataclass(frozen=True)
class CropCodec(ArrayBytesCodec):
    """Takes the beginning of chunks that are stored larger; cannot encode."""

    name: ClassVar[str] = CROP
    is_fixed_size = False

    encoded_chunk: tuple[int | None, ...]
    endian: str | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CropCodec:
        """Build the codec of its metadata; raise `ManifestError` for what is not valid."""
        if data.get("name") != cls.name:
            raise ManifestError("metadata", structure=f"codec {CROP}", expected=cls.name, got=repr(data)[:80])
        shape = encoded_chunk(data)
        return cls(shape, data["configuration"].get("endian"))

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata."""
        settings = {} if self.endian is None else {"endian": self.endian}
        return {"name": self.name, "configuration": {"encoded_chunk": list(self.encoded_chunk), **settings}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        native: np.dtype[Any] = chunk_spec.dtype.to_native_dtype()
        stored = native.newbyteorder(">" if self.endian == "big" else "<")
        part = cropped(chunk_bytes.as_numpy_array(), stored, self.encoded_chunk, chunk_spec.shape)
        values: Any = np.ascontiguousarray(part, native)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(values)

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> NoReturn:
        raise Unsupported("the codec only decodes: it reads chunks in place", structure=f"codec {CROP}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> NoReturn:
        """Refuse: the stored size varies."""
        raise NotImplementedError
