"""What a filesystem of a manifest refuses: every way of writing, by name.

Contract: `OutputError`, whatever the arguments.
"""

from __future__ import annotations

from typing import Any, NoReturn

from refmaker.errors import OutputError

__all__ = ["ReadOnly"]


class ReadOnly:
    """Goes before fsspec's class."""

    def _refuse_here(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise OutputError("a manifest is replayed read-only; nothing can be written, removed or created")

    async def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse_here()

    _pipe_file = _put_file = _cp_file = _mv_file = _rm_file = _rm = _mkdir = _makedirs = _refuse
    rmdir = _refuse_here

    def save_json(self, url: str, **storage_options: Any) -> NoReturn:
        """Refuse to write, as all of this filesystem; `ReferenceFileSystem` has this method."""
        raise OutputError("the references are not written from here: use refmaker.open_manifest(…).to_json(…)")

    def touch(self, path: str, **kwargs: Any) -> NoReturn:
        """Refuse to write. `fsspec.get_mapper` comes here when its own `check` is set."""
        raise OutputError(
            "a manifest is replayed read-only; options of the filesystem that fsspec.get_mapper has too, such as "
            "`check`, are given to it as refmaker={'check': …}"
        )
