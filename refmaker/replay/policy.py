"""Where a manifest may lead its reader.

Contract: a manifest on the local disk, or made in memory, may lead wherever its owner can read. One that came from
elsewhere leads to object stores and to public hosts only: not to files of this machine, nor to addresses that are
loopback, link-local, private or otherwise not global, except the server that it came from. `allow` narrows either to
prefixes, and names what a manifest from elsewhere could not lead to by itself. Redirects are held to the same rules,
and host names to what they resolve to when the connection is made.

Sources: RFC 6890 and the IANA registries of special-purpose addresses, as in `ipaddress`; RFC 6052 (64:ff9b::/96).
"""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from refmaker.errors import SourceError
from refmaker.urls import is_local, local_path, protocol_of

__all__ = ["Policy"]

_HERE = (None, "file", "local", "git", "memory")
"""Protocols of manifests that are nobody else's."""

_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "ocilake", "oss", "hf", "webdav"})
"""Protocols whose servers are given by options, never by the url."""

_CONTAINERS = frozenset({"zip", "tar", "simplecache", "filecache", "blockcache"})
"""First parts of chained urls, which read from the next part."""

_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16")))
"""Networks that not every version of Python knows not to be global."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443, "ftp": 21, "sftp": 22, "ssh": 22, "smb": 445, "webhdfs": 50070}
_ALIASES = {"ssh": "sftp"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the opener of a manifest lets it refer to.

    Parameters
    ----------
    base
        Location of the manifest; None for one made in memory.
    allow
        Prefixes of urls or paths; None for no limit but those of the contract.
    allow_local
        A manifest from elsewhere may lead to this machine and its network.
    """

    base: str | None = None
    allow: tuple[str, ...] | None = None
    allow_local: bool = False

    @property
    def guarded(self) -> bool:
        """Whether the manifest came from elsewhere, and is not trusted."""
        return not self.allow_local and self.base is not None and protocol_of(self.base) not in _HERE

    @property
    def limits(self) -> bool:
        """Whether there is anything that the manifest may not lead to."""
        return self.guarded or self.allow is not None

    def check(self, url: str, *, given: bool = False) -> None:
        """Make sure that a url may be read.

        Parameters
        ----------
        url
            Absolute location of a target, or of what it redirects to.
        given
            The opener brought the filesystem that it is read with.

        Raises
        ------
        SourceError
            It may not.
        """
        if self.allow is not None:
            if not all(self._named(bit) for bit in _places(url)):
                raise SourceError("the opener allows other places only: allow=[…] does not name this one", source=url)
            return
        if self.guarded and not given:
            for bit in _places(url):
                self._guard(bit, url)

    def admits(self, address: str) -> bool:
        """Return whether a connection may be made to an address that a host name stands for."""
        return not self.guarded or _is_global(address)

    def exempt(self, host: str, port: int | None) -> bool:
        """Return whether a server is the one that the manifest came from, or is named by the opener."""
        places = [*(self.allow or ()), *([self.base] if self.base else [])]
        bits = (bit for place in places for bit in place.split("::") if bit.startswith(("http:", "https:")))
        return any(one is not None and (one.hostname, _port(one)) == (host.lower(), port) for one in map(_split, bits))

    def is_strange(self, url: str) -> bool:
        """Return whether a url leads to a server of HTTP that only a manifest from elsewhere names."""
        bits = [_split(bit) for bit in _places(url) if protocol_of(bit) in ("http", "https")]
        return self.guarded and any(bit is None or not self.exempt(bit.hostname or "", _port(bit)) for bit in bits)

    def _guard(self, bit: str, url: str) -> None:
        protocol = protocol_of(bit)
        if protocol in _STORES:
            return
        if protocol in ("http", "https"):
            split = _split(bit)
            host = "" if split is None else _plain(split.hostname or "")
            if host and (self.exempt(host, _port(split)) or not _is_address(host) or _is_global(host)):
                return
            what = f"the address {host}, which is not public" if host else "a server without a name"
        elif protocol not in _HERE and any(_same_server(bit, one) for one in _places(self.base or "")):
            return
        else:
            what = "a file of this machine" if is_local(bit) or protocol in _HERE else f"the protocol {protocol}"
        raise SourceError(
            f"the manifest {self.base} refers to {what}, and a manifest from elsewhere may not; name it in allow=[…], "
            "or give allow_local=True if you trust the manifest",
            source=url,
        )

    def _named(self, bit: str) -> bool:
        return any(_below(bit, prefix) for prefix in self.allow or ())


def _places(url: str) -> list[str]:
    """Return the parts of a (chained) url that say where something is."""
    bits = url.split("::")
    found = []
    for i, bit in enumerate(bits):
        protocol = protocol_of(bit) if "://" in bit else (bit if re.fullmatch("[a-z0-9_+]+", bit) else None)
        if i == len(bits) - 1 or protocol not in _CONTAINERS:
            found.append(bit if "://" in bit or protocol is None or len(bits) == 1 else f"{bit}://")
    return found


def _below(url: str, prefix: str) -> bool:
    """Return whether a url is a prefix or lies below it."""
    if is_local(url) or is_local(prefix):
        if not (is_local(url) and is_local(prefix)):
            return False
        path, above = (os.path.realpath(local_path(one)) for one in (url, prefix))
        return path == above or path.startswith(above.rstrip(os.sep) + os.sep)
    if protocol_of(url) not in ("http", "https"):
        return url == prefix.rstrip("/") or url.startswith(prefix.rstrip("/") + "/")
    one, other = _split(url), _split(prefix)
    if one is None or other is None or not other.hostname:
        return False
    if (one.scheme, one.hostname, _port(one)) != (other.scheme, other.hostname, _port(other)):
        return False
    path, above = unquote(one.path), unquote(other.path).rstrip("/")
    if "\\" in path or any(part in (".", "..") for part in unquote(path).split("/")):
        return False
    return path == above or path.startswith(above + "/")


def _split(url: str) -> SplitResult | None:
    """Take a url apart, None where that cannot be done."""
    try:
        split = urlsplit(url)
        return split if split.port != 0 else None
    except ValueError:
        return None


def _same_server(url: str, other: str) -> bool:
    """Return whether a url leads to the server of another one, by the same protocol, as the same user or as none."""
    one, two = _split(url), _split(other)
    if one is None or two is None or is_local(url) or not one.hostname:
        return False
    if any(mine not in (None, theirs) for mine, theirs in ((one.username, two.username), (one.password, two.password))):
        return False
    servers = [(_ALIASES.get(bit.scheme, bit.scheme), bit.hostname, _port(bit)) for bit in (one, two)]
    return servers[0] == servers[1]


def _plain(host: str) -> str:
    """Return a host as clients understand it: ①②⑦.⓪.⓪.① is an address to them (UTS 46, which maps by NFKC)."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".") if not host.isascii() else host


def _port(split: SplitResult | None) -> int | None:
    return None if split is None else split.port or _PORTS.get(split.scheme)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_global(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    special = any(address in network for network in _SPECIAL if network.version == address.version)
    return address.is_global and not address.is_multicast and not special
