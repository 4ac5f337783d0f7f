"""Parts by their names, and what is said where one cannot be made."""

from typing import Any

import pytest

from mann_hf.errors import InvalidInputError, InvalidTypeError, UnknownNameError
from mann_hf.registry import Registry
from mann_hf.training.options import make

LAMPS: Registry = Registry("lamp")


@LAMPS.register("plain")
class Plain:
    def __init__(self, watts: float = 40, *rest: Any) -> None:
        self.watts = float(watts)
        if watts < 0:
            raise InvalidTypeError("watts come in positive numbers.")


@LAMPS.register("coloured")
class Coloured(Plain):
    def __init__(self, colour: str = "red", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.colour = colour


@LAMPS.register("closed")
class Closed(Plain):
    def __init__(self) -> None:
        super().__init__(5)


@pytest.mark.parametrize("none", [None, {}])
def test_without_options_a_part_is_as_it_is_by_default(none: Any) -> None:
    assert make(LAMPS, "plain", none).watts == 40


def test_options_are_the_arguments_of_a_part_and_of_what_it_hands_on_to() -> None:
    lamp = make(LAMPS, "coloured", {"watts": 7, "colour": "blue"})
    assert (type(lamp), lamp.watts, lamp.colour) == (Coloured, 7, "blue")


def test_an_error_of_the_parts_own_stays_as_it_is() -> None:
    with pytest.raises(InvalidTypeError, match=r"^watts come in positive numbers\.$"):
        make(LAMPS, "plain", {"watts": -1})


@pytest.mark.parametrize(
    "name, options, says",
    [
        ("plain", [7], r"the options of 'plain' are \[7\]; give a mapping from names to values\."),
        ("plain", {"size": 1, "age": 2}, r"the lamp 'plain' has no argument 'size', 'age'; it has watts\."),
        ("coloured", {"size": 1}, r"the lamp 'coloured' has no argument 'size'; it has colour, watts\."),
        ("closed", {"watts": 1}, r"the lamp 'closed' has no argument 'watts'; it has none\."),
        ("plain", {"watts": "x"}, r"the lamp 'plain' cannot be made with {'watts': 'x'}: could not convert"),
        ("plain", {"watts": None}, r"the lamp 'plain' cannot be made with {'watts': None}: float\(\) argument"),
    ],
)
def test_options_that_cannot_be(name: str, options: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{says}"):
        make(LAMPS, name, options)


def test_a_part_that_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="unknown lamp 'torch'; choose one of 'plain', 'coloured', 'closed'"):
        make(LAMPS, "torch", None)
