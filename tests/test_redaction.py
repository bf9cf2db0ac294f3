"""What is taken out of texts and urls, and what is left as it is."""

from __future__ import annotations

import time

import pytest

from refmaker.errors import RefmakerError, SourceError, redact_error
from refmaker.redaction import has_secrets, redact, secrets_of, strip_credentials

AWS = (
    "https://b.s3.amazonaws.com/a.nc?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20240101"
    "&X-Amz-Date=20240101T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec2e7"
)
SECRETS = {
    "https://user:5ec2e7@host/a.nc": "https://host/a.nc",
    "https://5ec2e7@host/a.nc": "https://host/a.nc",
    "https://user:p@5ec2e7@host:8443/a.nc?format=1": "https://host:8443/a.nc?format=1",
    "ftp://user:5ec2e7@host/a.nc": "ftp://user@host/a.nc",
    "s3://key:5ec2e7@bucket/a.nc": "s3://key@bucket/a.nc",
    AWS: "https://b.s3.amazonaws.com/a.nc",
    "https://b/a.nc?versionId=7&AWSAccessKeyId=AK&Signature=5ec2e7&Expires=99": "https://b/a.nc?versionId=7",
    "https://storage.googleapis.com/b/a.nc?X-Goog-Signature=5ec2e7&X-Goog-Date=1": "https://storage.googleapis.com/b/a.nc",
    "https://x.blob.core.windows.net/c/a.nc?sv=2022&se=2025&sr=b&sp=r&sig=5ec2e7%3D": "https://x.blob.core.windows.net/c/a.nc",
    "https://d.cloudfront.net/a.nc?Policy=5ec2e7&Signature=x&Key-Pair-Id=K": "https://d.cloudfront.net/a.nc",
    "https://h/a.nc?file=x.nc&access_token=5ec2e7": "https://h/a.nc?file=x.nc",
    "https://h/a.nc?apikey=5ec2e7&version=2": "https://h/a.nc?version=2",
    "https://h/a.nc?version=2&subscription-key=5ec2e7;alt=media": "https://h/a.nc?version=2;alt=media",
    "https://h/a.nc?hdnts=5ec2e7;alt=media": "https://h/a.nc?alt=media",
    "https://h/a.nc?ticket=5ec2e7": "https://h/a.nc",
    "https://h/a.nc?any%2Dname=5ec2e7": "https://h/a.nc",
    "https://h/a.nc?%73ig=5ec2e7&file=a": "https://h/a.nc?file=a",
    "https://h/a.nc?%2573ig=5ec2e7": "https://h/a.nc",
    "https://h/a.nc?5ec2e7": "https://h/a.nc",
    "https://h/a.nc?a=b?c=5ec2e7": "https://h/a.nc",
    "https://h/a.nc?path=https://h2/b?sig=5ec2e7": "https://h/a.nc?path=https://h2/b",
    "https://h/a.nc#5ec2e7": "https://h/a.nc",
    "https://h/x;y=z/a.nc;ticket=5ec2e7?format=nc": "https://h/x;y=z/a.nc?format=nc",
    "HTTPS://user%3A5ec2e7@h/a.nc?Ticket=5ec2e7": "HTTPS://h/a.nc",
    "sftp://user%3A5ec2e7@h/a.nc": "sftp://user@h/a.nc",
    "s3://b/a.nc?%73ig=5ec2e7": "s3://b/a.nc",
    "https://h/a.nc#access_token=5ec2e7": "https://h/a.nc",
    "simplecache::https://u:5ec2e7@h/a.nc": "simplecache::https://h/a.nc",
    "zip://a.nc::https://h/x.zip?token=5ec2e7": "zip://a.nc::https://h/x.zip",
}  # fmt: skip
PLAIN = [
    "/data/a.nc", "a@b.nc", "file:///data/a?b=c.nc", "https://h/a.nc", "https://h/a.nc?lat=1&lon=2", "s3://b/a@v1.nc",
    "s3://b/a.nc?se=1&sp=2", "sftp://user@host/a.nc", "/data/x?token=y", "zip://a.nc::/data/x.zip",
    "https://h/a.nc?", "https://h/a@b.nc", "", "memory://x", "s3://h/?expires=1",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_of_urls(url: str) -> None:
    assert strip_credentials(url) == SECRETS[url]
    assert has_secrets(url)
    assert not has_secrets(strip_credentials(url))
    assert "5ec2e7" not in redact(f"cannot read '{url}' (got {url})")
    error = SourceError(f"no {url}", source=url, path=url, structure=url, expected=url, got=url)
    assert "5ec2e7" not in str(error)
    assert "5ec2e7" not in repr(error)


@pytest.mark.parametrize("url", PLAIN)
def test_other_urls_are_left_alone(url: str) -> None:
    assert strip_credentials(url) == url
    assert not has_secrets(url)
    assert redact(f"read '{url}'?") == f"read '{url}'?"


def test_texts() -> None:
    assert redact("is it https://u:p@h/a? ask me@home=x") == "is it https://h/a? ask me@home=x"
    assert redact("https://h/a?sig=1&file=2, then") == "https://h/a?sig=…&file=2, then"
    assert redact("the word is hunter2", ["hunter2"]) == "the word is …"


def test_long_texts_take_no_long_time() -> None:
    """Texts of errors hold what hostile files say."""
    n = 200_000
    began = time.process_time()
    for text in ("://" * n, "a" * n + " ://", "a://" * n, "https://h/" + "?a=" * n, "x://" + ":@" * n, "x://" + "a" * n,
                 "https://h/?" + "&" * n, "https://h/?" + "a" * n, "https://" + "?" * n, "https://" + "#" * n,
                 "https://h/?" + "=" * n, "x" * n + "https://5ec2e7@h/"):  # fmt: skip
        assert "5ec2e7" not in redact(text)
        strip_credentials(text)
    assert time.process_time() - began < 10


def test_secrets_of_options() -> None:
    options = {
        "key": "AKIA",
        "secret": "hunter2",
        "client_kwargs": {"headers": {"Authorization": "Bearer x"}},
        "anon": False,
    }
    assert secrets_of(options) == {"AKIA", "hunter2", "Bearer x"}


def test_causes_with_secrets_are_left_out() -> None:
    def raised(cause: str, secrets: tuple[str, ...] = ()) -> RefmakerError:
        try:
            try:
                raise OSError(cause)
            except OSError as error:
                raise SourceError(f"no: {error}", source="https://u:5ec2e7@h/a") from error
        except SourceError as error:
            redact_error(error, secrets)
            return error

    error = raised("GET https://h/a?sig=5ec2e7")
    assert error.__cause__ is None
    assert error.source == "https://h/a"
    assert "5ec2e7" not in str(error.__dict__)
    assert raised("hunter2 is wrong", ("hunter2",)).__cause__ is None
    assert isinstance(raised("no such file").__cause__, OSError)
