"""What obstore is told of a store: the same as s3fs knows, or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from refmaker.stores.s3_options import obstore_options

KEYS = {"key": "a", "secret": "b"}
TOLD = {"access_key_id": "a", "secret_access_key": "b"}


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out what this machine has configured."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.endswith("_CA_BUNDLE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(fsspec.config, "conf", {})


def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, variable: str = "AWS_CONFIG_FILE") -> None:
    (tmp_path / variable).write_text(text)
    monkeypatch.setenv(variable, str(tmp_path / variable))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, None),  # keys from files, roles, the machine's service: botocore knows them all
        (KEYS, None),  # of a region that is not known
        (
            {**KEYS, "client_kwargs": {"region_name": "eu-west-1"}},
            {"access_key_id": "a", "secret_access_key": "b", "region": "eu-west-1"},
        ),
        (
            {**KEYS, "token": "c", "endpoint_url": "http://h"},
            {
                "access_key_id": "a",
                "secret_access_key": "b",
                "session_token": "c",
                "region": "us-east-1",
                "endpoint": "http://h",
            },
        ),
        (
            {"anon": True, "client_kwargs": {"endpoint_url": "https://h"}},
            {"skip_signature": True, "region": "us-east-1", "endpoint": "https://h"},
        ),
        (
            {"anon": True, "key": "a", "endpoint_url": "h"},
            {"skip_signature": True, "region": "us-east-1", "endpoint": "h"},
        ),
        ({"anon": False, "endpoint_url": "https://h"}, None),
        ({**KEYS, "endpoint_url": "https://h", "profile": "x"}, None),
        ({**KEYS, "endpoint_url": "https://h", "requester_pays": True}, None),
        ({**KEYS, "endpoint_url": "https://h", "client_kwargs": {"verify": False}}, None),
        ({**KEYS, "endpoint_url": "https://h", "config_kwargs": {}}, None),
        ({**KEYS, "key": ["a"], "endpoint_url": "https://h"}, None),
    ],
)
def test_options(ours: dict[str, Any], theirs: dict[str, Any] | None) -> None:
    assert obstore_options(ours) == theirs


def test_options_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert obstore_options(KEYS) == {**TOLD, "region": "eu-west-1"}
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert obstore_options(KEYS) is None


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"),
        *("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_SKIP_SIGNATURE", "AWS_ROLE_ARN"),
    ],
)
def test_variables_that_only_s3fs_understands_as_it_does(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    options = {**KEYS, "endpoint_url": "http://h"}
    assert obstore_options(options) is not None
    monkeypatch.setenv(name, "x")
    assert obstore_options(options) is None


def test_the_configuration_of_fsspec_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"endpoint_url": "http://h"}})
    assert obstore_options(KEYS) == {**TOLD, "region": "us-east-1", "endpoint": "http://h"}
    assert obstore_options({**KEYS, "endpoint_url": "http://given"}) == {
        **TOLD,
        "region": "us-east-1",
        "endpoint": "http://given",
    }
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"profile": "work"}})
    assert obstore_options({**KEYS, "endpoint_url": "http://h"}) is None


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
@pytest.mark.parametrize("section", ["default", "profile default"])
def test_the_files_of_aws_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, section: str) -> None:
    text = f"[{section}]\nregion = eu-west-1\nendpoint_url = http://h\n[profile other]\nendpoint_url = http://o\n"
    configured(monkeypatch, tmp_path, text, variable)
    assert obstore_options(KEYS) == {**TOLD, "region": "eu-west-1", "endpoint": "http://h"}
    assert obstore_options({**KEYS, "endpoint_url": "http://given"}) == {
        **TOLD,
        "region": "eu-west-1",
        "endpoint": "http://given",
    }


@pytest.mark.parametrize(
    "text",
    [
        "[default]\ns3 =\n  addressing_style = virtual\n",
        "[default]\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://h\n",
        "[default]\nuse_fips_endpoint = true\n",
        "[default]\nregion = eu-west-1\n[profile default]\nregion = eu-west-2\n",
        "no section\n",
    ],
)
def test_files_that_say_more_are_left_to_s3fs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    configured(monkeypatch, tmp_path, text)
    assert obstore_options({**KEYS, "endpoint_url": "http://h"}) is None


def test_the_usual_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nendpoint_url = http://h\n")
    assert obstore_options(KEYS) == {**TOLD, "region": "us-east-1", "endpoint": "http://h"}


def test_certificates_are_those_that_botocore_trusts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Over plain HTTP there are none."""
    https = {**KEYS, "endpoint_url": "https://h"}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/r.pem")
    assert (obstore_options(https) or {})["ca_bundle"] == "/r.pem"
    configured(monkeypatch, tmp_path, "[default]\nca_bundle = /c.pem\n")
    assert (obstore_options(https) or {})["ca_bundle"] == "/c.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/a.pem")
    assert (obstore_options(https) or {})["ca_bundle"] == "/a.pem"
    assert "ca_bundle" not in (obstore_options({**KEYS, "endpoint_url": "http://h"}) or {"ca_bundle": None})
