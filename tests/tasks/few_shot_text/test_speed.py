import time

import numpy as np

from tasks.common import timing
from tasks.few_shot_text import speed


def test_the_ratio_is_that_of_the_medians_of_calls_that_take_turns() -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.02)

    def fast() -> None:
        calls.append("fast")
        time.sleep(0.005)

    assert 2 < timing.ratio(slow, fast, turns=3) < 6
    assert calls == ["slow", "fast"] * 4


def test_the_messages_give_enough_to_teach_and_to_ask() -> None:
    material = speed.read_material(None)
    assert len(material.taught.texts) == len(material.taught.labels) == speed.SLOTS
    assert set(material.taught.labels) == set(range(len(material.taught.names)))
    lengths = [len(text.split()) for text in material.mixed]
    assert max(lengths) > 10 * min(lengths)
    again = speed.read_material(None)
    assert material.taught.texts == again.taught.texts
    assert np.array_equal(material.taught.labels, again.taught.labels)
