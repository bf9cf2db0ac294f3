"""What lets others in, and must not be shown or written: logins and signatures in urls, secrets in options.

Contract: pure text. `redact` is for what people read (errors, logs, reports), `strip_credentials` for what is written
as a url: manifests are handed on, and a signature in one hands on the access. A url without secrets comes out as it is.
In HTTP urls everything before `@` counts as a secret (tokens stand there alone), elsewhere the password; of queries,
the parameters by which S3, Google, Azure and CloudFront sign, and those named like keys and tokens.

Sources: RFC 3986, 3.2.1; AWS Signature Version 4 and 2, query strings; Google Cloud Storage, signed urls; Azure
Storage, service SAS; CloudFront, signed urls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["has_secrets", "redact", "holds_secrets", "strip_credentials", "secrets_in", "secrets_of"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"<>]*")
_LOGIN = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]{0,20})://(?P<login>[^/?#\s'\"<>]*)@")
_PARAMETER = re.compile(r"(?P<lead>[?&;#])(?P<name>[^=?&;#\s'\"<>]+)=(?P<value>[^&;#\s'\"<>]*)")
_SECRET = re.compile(
    "secret|token|passw|credential|auth|cookie|sas|account_key|api.?key|^key$|signature", re.IGNORECASE
)
_SIGNED = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|key-pair-id|policy|signature|sig|.*(secret|token|passw|credential"
    r"|api_?key|auth|session).*|key|jwt|pwd",
    re.IGNORECASE,
)
_TIED = "expires se sp st sv sr spr sip ss srt si skoid sktid skt ske sks skv"
_OF_SIGNATURES = frozenset(_TIED.split())
"""Parameters that mean something beside a signature only."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text for people: secrets of urls in it, and `secrets`, are left out."""
    for secret in secrets:
        text = text.replace(secret, "…")
    if "://" not in text:
        return text
    text = _LOGIN.sub(_without_login, text)
    return _URL.sub(lambda match: _PARAMETER.sub(_hidden_parameter, match[0]), text)


def strip_credentials(url: str) -> str:
    """Return a url as it may be written: without login, and without the parameters of a signature."""
    if "://" not in url or not ("@" in url or "=" in url):
        return url
    return "::".join(_public(bit) for bit in url.split("::"))


def has_secrets(url: str) -> bool:
    """Return whether a url has what must not be written."""
    return strip_credentials(url) != url


def secrets_in(url: str) -> set[str]:
    """Find the logins and signatures in a url: libraries repeat them in errors without the url around them."""
    found: set[str] = set()
    for match in _LOGIN.finditer(url):
        if _without_login(match) != match[0]:
            found |= {match["login"], match["login"].partition(":")[2]}
    found |= {match["value"] for match in _PARAMETER.finditer(url) if _SIGNED.fullmatch(match["name"])}
    return {secret for secret in found if len(secret) > 3}


def secrets_of(options: Mapping[str, Any]) -> set[str]:
    """Find the passwords, keys and tokens in options of filesystems."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= secrets_of(value)
            if _SECRET.search(str(name)):
                found |= {inner for inner in value.values() if isinstance(inner, str)}
        elif isinstance(value, str) and len(value) > 3 and _SECRET.search(str(name)):
            found.add(value)
    return found


def holds_secrets(options: Mapping[str, Any]) -> bool:
    """Return whether options of a filesystem have passwords, keys and tokens, of whatever type."""
    return any(
        (bool(value) and _SECRET.search(str(name)) is not None) or (isinstance(value, Mapping) and holds_secrets(value))
        for name, value in options.items()
    )


def _without_login(match: re.Match[str]) -> str:
    protocol, login = match["protocol"], match["login"]
    name, _, password = login.partition(":")
    if protocol.lower().endswith(("http", "https")):
        return f"{protocol}://"
    return f"{protocol}://{name}@" if password else match[0]


def _hidden_parameter(match: re.Match[str]) -> str:
    return f"{match['lead']}{match['name']}=…" if _SIGNED.fullmatch(match["name"]) else match[0]


def _public(bit: str) -> str:
    bit = _LOGIN.sub(_without_login, bit)
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
    names = [part.partition("=")[0].lower() if "=" in part else "" for part in parts]
    if not any(_SIGNED.fullmatch(name) for name in names):
        return parts
    signed = any(name in ("sig", "signature") for name in names)
    return [
        part
        for part, name in zip(parts, names, strict=True)
        if not _SIGNED.fullmatch(name) and not (signed and name in _OF_SIGNATURES)
    ]
