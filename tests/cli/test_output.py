import io
import json
import logging
import os
import re
import sys

import pytest
from transformers.utils import logging as transformers_logging

from mann_hf.cli.output import (
    one_line,
    open_closed_streams,
    print_json,
    print_lines,
    printable,
    progress_bar,
    say,
    training_bar,
    working,
)
from mann_hf.targets import OneName
from mann_hf.targets.given import check_pairs


class Stream(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoding", "document", "written"),
    [
        ("utf-8", {"text": "über\n😀"}, '{"text": "über\\n😀"}\n'.encode()),
        ("ascii", {"text": "über"}, b'{"text": "\\u00fcber"}\n'),
        ("utf-8", ["\ud800"], b'["\\ud800"]\n'),
    ],
)
def test_json_is_written_in_any_encoding(
    monkeypatch: pytest.MonkeyPatch, encoding: str, document: object, written: bytes
) -> None:
    stream = Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(document)
    assert stream.written() == written
    assert json.loads(written) == document


def test_json_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"text": "".join(map(chr, [*range(0x20), *range(0x7F, 0xA1), 0x2028, 0x202E, 0xE0001])) + "é😀"}
    print_json(document)
    written = capsys.readouterr().out
    assert json.loads(written) == document
    assert written.endswith('é😀"}\n') and written[:-1].isprintable()


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json([float("nan")])


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("utf-8", "a\tb\x1b]0;title\x07c\u202ed\r\ne", "a\tb ]0;title c d  e"),
        ("utf-8", "über 😀", "über 😀"),
        ("latin-1", "über 😀", "über ?"),
        ("utf-8", "half \ud800", "half ?"),
    ],
)
def test_texts_do_not_steer_the_terminal(encoding: str, text: str, shown: str) -> None:
    assert printable(text, Stream(encoding)) in (shown, shown.replace("?", " "))


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n\n  b\tc ", Stream("utf-8")) == "a b c"


def test_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("a\tb", "c\nd")
    assert capsys.readouterr().out == "a\tb\nc d\n"


def test_libraries_at_work_do_not_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    shown = transformers_logging.is_progress_bar_enabled()
    with working():
        print("talk")
        logging.getLogger("somewhere").warning("more talk")
        assert not transformers_logging.is_progress_bar_enabled()
    print("data")
    assert capsys.readouterr().out == "data\n"
    assert transformers_logging.is_progress_bar_enabled() == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", ["1", None])
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str | None) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    if no_color is None:
        monkeypatch.delenv("NO_COLOR")
    with progress_bar("Working", 30) as progress:
        assert progress is not None
        for _ in range(3):
            progress(10)
    seen = terminal.getvalue()
    assert "Working" in seen and "30/30" in seen
    assert bool(re.search(r"\x1b\[[\d;]*3\d", seen)) == (no_color is None)


def test_no_bar_on_a_terminal_for_a_single_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("Working", 1) as progress:
        assert progress is None


def test_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Working", 100) as progress:
        assert progress is not None
        progress(50)
    assert capsys.readouterr() == ("", "")


def test_a_long_run_says_how_far_it_is_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 10.0, 40.0, 50.0, 80.0))
    monkeypatch.setattr("mann_hf.cli.output.time.monotonic", lambda: next(clock))
    with progress_bar("Working", 4000) as progress:
        assert progress is not None
        for _ in range(4):
            progress(1000)
    assert capsys.readouterr() == ("", "Working: 2,000 of 4,000 (50%), about 1 min left.\n")


def test_a_training_bar_is_shown_from_the_first_step_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with training_bar(30):
        pass
    assert "Training" not in terminal.getvalue()  # as of a process that is told of no step
    with training_bar(30) as advance:
        assert advance is not None
        for _ in range(3):
            advance(10, "loss 0.500, accuracy 80.00 %")
    seen = terminal.getvalue()
    assert "Training" in seen and "30/30" in seen and "accuracy 80.00 %" in seen


def test_what_libraries_log_does_not_steer_the_terminal() -> None:
    stream, logger = io.StringIO(), logging.getLogger("transformers")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        with working():
            logger.error("a %s\nb\x9b", "\x1b[2J")
        logger.error("\x1b")
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == "a  [2J\nb \n\x1b\n", "as it was before, once the work is done"


def test_a_full_disk_is_named_and_a_reader_that_has_enough_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    for write in (lambda: print_lines("a"), lambda: print_json({})):
        monkeypatch.setattr(sys, "stdout", Full())
        with pytest.raises(OSError, match="No space left on device: 'standard output'"):
            write()
        monkeypatch.setattr(sys, "stdout", Gone())
        with pytest.raises(BrokenPipeError):
            write()


def test_closed_streams_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    open_closed_streams()
    print_lines("a")
    say("b")
    for stream in (sys.stdout, sys.stderr):
        assert stream.name == os.devnull
        stream.close()


def test_what_tables_say_of_texts_and_labels_is_not_said_again_in_words_of_python() -> None:
    stream, logger = io.StringIO(), logging.getLogger("transformers")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    texts, labels = ["card_arrival", "card_lost"] * 2, [f"where is the card that I lost {row}?" for row in range(4)]
    try:
        with working():
            check_pairs(texts, labels, OneName())
        assert stream.getvalue() == ""
        check_pairs(texts, labels, OneName())
        assert "swapped" in stream.getvalue()
    finally:
        logger.removeHandler(handler)
