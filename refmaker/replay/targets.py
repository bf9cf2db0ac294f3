"""Reading the files that a manifest refers to, exactly.

Contract: an answer has the length asked for and comes from the file that was scanned; else there is an error that is a
`RefmakerError` and no `OSError`: `SourceError` (naming key, target, offset, size and cause) or `TargetChanged`. Every
read ends within a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from refmaker import limits, logs
from refmaker.errors import RefmakerError, SourceError, cause_of, is_quotable, redact_error
from refmaker.file_version import Check, FileVersion, Target
from refmaker.redaction import holds_secrets, secrets_in
from refmaker.replay.cached_store import CachedStore
from refmaker.replay.coalesce import MIN_GAP
from refmaker.replay.connections import pool, weakly
from refmaker.replay.disk_cache import disk_cache
from refmaker.replay.engine import PARALLEL, Engine
from refmaker.replay.local import LocalStore
from refmaker.replay.policy import Policy
from refmaker.replay.read_errors import VersionMismatch, redact, secrets_of, target_changed
from refmaker.replay.requests import ReadRequest
from refmaker.replay.stores import RangedStore, Store, store_of
from refmaker.retry import Gate
from refmaker.stores.fsspec import call
from refmaker.stores.gates import gate_of
from refmaker.urls import is_local, local_path, protocol_of, resolve

__all__ = ["Access", "ReadRequest", "Targets"]


@dataclass(frozen=True, slots=True)
class Access:
    """How targets may be reached, as the opener says: see `refmaker.replay.filesystem.FileSystem`."""

    remote_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    remote_protocol: str | None = None
    fs: Any = field(default=None, repr=False)
    check: Check = "strict"
    allow: tuple[str, ...] | None = None
    allow_local: bool = False
    timeout: float = limits.READ_TIMEOUT
    attempts: int = limits.READ_ATTEMPTS
    cache: str | None = None
    cache_limit: int = 0


class Targets:
    """The targets of one manifest.

    Parameters
    ----------
    records
        `Manifest.targets`.
    base
        Location of the manifest, None for one made in memory.
    """

    def __init__(self, records: Sequence[Target], base: str | None, access: Access) -> None:
        self.records = records
        self.base = base
        self.access = access
        self.policy = Policy(base, access.allow, access.allow_local)
        self._engine: tuple[asyncio.AbstractEventLoop | None, Engine | None] = (None, None)
        self._engines: dict[asyncio.AbstractEventLoop, Engine] = {}

    async def engine(self) -> Engine:
        """Return what reads the targets in the running event loop."""
        loop = asyncio.get_running_loop()
        known, engine = self._engine
        if known is not loop or engine is None:
            engine = self._engines.get(loop)
            if engine is None:
                for other in [other for other in list(self._engines) if other.is_closed()]:
                    self._engines.pop(other, None)
                access = self.access
                # Without a reference back, so that descriptors and memory go with the last who holds the targets.
                connect, explain = weakly(self._store), weakly(self._explained)
                engine = Engine(
                    connect,
                    explain,
                    timeout=access.timeout,
                    attempts=access.attempts,
                    gate=weakly(self._gate),
                    gap=MIN_GAP if access.cache is None else 0,
                )
                self._engines[loop] = engine
            self._engine = loop, engine
        return engine

    def engine_here(self) -> Engine | None:
        """Return what reads the targets in the running event loop if that was the last that asked."""
        loop, engine = self._engine
        return engine if loop is asyncio.get_running_loop() else None

    async def read(self, request: ReadRequest) -> bytes:
        """Read what is wanted, all of it and nothing else.

        Raises
        ------
        SourceError
            The target cannot be read, or not at that place, or may not be.
        TargetChanged
            It is not the file that was scanned.
        """
        return await (await self.engine()).read(request)

    async def size(self, code: int, key: str) -> int | None:
        """Look up the size of a target, None where its store does not tell.

        Raises
        ------
        SourceError
            The target cannot be reached.
        """
        url = self._locate(self.records[code].url)
        try:
            filesystem, path = await self._connect(url)
            if filesystem is None:
                return (await asyncio.to_thread(os.stat, path)).st_size
            return (await self._seen(filesystem, path)).size
        except Exception as error:  # noqa: BLE001 - every filesystem raises errors of its own, OSError among them
            failure = self._caused("cannot be reached", error, source=redact(url), secrets=secrets_in(url), path=key)
            raise failure from failure.__cause__

    def location(self, code: int) -> tuple[str, Mapping[str, Any]]:
        """Return the absolute location of a target, and the options for the filesystem that it is in.

        Raises
        ------
        SourceError
            The manifest may not refer there.
        """
        url = self._locate(self.records[code].url)
        self.policy.check(url)
        return url, self._options(url)

    async def _store(self, code: int) -> Store:
        """Return the store of a target; raises if the target may not be read, or its filesystem cannot be made."""
        record = self.records[code]
        filesystem, path = await self._connect(self._locate(record.url))
        if filesystem is None:
            store = LocalStore(path, record, self.access.check)
            await store.open()
            return store
        found = store_of(filesystem, path, record, self.access.check, await pool())
        return self._cached(found, record)

    def _cached(self, store: RangedStore, record: Target) -> Store:
        """Return a store whose ranges are kept, where the opener wants that and the version of the target is known."""
        access = self.access
        if access.cache is None or access.check != "strict":
            return store
        ranges = disk_cache(access.cache, access.cache_limit).ranges(record, self._locate(record.url))
        return store if ranges is None else CachedStore(store, ranges)

    def _gate(self, code: int) -> Gate:
        """Return what the requests of all manifests for the server or bucket of a target go through."""
        return gate_of(self.records[code].url, PARALLEL)

    def _explained(self, request: ReadRequest, error: Exception) -> Exception:
        """Make the error that a reader sees of one that a store raised."""
        if isinstance(error, RefmakerError) and not isinstance(error, SourceError):
            return error
        url = self.records[request.target].url
        with contextlib.suppress(RefmakerError, OSError):  # a working directory that is gone
            url = self._locate(url)
        secrets = self._secrets | secrets_in(url)
        url = redact(url)
        if isinstance(error, VersionMismatch):
            return target_changed(url, request.key, error.differences)
        where: dict[str, Any] = {"source": url, "path": request.key, "address": request.offset}
        what = "the whole file" if request.size is None else f"{request.size} bytes"
        if isinstance(error, SourceError):
            message = f"{what} cannot be read: {redact(error.message, secrets)}"
            return SourceError(message, expected=error.expected, got=error.got, **where)
        return self._caused(f"{what} cannot be read", error, secrets=secrets, **where)

    def _caused(self, message: str, error: Exception, *, secrets: set[str], **where: Any) -> SourceError:
        """Make an error that says its cause, and leaves the cause itself out where that would give secrets away."""
        cause = self._cause(error)
        secrets = self._secrets | secrets
        shown = redact(cause, secrets)
        found = SourceError(f"{message}: {shown}", **where)
        found.__cause__ = error if shown == cause and is_quotable(error) else None
        found.__suppress_context__ = True
        redact_error(found, secrets)
        return found

    @cached_property
    def _secrets(self) -> set[str]:
        given = self.access.fs if isinstance(self.access.fs, Mapping) else {}
        return secrets_of(self.access.remote_options) | secrets_of({str(name): value for name, value in given.items()})

    def _locate(self, url: str) -> str:
        """Return the absolute location of a target, or the path for the filesystem that the opener brought."""
        if protocol_of(url) is None:
            given, remote = self._given(None), self.access.remote_protocol
            if given is not None and not isinstance(given, Mapping) and "file" not in _names(given):
                return url
            if remote is not None and not is_local(f"{remote}://") and not self._beside(remote):
                return f"{remote}://{url}"
        return resolve(url, self.base)

    async def _connect(self, url: str) -> tuple[Any, str]:
        """Return filesystem and path of a target. The filesystem of plain local files is None."""
        given = self._given(protocol_of(url))
        if "://" in url:
            logs.remember(self._secrets | secrets_in(url))
        if given is not None and not isinstance(given, Mapping):
            self.policy.check(url, given=True)
            return given, given._strip_protocol(url)
        self.policy.check(url)
        if is_local(url) and given is None:
            return None, local_path(url)
        return (await pool()).connect(url, self._options(url) if given is None else given, self.policy)

    def _beside(self, protocol: str) -> bool:
        """Return whether the manifest lies where targets without a protocol of their own would."""
        return self.base is not None and protocol_of(self.base) == protocol

    def _given(self, protocol: str | None) -> Any:
        """Return the filesystem, or the options of one, that the opener brought for a protocol."""
        if isinstance(self.access.fs, Mapping):
            return self.access.fs.get(protocol)
        if self.access.fs is None or not (protocol is None or protocol in _names(self.access.fs)):
            return None
        return self.access.fs

    def _options(self, url: str) -> Mapping[str, Any]:
        """Choose options for a url: those of the longest prefix that fits, else the plain ones if they are meant."""
        prefixes = [name for name in self.access.remote_options if "://" in name]
        fitting = [p for p in prefixes if url == p or url.startswith(p if p.endswith("/") else f"{p}/")]
        if fitting:
            return cast(Mapping[str, Any], self.access.remote_options[max(fitting, key=len)])
        plain = {name: value for name, value in self.access.remote_options.items() if "://" not in name}
        if not plain or not _same_kind(protocol_of(url), self._plain_protocol):
            return {}
        if holds_secrets(plain) and self.policy.is_strange(url):
            raise SourceError(
                "the manifest came from elsewhere, and would have the secrets in remote_options sent to this server; "
                "give them for a prefix, remote_options={'https://server': {…}}, if that is meant",
                source=url,
            )
        return plain

    @cached_property
    def _plain_protocol(self) -> str | None:
        """The protocol that options without a prefix are for: as named, else the first one in the manifest."""
        if self.access.remote_protocol is not None:
            return self.access.remote_protocol
        urls = (resolve(record.url, self.base) for record in self.records)
        return next((protocol_of(url) for url in urls if not is_local(url)), None)

    async def _seen(self, filesystem: Any, path: str) -> FileVersion:
        async with asyncio.timeout(self.access.timeout):
            info = await call(filesystem, "info", path)
        return FileVersion.of(info)

    def _cause(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) and not str(error):
            return f"no answer within {self.access.timeout:g} seconds"
        return cause_of(error)


def _names(filesystem: Any) -> tuple[str, ...]:
    """Return the protocols of a filesystem."""
    return (filesystem.protocol,) if isinstance(filesystem.protocol, str) else tuple(filesystem.protocol)


def _same_kind(protocol: str | None, other: str | None) -> bool:
    """Return whether two protocols name one kind of filesystem, as http and https do."""
    from fsspec.registry import known_implementations

    if protocol is None or other is None:
        return False
    kinds = [known_implementations.get(name, {}).get("class", name) for name in (protocol, other)]
    return bool(kinds[0] == kinds[1])
