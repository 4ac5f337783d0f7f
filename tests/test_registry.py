from typing import Any

from mann_hf.registry import Registry, arguments_of


class Base:
    def __init__(self, size: int, shared: float = 1.0) -> None: ...


class HandsOn(Base):
    def __init__(self, own: bool = True, shared: float = 2.0, **kwargs: Any) -> None: ...


class KeepsAll(Base):
    def __init__(self, own: bool = True) -> None: ...


def test_arguments_of_a_class_and_those_that_it_hands_on() -> None:
    found = arguments_of(HandsOn)
    assert list(found) == ["own", "shared", "size"] and found["shared"].default == 2.0
    assert list(arguments_of(KeepsAll)) == ["own"] and list(arguments_of(Base)) == ["size", "shared"]


def test_a_part_or_a_default() -> None:
    parts: Registry[int] = Registry("part")
    parts.register("one")(1)
    assert (parts.get("one", 0), parts.get("two", 0)) == (1, 0)
