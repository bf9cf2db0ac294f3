"""The fsspec face of replay: protocol `refmaker`.

Contract: read-only, asynchronous, made for Zarr stores (`zarr.storage.FsspecStore`, `fsspec.get_mapper`) and for
everything else that takes an fsspec filesystem. Absent keys are `FileNotFoundError`; all that cannot be read for
another reason is a `RefmakerError`, and no way of asking leaves it out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from fsspec.asyn import get_loop, iothread, reset_lock, sync
from fsspec.callbacks import DEFAULT_CALLBACK

from refmaker import limits, logs
from refmaker.codecs import zarr3_struct
from refmaker.errors import OutputError, RefmakerError, SourceError, redact_error
from refmaker.file_version import Check
from refmaker.kerchunk.reference_document import Reading
from refmaker.manifest.manifest import Manifest
from refmaker.redaction import secrets_in, secrets_of
from refmaker.replay.deadline import within
from refmaker.replay.decoded_view import DecodedView
from refmaker.replay.key_file import KeyFile, write_out
from refmaker.replay.listing_methods import ListingMethods
from refmaker.replay.loading import LoadedManifest, Pending, load_document, without_unknown_codecs
from refmaker.replay.lookup import ResolvedKey
from refmaker.replay.options import check_options, meant, shown, size_of
from refmaker.replay.raw_view import RawView
from refmaker.replay.read_only import ReadOnly
from refmaker.replay.references import ReferencesView, with_metadata
from refmaker.replay.requests import ReadRequest
from refmaker.replay.targets import Access, Targets
from refmaker.replay.view import View
from refmaker.urls import text_of

__all__ = ["FileSystem"]


class FileSystem(ReadOnly, ListingMethods):
    """Replay a manifest: its keys as files, whose bytes are read from the original files.

    Instances are light and equal ones share the loaded manifest; a pickled one is its options, and loads the manifest
    where it is unpickled. The manifest is loaded at first use.

    Parameters
    ----------
    fo
        Path or url of the manifest, a reference document as a dict, or a `Manifest`.
    target_protocol, target_options
        For opening `fo`, as fsspec takes them.
    missing_shards
        What it means where a Parquet set that does not list its shards (all but those of refmaker) lacks one: "error",
        or "empty": nothing is recorded for its chunks, which show the fill value.
    remote_protocol
        Of targets that the manifest names by a bare path.
    remote_options
        For the filesystem of the targets of `remote_protocol`, by default the first protocol in the manifest that is
        not local. Keys that are url prefixes hold the options for targets below them: `{"s3://a": {"anon": True}}`. To
        servers of HTTP that only a manifest from elsewhere names, secrets go by prefix only.
    fs
        A filesystem for targets of its protocol and for bare paths; or a dict from protocol (None: bare paths) to a
        filesystem or to the options for one. Takes precedence over `remote_options`.
    check
        What must be as the manifest recorded it before a target is read. "strict": size, and ETag or modification
        time; "size"; "off".
    allow
        Prefixes of urls or paths that the manifest may refer to, and redirects lead to; nothing else is read.
    allow_local
        Let a manifest that came over the network refer to files of this machine, and to addresses that are not public,
        and name codecs that are not known.
    timeout
        Seconds within which what is asked for at a time must be there, whatever it waits for.
    attempts
        How often a read is tried that fails for a reason which may go away, such as a lost connection.
    view
        "transparent": chunks as they are in the targets. "decoded": the same arrays uncompressed, on a coarser grid,
        for readers that lack codecs, and for small chunks. "regular": that of arrays only whose chunks differ in length
        along an axis, for readers that do not know such grids: zarr-python before 3.2.
    chunk_target
        Bytes of a chunk of the decoded view that are aimed at, as a number or as "1MiB".
    target
        Url or path that references mean whose url is null.
    template_overrides
        Name -> text, in the place of templates of the manifest.
    strict
        Refuse a manifest that has references which are no chunk of any array. False: they are files like any other.
    """

    protocol = "refmaker"
    _pid: int
    cachable = False  # a manifest that was made anew must be seen by who opens it next

    def __init__(
        self,
        fo: str | os.PathLike[str] | Mapping[str, Any] | Manifest | None = None,
        *,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        missing_shards: Literal["error", "empty"] = "error",
        remote_protocol: str | None = None,
        remote_options: Mapping[str, Any] | None = None,
        fs: Any = None,
        check: Check = "strict",
        allow: Iterable[str | os.PathLike[str]] | None = None,
        allow_local: bool = False,
        timeout: float = limits.READ_TIMEOUT,
        attempts: int = limits.READ_ATTEMPTS,
        view: Literal["transparent", "decoded", "regular"] = "transparent",
        chunk_target: int | str = "1MiB",
        target: str | None = None,
        template_overrides: Mapping[str, str] | None = None,
        strict: bool = True,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        **options: Any,
    ) -> None:
        check_options(options, check=check, timeout=timeout, attempts=attempts, view=view, allow=allow)
        if missing_shards not in ("error", "empty"):
            raise TypeError(f"bad options for the refmaker filesystem: missing_shards={missing_shards!r}")
        super().__init__(asynchronous=asynchronous, loop=loop, **options)
        zarr3_struct.register()
        self.fo = fo
        self.target_protocol = target_protocol
        self.target_options = {} if target_options is None else target_options
        self.missing_shards = missing_shards
        self.access = Access(
            remote_options={} if remote_options is None else remote_options,
            remote_protocol=remote_protocol,
            fs=fs,
            check=check,
            allow=None if allow is None else tuple(map(text_of, allow)),
            allow_local=allow_local,
            timeout=timeout,
            attempts=attempts,
        )
        self.reading = Reading(
            template_overrides=dict(template_overrides or {}),
            target=meant(target, remote_protocol),
            strict=strict,
            missing_shards=missing_shards,
        )
        self.view = view
        self.chunk_target = size_of(chunk_target)
        self._loading: Any = None
        self._view: View | None = None
        self._opened: LoadedManifest | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of synchronous use. A forked process gets its own."""
        self._reset_after_fork()
        loop: asyncio.AbstractEventLoop | None = self._loop
        return loop

    @property
    def _fs_token(self) -> str:
        token: str = super()._fs_token
        # fsspec makes tokens from the text of options, and that of two long columns may be the same.
        return f"{token}{id(self.fo):x}" if isinstance(self.fo, Manifest) else token

    @cached_property
    def _secrets(self) -> frozenset[str]:
        """What must not be shown of the options."""
        fs = self.access.fs if isinstance(self.access.fs, Mapping) else {}
        options = (self.target_options, self.access.remote_options, {str(name): value for name, value in fs.items()})
        found = {secret for one in options for secret in secrets_of(one)}
        return frozenset(found | (secrets_in(os.fspath(self.fo)) if isinstance(self.fo, str | os.PathLike) else set()))

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return the options, from which the filesystem can be made again: secrets too, unless these are not wanted."""
        found: dict[str, Any] = super().to_dict(include_password=include_password)
        return found if include_password else shown(found, self._secrets)

    @property
    def references(self) -> ReferencesView:
        """The references of the manifest, by key: a view as fsspec's `ReferenceFileSystem` has it, to be read only."""
        if self._opened is None:
            sync(self.loop or get_loop(), self._ready)
        if self._opened is None:
            raise SourceError("the manifest was not loaded")
        return ReferencesView(self._opened)

    # Reading

    async def _read(
        self, view: View, keys: Sequence[ResolvedKey], starts: Sequence[int | None], ends: Sequence[int | None]
    ) -> list[bytes | Exception]:
        """Read slices of keys: for each its bytes, or the error."""
        requests: list[ReadRequest] = []
        cuts: list[tuple[int, slice]] = []
        out: list[bytes | Exception] = []
        for key, found, start, end in zip(keys, await view.opened.recorded(keys), starts, ends, strict=True):
            if isinstance(found, Exception):
                out.append(found)
            elif isinstance(found, bytes):
                out.append(found[start:end])
            else:
                requests.append(ReadRequest.of(key.key, found, start, end))
                cuts.append((len(out), slice(start, end) if found.size is None else slice(None)))
                out.append(b"")
        with within(self.access.timeout):
            read = await view.read_all(requests) if requests else []
        for (slot, cut), data in zip(cuts, read, strict=True):
            out[slot] = data if isinstance(data, Exception) else data[cut]
        return out

    async def _read_whole(self, paths: Sequence[str]) -> list[bytes | Exception]:
        """Read whole keys: for each its bytes, or the error."""
        view = self._view or await self._ready()
        keys = [view.opened.lookup.resolve(path) for path in paths]
        with within(self.access.timeout):
            found = await view.read_whole(keys)
            rest = [key for key, data in zip(keys, found, strict=True) if data is None]
            everything = [None] * len(rest)
            read = await self._read(view, rest, everything, everything) if rest else []
        others = iter(read)
        return [next(others) if data is None else data for data in found]

    def _key(self, path: str) -> str:
        """Return a path without its protocol; most have none."""
        plain = type(path) is str and path[-1:] != "/" and not path.startswith("refmaker:")
        return path if plain else str(self._strip_protocol(path))

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        view = self._view or await self._ready()
        lookup = view.opened.lookup
        key = lookup.resolve(self._key(path))
        whole = start is None and end is None
        if whole:
            data = view.read_nowait(key)
            if data is not None:
                return data
        try:
            found = lookup.recorded(key) if lookup.is_loaded(key) else await view.opened.run(lookup.recorded, key)
            if isinstance(found, bytes):
                return found[start:end]
            with within(self.access.timeout):
                data = await view.read(ReadRequest.of(key.key, found, start, end), key if whole else None)
            return data if whole or found.size is not None else data[start:end]
        except RefmakerError as error:
            redact_error(error, self._secrets)
            raise

    def cat(self, path: str | list[str], recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Read whole keys; see `_cat`."""
        return sync(self.loop, self._cat_held, path, recursive=recursive, on_error=on_error, **kwargs)[0]

    async def _cat_held(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Return what `_cat` does in a list: `sync` raises an error that comes by itself, though it was asked for."""
        return [await self._cat(*args, **kwargs)]

    async def _cat(
        self,
        path: str | list[str],
        recursive: bool = False,
        on_error: str = "raise",
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Read whole keys. `on_error="omit"` leaves out keys that are absent, never those that cannot be read."""
        paths = [self._key(p) for p in ([path] if isinstance(path, str) else path)]
        if recursive:
            paths = [key for p in paths for key in await self._find(p)]
        out: dict[str, bytes | Exception] = {}
        for p, data in zip(paths, await self._read_whole(paths), strict=True):
            if isinstance(data, Exception) and on_error != "return":
                if on_error == "omit" and isinstance(data, FileNotFoundError):
                    continue
                raise data
            out[p] = data
        return out[paths[0]] if isinstance(path, str) and not recursive and out else out

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: int | Iterable[int | None] | None,
        ends: int | Iterable[int | None] | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[bytes | Exception]:
        first = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        stop = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        view = self._view or await self._ready()
        keys = [view.opened.lookup.resolve(self._key(path)) for path in paths]
        out = await self._read(view, keys, first, stop)
        for data in out:
            if isinstance(data, Exception) and on_error != "return":
                raise data
        return out

    async def _get_file(self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **kwargs: Any) -> None:
        if ".." in self._strip_protocol(rpath).split("/"):
            raise OutputError("the name would lead out of the folder that it is copied to", path=rpath)
        if await self._isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
            return
        data = await self._cat_file(rpath)
        write_out(data, lpath, callback)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> KeyFile:
        if mode != "rb":
            self._refuse_here()
        return KeyFile(self, path, mode, block_size, **kwargs)

    # The manifest

    async def _ready(self) -> View:
        """Return the manifest; load it first, without holding up the event loop, if that was not done yet."""
        if self._view is None:
            self._reset_after_fork()
            loading = self._loading
            if loading is None:
                loading = self._loading = load_document(
                    self.fo, self.target_protocol, self.target_options, self.reading
                )
            if self._secrets:
                logs.remember(self._secrets)
            try:
                opened: LoadedManifest | Pending = await asyncio.shield(asyncio.wrap_future(loading))
                if isinstance(opened, Pending):
                    opened = await with_metadata(opened, self.access)
            except BaseException as error:
                if loading.done() and self._loading is loading:
                    self._loading = None  # whoever asks next tries again
                if isinstance(error, RefmakerError):
                    redact_error(error, self._secrets)
                raise
            targets = Targets(opened.lookup.manifest.targets, opened.location, self.access)
            if targets.policy.guarded:
                opened = without_unknown_codecs(opened)
            opened = await self._adapted(opened)
            self._opened = opened
            if self.view != "transparent" or opened.lookup.manifest.composites:
                regular = self.view == "regular"
                size = None if self.view == "transparent" else self.chunk_target
                self._view = await asyncio.to_thread(DecodedView, opened, targets, size, regular=regular)
            else:
                self._view = RawView(opened, targets)
        return self._view

    async def _adapted(self, opened: LoadedManifest) -> LoadedManifest:
        """Return the manifest to replay, made from the one that was loaded: for filesystems that show it otherwise."""
        return opened

    def _reset_after_fork(self) -> None:
        if self._pid != os.getpid():
            if iothread[0] is None or not iothread[0].is_alive():
                reset_lock()  # the thread of fsspec's loop was left behind; not all versions notice
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
            self._loading = None
