"""Where an Icechunk repository is, and where its virtual chunks are.

Contract: storages and containers as Icechunk 2 has them, of urls and of options of fsspec's filesystems. Options that
have no counterpart are refused by name: a repository must not be opened in another way than was asked for.

A container says that chunks may lie below a url, and how that is read. Its url is compared as it is written, so that
only such urls are declared in which nothing has to be encoded: the nearest folder above the targets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from refmaker.bridges.packages import needed
from refmaker.errors import Unsupported
from refmaker.urls import is_local, local_path, protocol_of, text_of

__all__ = ["access", "container", "credential", "prefixes", "storage"]

_S3: Final = ("s3", "s3a")
_GCS: Final = ("gs", "gcs")
_HTTP: Final = ("http", "https")


def storage(url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Any:
    """Return the storage of a repository.

    Parameters
    ----------
    url
        A path, `s3://bucket/prefix` or `gs://bucket/prefix`.
    options
        As fsspec has them: `key`, `secret`, `token`, `anon`, `endpoint_url`, `client_kwargs` of s3fs; `token`, a path,
        or "anon" of gcsfs. What they do not say is looked for in the environment.

    Raises
    ------
    Unsupported
        Icechunk is not installed, or has no storage for the url or an option.
    """
    icechunk, name = needed("icechunk"), text_of(url)
    given = dict(options or {})
    if is_local(name):
        _all_known({}, given, "local files")
        return icechunk.local_filesystem_storage(os.path.abspath(local_path(name)))
    protocol, (bucket, _, prefix) = protocol_of(name), name.partition("://")[2].partition("/")
    if protocol in _S3:
        place, keys = _s3(given)
        asked = {"anonymous": True} if keys.get("anonymous") else keys or {"from_env": True}
        return icechunk.s3_storage(bucket=bucket, prefix=prefix.strip("/") or None, **place, **asked)
    if protocol in _GCS:
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix.strip("/") or None, **_gcs(given))
    raise Unsupported(
        f"no Icechunk repository can be there: name a path, s3:// or gs://, not {protocol}://", source=name
    )


def prefixes(locations: Iterable[str]) -> list[str]:
    """Return urls of containers that all locations lie in: buckets, servers, and the folder of all local files.

    Parameters
    ----------
    locations
        Urls as Icechunk has them, see `locations.icechunk_location`.

    Raises
    ------
    Unsupported
        Local files have nothing in common but the root, or Icechunk has no container for a url.

    Examples
    --------
    >>> prefixes(["s3://bucket/a/b.nc", "file:///data/x/1.nc", "file:///data/y z/2.nc"])
    ['file:///data/', 's3://bucket/']
    """
    found: set[str] = set()
    folders = []
    for location in locations:
        protocol = protocol_of(location)
        if protocol == "file":
            folders.append(os.path.dirname(local_path(location)))
        elif protocol in (*_S3, *_GCS, *_HTTP):
            found.add(f"{protocol}://{location.partition('://')[2].partition('/')[0]}/")
        else:
            raise Unsupported(f"virtual chunks of Icechunk are in files, s3, gs and http, not {protocol}://")
    if folders:
        folder = _plain_folder(os.path.commonpath(folders))
        if folder == "/":
            raise Unsupported("the files have no folder in common but the root of this machine: commit them apart")
        found.add(f"file://{folder}/")
    return sorted(found)


def _plain_folder(folder: str) -> str:
    """Return the nearest folder, itself or above it, in whose path nothing has to be encoded."""
    while quote(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def container(prefix: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return the container of a url, to be kept in the repository: without credentials.

    Parameters
    ----------
    options
        Of the filesystem of the targets, as fsspec has them.
    """
    icechunk, protocol, given = needed("icechunk"), protocol_of(prefix), dict(options or {})
    if protocol == "file":
        store = icechunk.local_filesystem_store(local_path(prefix).rstrip("/"))
    elif protocol in _S3:
        place, keys = _s3(given)
        store = icechunk.s3_store(**place, anonymous=bool(keys.get("anonymous")), s3_compatible="endpoint_url" in place)
    elif protocol in _GCS:
        store = icechunk.gcs_store()
    else:
        store = icechunk.http_store()
    return icechunk.VirtualChunkContainer(prefix, store)


def access(prefixes: Iterable[str], options: Mapping[str, Any] | None = None) -> Any:
    """Return what a repository is opened with, so that chunks of some containers are read."""
    return needed("icechunk").containers_credentials({prefix: credential(prefix, options) for prefix in prefixes})


def credential(prefix: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return what a container is read with: what the options say, or else what the environment does."""
    icechunk, protocol, given = needed("icechunk"), protocol_of(prefix), dict(options or {})
    known = needed("icechunk", "icechunk.credentials")
    if protocol == "file":
        return known.LocalFileSystemAccess
    if protocol in _HTTP:
        return known.HttpAccess
    if protocol in _S3:
        keys = _s3(given)[1]
        return icechunk.s3_credentials(**(keys or {"from_env": True}))
    return icechunk.gcs_credentials(**_gcs(given))


_S3_KEYS: Final = {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token"}


def _s3(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return where a service is, and the keys to it, of options of s3fs."""
    client = dict(options.get("client_kwargs") or {})
    endpoint = options.get("endpoint_url") or client.pop("endpoint_url", None)
    region = client.pop("region_name", None) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    _all_known({*_S3_KEYS, "anon", "endpoint_url", "client_kwargs", "requester_pays"}, {**options, **client}, "S3")
    place: dict[str, Any] = {} if region is None else {"region": region}
    if endpoint is not None:
        place |= {
            "endpoint_url": endpoint,
            "allow_http": endpoint.startswith("http://"),
            "force_path_style": True,
            "region": region or "us-east-1",
        }
    if options.get("requester_pays"):
        place["requester_pays"] = True
    keys = {theirs: options[ours] for ours, theirs in _S3_KEYS.items() if options.get(ours)}
    return place, {"anonymous": True} if options.get("anon") else keys


def _gcs(options: dict[str, Any]) -> dict[str, Any]:
    """Return the credentials of options of gcsfs."""
    _all_known({"token"}, options, "Google Cloud Storage")
    token = options.get("token")
    if token == "anon":  # noqa: S105  # gcsfs's word for none
        return {"anonymous": True}
    return {"from_env": True} if token is None else {"service_account_file": str(token)}


def _all_known(known: Iterable[str], given: Mapping[str, Any], what: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Unsupported(f"no option of Icechunk corresponds to {unknown[0]!r} for {what}")
