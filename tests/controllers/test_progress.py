from typing import Any

import pytest
from transformers.utils import logging

from mann_hf.controllers.progress import following
from mann_hf.errors import InvalidTypeError


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Turned on, as they are by default."""
    was = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    yield
    (logging.enable_progress_bar if was else logging.disable_progress_bar)()


@pytest.mark.parametrize("total", [12, None])
def test_true_shows_a_bar_on_standard_error(total: int | None, bars: None, capsys: pytest.CaptureFixture[str]) -> None:
    with following(True, total, "image") as advance:
        assert advance is not None
        advance(5)
        advance(7)
    shown = capsys.readouterr()
    assert ("12/12" if total else "12") in shown.err and not shown.out


def test_a_bar_is_turned_off_as_those_of_transformers(bars: None, capsys: pytest.CaptureFixture[str]) -> None:
    logging.disable_progress_bar()
    with following(True, 3, "image") as advance:
        assert advance is not None
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_function_is_called_and_nothing_is_nothing() -> None:
    told: list[int] = []
    with following(told.append, 3, "image") as advance:
        assert advance is not None
        advance(2)
    assert told == [2]
    for nothing in (None, False):
        with following(nothing, 3, "image") as advance:
            assert advance is None


@pytest.mark.parametrize("progress", [1, "yes", [print]])
def test_anything_else_is_refused(progress: Any) -> None:
    with pytest.raises(InvalidTypeError, match="progress is"), following(progress, 3, "image"):
        pass
