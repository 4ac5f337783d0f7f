import numpy as np
import pytest

from tasks.common import timing
from tasks.few_shot_text import speed


def test_the_ratio_is_that_of_the_least_seconds_of_calls_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    now = [0.0]
    takes = {"slow": iter([9.0, 0.04, 0.02, 0.03]), "fast": iter([9.0, 0.005, 0.5, 0.007])}  # first calls warm up
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def call(name: str) -> None:
        calls.append(name)
        now[0] += next(takes[name])

    assert timing.ratio(lambda: call("slow"), lambda: call("fast"), turns=3) == pytest.approx(0.02 / 0.005)
    assert calls == ["slow", "fast"] * 4


def test_the_ratio_may_be_that_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    now, takes = [0.0], iter([0, 0, 4.0, 1.0, 2.0, 9.0, 3.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def call() -> None:
        now[0] += next(takes)

    assert timing.ratio(call, call, turns=3, of=np.median) == pytest.approx(3.0 / 2.0)


def test_the_messages_give_enough_to_teach_and_to_ask() -> None:
    material = speed.read_material(None)
    assert len(material.taught.texts) == len(material.taught.labels) == speed.SLOTS
    assert set(material.taught.labels) == set(range(len(material.taught.names)))
    lengths = [len(text.split()) for text in material.mixed]
    assert max(lengths) > 10 * min(lengths)
    again = speed.read_material(None)
    assert material.taught.texts == again.taught.texts
    assert np.array_equal(material.taught.labels, again.taught.labels)
