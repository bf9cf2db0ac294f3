"""The codecs of an array, before they are written for a Zarr format.

Contract: records only; `mapping` makes them, `zarr.v2` and `zarr.v3` write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refmaker.model import Filter

__all__ = ["Codecs", "Config"]


Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Codecs:
    """A pipeline as Zarr has it.

    Attributes
    ----------
    configs
        numcodecs configurations in encoding order. Shared: not to be changed.
    trim
        Bytes at the end of every stored chunk that belong to a checksum and are left out of its reference.
    pipeline
        The filters that `configs` stand for, those that do nothing or are trimmed left out.
    need_refmaker
        A reader needs a codec that refmaker registers.
    """

    configs: tuple[Config, ...] = ()
    trim: int = 0
    pipeline: tuple[Filter, ...] = ()
    need_refmaker: bool = False

    @property
    def filters(self) -> list[Config] | None:
        """All codecs but a compressor at the end: `filters` of Zarr 2."""
        return list(self.configs[: len(self.configs) - (self.compressor is not None)]) or None

    @property
    def compressor(self) -> Config | None:
        """The compressor at the end of the pipeline, which Zarr 2 keeps apart."""
        last = self.configs[-1] if self.configs else None
        return last if last is not None and last["id"] not in ("shuffle", "fletcher32") else None
