"""What libraries log, without secrets; what others log, as it was."""

from __future__ import annotations

import logging

import pytest

from refmaker import logs

SIGNED = "GET https://h/a.nc?ticket=hunter2&format=nc"


def test_libraries(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logs.remember({"hunter3"})
    for name in ("fsspec.http", "aiohttp.client", "botocore.endpoint", "refmaker", "urllib3.connectionpool", "s3fs"):
        logger = logging.getLogger(name)
        logger.debug(SIGNED)
        logger.debug("%s: %s", "asked for", {"url": SIGNED})
        logger.debug("the word is %s", "hunter3")
        headers = {"Authorization": b"AWS4 hunter2", "X-Amz-Security-Token": "hunter2", "Range": "0-1"}
        logger.debug("headers: %s", headers)
        logger.debug("x-amz-security-token:hunter2\nhost:h")
        logger.debug("<SecretAccessKey>hunter2</SecretAccessKey>")
        try:
            raise OSError(SIGNED)
        except OSError:
            logger.exception("it failed")
    logging.getLogger("botocore.auth").debug("Signature:\n%s", "hunter2")
    assert "hunter" not in caplog.text
    assert "format=nc" in caplog.text
    assert "OSError" in caplog.text
    assert "0-1" in caplog.text
    assert all("hunter" not in repr(vars(record)) for record in caplog.records)


def test_others_and_wrong_formats(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logs.guard()
    logs.guard()
    logging.getLogger("somebody").debug(SIGNED)
    assert "hunter2" in caplog.text
    assert logging.getLogRecordFactory().leaves_out_secrets  # type: ignore[attr-defined]


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    logs.remember(f"secret-{number}" for number in range(logs.MOST + 10))
    assert len(logs._known) == logs.MOST
    logs._known.clear()
