"""What lets others in, and must not be shown or written: logins and signatures in urls, secrets in options.

Contract: pure text. `redact` is for what people read (errors, logs, reports), `strip_credentials` for what is written
as a url: manifests are handed on, and a signature in one hands on the access. A url without secrets comes out as it is.
In HTTP urls everything before `@` counts as a secret (tokens stand there alone), elsewhere the password. Of the
parameters of HTTP urls (query, fragment, and those behind `;` in a path), everything does but those whose name is in
`SAFE` or in the variable `REFMAKER_KEEP_QUERY`: any name may stand for a token. In the urls of other protocols, where
`?` and `;` are mostly part of a name, those do by which S3, Google, Azure and CloudFront sign, and those named like
keys.

Sources: RFC 3986, 3.2.1, 3.3, 3.4; AWS Signature Version 4 and 2, query strings; Google Cloud Storage, signed urls;
Azure Storage, service SAS; CloudFront, signed urls.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus

__all__ = [
    "KEEP_QUERY",
    "SAFE",
    "has_secrets",
    "keep_query",
    "redact",
    "holds_secrets",
    "strip_credentials",
    "secrets_in",
    "secrets_of",
    "unknown_parameters",
]

KEEP_QUERY = "REFMAKER_KEEP_QUERY"
"""Environment variable: further names of parameters that are no secrets, with commas between."""

_SAFE = """
accept alt api-version bbox band bands collection compression coverage coverageid crs dataset date day depth dl
download end enddate endtime ext file filename files format generation height hour identifier lang lat latitude
layer layers level levels limit lon longitude member model month name north object offset output outputformat
page path prefix product raw ref release request resolution revision row service size south srs start startdate
starttime step stride subset time timestamp type usecache var variable variables ver version versionid west east
width year z
"""
SAFE = frozenset(_SAFE.split())
"""Parameters of HTTP urls that say which file is meant, and in what form: kept in manifests, and shown."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"<>]*")
_LOGIN = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]{0,20})://(?P<login>[^/?#\s'\"<>]*)@")
_PARAMETER = re.compile(r"(?P<lead>[?&;#])(?P<name>[^=?&;#\s'\"<>]+)=(?P<value>[^&;#\s'\"<>]*)")
_OVER_HTTP = re.compile(r"(?i)https?://")
_SECRET = re.compile(
    "secret|token|passw|passphrase|pwd|credential|auth|cookie|sas|account_key|access_?key|private_?key|api.?key|^key$"
    "|signature|connection_string|session_?(id|key)|bearer|ticket|jwt",
    re.IGNORECASE,
)
_CARRIERS = re.compile("^(headers?|cookies?|params|query)$", re.IGNORECASE)
"""Options all of whose values are sent to a server as they are."""
_HARMLESS = re.compile(
    "^(user-agent|accept|accept-.*|range|if-.*|content-(type|length)|connection|host|from|referer|cache-control)$",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|key-pair-id|policy|signature|sig|.*(secret|token|passw|credential"
    r"|api[_-]?key|auth|session).*|key|jwt|pwd",
    re.IGNORECASE,
)
_TIED = "expires se sp st sv sr spr sip ss srt si skoid sktid skt ske sks skv"
_OF_SIGNATURES = frozenset(_TIED.split())
"""Parameters that mean something beside a signature only."""

_PUNCTUATION = ".,:;)]}!"
"""What stands behind a url in a sentence."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text for people: secrets of urls in it, and `secrets`, are left out."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    if "://" not in text:
        return text
    text = _LOGIN.sub(_without_login, text)
    return _URL.sub(_hidden_url, text)


def strip_credentials(url: str) -> str:
    """Return a url as it may be written: without login, and without parameters that may be secrets."""
    if "://" not in url or not any(mark in url for mark in "@=?#;"):
        return url
    return "::".join(_public(bit) for bit in url.split("::"))


def has_secrets(url: str) -> bool:
    """Return whether a url has what must not be written."""
    return strip_credentials(url) != url


def unknown_parameters(url: str) -> set[str]:
    """Return the names of parameters that `strip_credentials` leaves out though they are not named like secrets."""
    over_http = [bit for bit in url.split("::") if _OVER_HTTP.match(bit)]
    return {
        name
        for bit in over_http
        for name, value in _parameters(bit)
        if value is not None and not _is_safe(name) and not _is_signed(name) and name not in _OF_SIGNATURES
    }


def secrets_in(url: str) -> set[str]:
    """Find the logins and signatures in a url: libraries repeat them in errors without the url around them."""
    found: set[str] = set()
    for match in _LOGIN.finditer(url):
        if _without_login(match) != match[0]:
            login = match["login"]
            plain = unquote(login)
            found |= {login, plain, login.partition(":")[2], plain.partition(":")[2]}
            found.add(base64.b64encode(plain.encode("utf-8", "surrogateescape")).decode())  # as HTTP sends it
    for bit in url.split("::"):
        if _OVER_HTTP.match(bit):
            for name, value in _parameters(bit):
                if not _is_safe(name):
                    found |= _spellings(name, name if value is None else value)
        else:
            found |= {match["value"] for match in _PARAMETER.finditer(bit) if _is_signed(match["name"])}
    return {secret for secret in found if len(secret) > 3}


def secrets_of(options: Mapping[str, Any]) -> set[str]:
    """Find the passwords, keys and tokens in options of filesystems."""
    found: set[str] = set()
    for name, value in options.items():
        found |= _texts(value) if _SECRET.search(str(name)) else set()
        if isinstance(value, Mapping):
            if _CARRIERS.search(str(name)):
                value = {key: text for key, text in value.items() if not _HARMLESS.search(str(key))}
                found |= _texts(value)
            found |= secrets_of(value)
        elif isinstance(value, str) and "://" in value:
            found |= secrets_in(value)
    return {secret for secret in found if len(secret) > 3}


def holds_secrets(options: Mapping[str, Any]) -> bool:
    """Return whether options of a filesystem have passwords, keys and tokens, of whatever type."""
    return any(
        (bool(value) and _SECRET.search(str(name)) is not None) or (isinstance(value, Mapping) and holds_secrets(value))
        for name, value in options.items()
    )


def _texts(value: object) -> set[str]:
    """Return the strings in a value that is a secret, and what stands behind `Bearer` and the like in them."""
    if isinstance(value, Mapping):
        return {text for inner in value.values() for text in _texts(inner)}
    if isinstance(value, list | tuple | set | frozenset):
        return {text for inner in value for text in _texts(inner)}
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    if not isinstance(value, str):
        return set()
    scheme, _, rest = value.partition(" ")
    return {value, rest} if scheme.lower() in ("bearer", "basic", "digest", "token") else {value}


def _spellings(name: str, value: str) -> set[str]:
    """Return the value of a parameter as it stands in a url, and as it is meant. Short numbers stand everywhere."""
    if value.isdigit() and len(value) < 8 and not _is_signed(name):
        return set()
    return {value, unquote(value), unquote_plus(value)}


def _without_login(match: re.Match[str]) -> str:
    protocol, login = match["protocol"], match["login"]
    name, _, password = re.sub("%3a", ":", login, count=1, flags=re.IGNORECASE).partition(":")
    if protocol.lower().endswith(("http", "https")):
        return f"{protocol}://"
    return f"{protocol}://{name}@" if password else match[0]


def _plain_name(name: str) -> str:
    return unquote_plus(unquote_plus(name)).strip().lower()


def _is_signed(name: str) -> bool:
    return _SIGNED.fullmatch(_plain_name(name)) is not None


def _is_safe(name: str) -> bool:
    return _is_named(name, os.environ.get(KEEP_QUERY, ""))


def keep_query(names: Iterable[str]) -> None:
    """Take parameters for no secrets, beside those that `KEEP_QUERY` names; processes that are started know it too."""
    kept = dict.fromkeys((*os.environ.get(KEEP_QUERY, "").split(","), *names))
    os.environ[KEEP_QUERY] = ",".join(name for name in kept if name)


@lru_cache(1024)
def _is_named(name: str, kept: str) -> bool:
    """Return whether a name is in `SAFE`, or among those that the user says are no secrets."""
    plain = _plain_name(name)
    return not plain or plain in SAFE or plain in {one.strip().lower() for one in kept.split(",")}


def _split(bit: str) -> tuple[str, list[str]]:
    """Return an HTTP url up to its parameters, and what follows: the mark before each, its text, and so on."""
    place = bit.find("://") + 3
    end = min((at for at in map(bit.find, "?#") if at >= 0), default=len(bit))
    semicolon = bit.find(";", max(bit.rfind("/", place, end), place), end)  # of the last segment of the path
    start = semicolon if semicolon >= 0 and "=" in bit[semicolon:end] else end
    return bit[:start], re.split("([?&;#])", bit[start:])[1:]


def _parameters(bit: str) -> Iterator[tuple[str, str | None]]:
    """Return name and value of the parameters of an HTTP url; the value is None for one that is no pair."""
    for part in _split(bit)[1][1::2]:
        name, mark, value = part.partition("=")
        if part:
            yield name, value if mark else None


def _hidden_url(match: re.Match[str]) -> str:
    """Return a url in a text as it may be shown; what ends the sentence is no part of it."""
    url = match[0].rstrip(_PUNCTUATION)
    return "::".join(map(_hidden_bit, url.split("::"))) + match[0][len(url) :]


def _hidden_bit(bit: str) -> str:
    if not _OVER_HTTP.match(bit):
        return _PARAMETER.sub(_hidden_parameter, bit)
    head, parts = _split(bit)
    return head + "".join(part if i % 2 == 0 else _hidden_pair(part) for i, part in enumerate(parts))


def _hidden_pair(part: str) -> str:
    name, mark, _ = part.partition("=")
    if _is_safe(name):
        return part
    return f"{name}=…" if mark else "…"


def _hidden_parameter(match: re.Match[str]) -> str:
    return f"{match['lead']}{match['name']}=…" if _is_signed(match["name"]) else match[0]


def _public(bit: str) -> str:
    bit = _LOGIN.sub(_without_login, bit)
    return _public_http(bit) if _OVER_HTTP.match(bit) else _public_other(bit)


def _public_http(bit: str) -> str:
    """Return an HTTP url with those parameters that are no secrets."""
    head, parts = _split(bit)
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    keeps = [_is_safe(part.partition("=")[0]) for _, part in pairs]
    if all(keeps):
        return bit
    found, asked, begun = [head], False, False
    for (mark, part), keep in zip(pairs, keeps, strict=True):
        asked = asked or mark == "?"
        if part and keep:
            found.append(("?" if asked and not begun else mark) + part)
            begun = asked
    return "".join(found)


def _public_other(bit: str) -> str:
    head, mark, query = bit.partition("?")
    query, hash_mark, fragment = query.partition("#") if mark else ("", *bit.partition("#")[1:])
    head = head if mark else head.partition("#")[0]
    parts, fragments = re.split("[&;]", query) if query else [], re.split("[&;]", fragment) if fragment else []
    kept, kept_fragments = _unsigned(parts), _unsigned(fragments)
    if (kept, kept_fragments) == (parts, fragments):
        return bit
    found = head + (f"?{'&'.join(kept)}" if kept else "")
    return found + (f"{hash_mark}{'&'.join(kept_fragments)}" if kept_fragments else "")


def _unsigned(parts: list[str]) -> list[str]:
    names = [_plain_name(part.partition("=")[0]) if "=" in part else "" for part in parts]
    if not any(_SIGNED.fullmatch(name) for name in names):
        return parts
    signed = any(name in ("sig", "signature") for name in names)
    return [
        part
        for part, name in zip(parts, names, strict=True)
        if not _SIGNED.fullmatch(name) and not (signed and name in _OF_SIGNATURES)
    ]
