"""Readers find codecs of imagecodecs by entry points, which a source tree that is not installed does not have."""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):
    from imagecodecs.numcodecs import register_codecs

    register_codecs(verbose=False)
