"""Texts of errors: one line of bounded length, whatever they are made of, and chains of causes without secrets."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable

import pytest

from refmaker.errors import FormatError, RefmakerError, SourceError, concealed, concealing

FOREIGN = ["a\nb\r\x1b[2J\x00\x85\u2028\u202e", "\udc80 alone", "x" * 10**6, "\n" * 10**5]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("part", ["message", "path", "structure", "source", "expected", "got"])
def test_one_line(text: str, part: str) -> None:
    parts: dict[str, str] = {"message": "what happened", part: text}
    error = FormatError(**parts)  # type: ignore[arg-type]
    shown = str(error if part != "expected" else FormatError("m", expected=text, got=text))
    assert shown.isprintable()
    assert 0 < len(shown) < 10_000
    assert repr(error).isprintable()
    assert len(repr(error)) < 10_000


def test_pickled() -> None:
    error = pickle.loads(pickle.dumps(SourceError("m", source="https://u:hunter2@h/x", got=3)))
    assert (error.source, error.message, error.got) == ("https://h/x", "m", 3)


def _plain() -> None:
    raise OSError("GET https://h/a?ticket=hunter2")


def _noted() -> None:
    error = OSError("no")
    error.add_note("asked for https://h/a?ticket=hunter2")
    raise error


def _attribute() -> None:
    error = OSError("no")
    error.request = "https://hunter2@h/a"  # type: ignore[attr-defined]
    raise error


def _grouped() -> None:
    raise ExceptionGroup("some", [OSError("fine"), ValueError("https://h/a?x=hunter2")])


def _deep() -> None:
    try:
        _plain()
    except OSError:
        raise KeyError("clean") from None


def _known() -> None:
    raise OSError("the server says: hunter2 is no ticket")


@pytest.mark.parametrize("fail", [_plain, _noted, _attribute, _grouped, _deep, _known])
@pytest.mark.parametrize("link", [True, False])
def test_chains_without_secrets(fail: Callable[[], None], link: bool) -> None:
    def chained() -> None:
        try:
            fail()
        except (OSError, KeyError, ExceptionGroup) as error:
            if link:
                raise SourceError(f"no: {error}", source="https://h/b") from error
            raise SourceError("no")  # noqa: B904 - the context is looked at too

    with pytest.raises(RefmakerError) as caught, concealing("https://h/a?ticket=hunter2"):
        chained()
    error: BaseException | None = caught.value
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    todo = [error]
    while todo:
        one = todo.pop()
        if one is not None:
            assert "hunter2" not in f"{one!r} {one} {vars(one)} {getattr(one, '__notes__', '')}"
            todo += [one.__cause__, one.__context__]


def test_causes_that_are_clean_stay() -> None:
    @concealed
    def read(url: str, *, storage_options: object = None) -> None:
        try:
            raise FileNotFoundError(2, "No such file", "/data/x")
        except OSError as error:
            raise SourceError("no", source=url) from error

    with pytest.raises(SourceError) as caught:
        read("https://u:hunter2@h/x", storage_options={"token": "hunter3"})
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert str(caught.value) == "https://h/x: no"
