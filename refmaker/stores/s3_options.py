"""What is known of an S3 store: from options, fsspec's configuration, the environment, the files of AWS.

Contract: s3fs, which lists, reads and writes, takes all four together (fsspec merges its configuration into options,
botocore knows environment and files). `obstore_options` gives the same for obstore, or None where any of the four says
something that obstore would have to be told in another way, or could misunderstand: then s3fs has to be asked. So no
request goes to another server, or with other credentials, than s3fs would send it to.

Sources: fsspec, "Configuration"; AWS SDKs and Tools Reference Guide, "Configuration and credential file settings",
"Service-specific endpoints"; obstore, S3Config (its clients read the variables AWS_* themselves).
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["merged", "obstore_options"]

_KEYS: Final = {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token"}
_KNOWN: Final = frozenset({*_KEYS, "anon", "endpoint_url", "client_kwargs", "protocol"})

_HARMLESS: Final = frozenset(
    {
        *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *(
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_EC2_METADATA_DISABLED",
            "AWS_METADATA_SERVICE_TIMEOUT",
        ),
        *("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS", "AWS_PAGER", "AWS_EXECUTION_ENV"),
        *("AWS_DEFAULT_OUTPUT", "AWS_SDK_LOAD_CONFIG", "AWS_CA_BUNDLE"),
    }
)
"""Variables that are looked at here, or that change nothing where keys are given or none are needed."""

_PLAIN: Final = frozenset(
    {
        *("region", "output", "cli_pager", "retry_mode", "max_attempts", "endpoint_url", "ca_bundle"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
    }
)
"""Settings of the file of AWS that are looked at here, or that change nothing where keys are given."""

_FILES: Final = (("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))


def merged(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of s3fs together with those that fsspec's configuration has for it."""
    from fsspec.config import conf

    found: dict[str, Any] = {}
    for protocol in ("s3", "s3a"):
        found.update(conf.get(protocol, {}))
    return {**found, **options}


def obstore_options(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return obstore's configuration for options of s3fs; None where s3fs has to be asked.

    `ca_bundle` among it is the path of certificates to trust beside those of the system.

    Parameters
    ----------
    options
        As they were given, without fsspec's configuration.
    """
    options = merged(options)
    client = dict(options.get("client_kwargs") or {})
    endpoint, region = client.pop("endpoint_url", None), client.pop("region_name", None)
    endpoint = options.get("endpoint_url") or endpoint
    settings = _file_settings()
    if client or not options.keys() <= _KNOWN or settings is None or not settings.keys() <= _PLAIN:
        return None
    if any(name.startswith("AWS_") and name not in _HARMLESS for name in os.environ):
        return None
    keys = _keys(options)
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or settings.get("region")
    endpoint = endpoint or settings.get("endpoint_url")
    if keys is None or (endpoint is None and region is None):
        return None
    found = keys | {"region": region or "us-east-1"} | ({} if endpoint is None else {"endpoint": endpoint})
    bundle = os.environ.get("AWS_CA_BUNDLE") or settings.get("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and not str(endpoint).startswith("http://"):
        found["ca_bundle"] = bundle
    return found if all(isinstance(value, str | bool) for value in found.values()) else None


def _keys(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what requests are signed with; None where botocore has to find it."""
    if options.get("anon"):
        return {"skip_signature": True}
    keys = {theirs: options[ours] for ours, theirs in _KEYS.items() if options.get(ours)}
    return keys if {"access_key_id", "secret_access_key"} <= keys.keys() else None


def _file_settings() -> Mapping[str, str] | None:
    """Return the default profile of the files of AWS; None where they cannot be read.

    Where the environment names another profile, s3fs is asked: see `_HARMLESS`.
    """
    found: dict[str, str] = {}
    for variable, usual in _FILES:  # of a setting in both, that in the file of credentials counts
        parser = configparser.RawConfigParser(strict=False)
        path = os.path.expanduser(os.environ.get(variable) or usual)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            return None
        sections = [name for name in ("default", "profile default") if parser.has_section(name)]
        if len(sections) > 1:
            return None
        for name in sections:
            found.update(parser[name])
    return found
