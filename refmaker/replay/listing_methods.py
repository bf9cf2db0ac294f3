"""Listing as fsspec asks for it: `ls`, `find`, `info` and what fsspec derives from them.

Contract: answers come from the manifest; a target is asked only for a size that the manifest does not record.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fsspec.asyn import AsyncFileSystem

from refmaker.replay.listing import Entry, described
from refmaker.replay.requests import ReadRequest
from refmaker.replay.view import View

__all__ = ["ListingMethods"]


class ListingMethods(AsyncFileSystem):  # type: ignore[misc]
    """The part of the filesystem that lists; `_ready` gives what it lists."""

    async def _ready(self) -> View:
        """Return the view of the manifest, loaded if that was not done yet."""
        raise NotImplementedError

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        opened = (await self._ready()).opened
        if await opened.run(partial(opened.listing.holds, path.strip("/"), folder=False)):
            found = [await self._info(path)]
            return found if detail else [path]
        # Names repeat the path as it was asked for: zarr's FsspecStore asks with a leading slash, and cuts it off.
        lead = f"{path}/" if path else ""
        held = await opened.run(opened.listing.contents, path.strip("/"))
        if not detail:
            return [lead + name for name in (*held.files, *held.folders)]
        files = [
            {"name": lead + name, "size": size, "type": "file"}
            for name, size in zip(held.files, held.sizes, strict=True)
        ]
        return files + [{"name": lead + name, "size": 0, "type": "directory"} for name in held.folders]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> list[str] | dict[str, dict[str, Any]]:
        """List all files below a path: from the columns, unless folders are wanted too."""
        if maxdepth is not None or withdirs:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, **kwargs)  # type: ignore[no-any-return]
        path = self._strip_protocol(path)
        lead = path[: len(path) - len(path.lstrip("/"))]
        opened = (await self._ready()).opened
        try:
            if kwargs.get("detail"):
                found = await opened.run(opened.listing.find, path.strip("/"))
                files = {lead + name: size for name, size in found.items()}
                return {name: {"name": name, "size": size, "type": "file"} for name, size in files.items()}
            names = await opened.run(opened.listing.names, path.strip("/"))
        except FileNotFoundError:
            return {} if kwargs.get("detail") else []  # as fsspec has it
        return [lead + name for name in names] if lead else names

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        view = await self._ready()
        entry = await view.opened.run(view.opened.listing.entry, path.strip("/"))
        if entry.size is None and not entry.folder:
            found = view.opened.lookup.find(path)
            if not isinstance(found, bytes):
                entry = Entry(entry.name, await view.size(ReadRequest.of(path, found)))
        return described(path, entry)

    async def _isfile(self, path: str) -> bool:
        opened = (await self._ready()).opened
        return await opened.run(partial(opened.listing.holds, self._strip_protocol(path).strip("/"), folder=False))

    async def _isdir(self, path: str) -> bool:
        opened = (await self._ready()).opened
        return await opened.run(partial(opened.listing.holds, self._strip_protocol(path).strip("/"), folder=True))

    async def _exists(self, path: str, **kwargs: Any) -> bool:
        return await self._isfile(path) or await self._isdir(path)
