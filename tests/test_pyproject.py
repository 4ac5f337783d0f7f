"""The files of pinned versions say what pyproject.toml says."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pins(file: str) -> dict[str, set[str]]:
    """The versions that a constraints file allows each package, over all Python versions."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


@pytest.fixture
def floors() -> dict[str, str]:
    """The lowest version of each package that mann_hf or an extra of it asks for."""
    requirements = [Requirement(text) for text in importlib.metadata.requires("mann_hf") or []]
    others = [requirement for requirement in requirements if canonicalize_name(requirement.name) != "mann-hf"]
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix(">=") for requirement in others
    }


def test_every_dependency_has_a_floor_and_no_ceiling(floors: dict[str, str]) -> None:
    assert floors
    assert not {name: floor for name, floor in floors.items() if not re.fullmatch(r"[\d.]+", floor)}


def test_the_lowest_versions_are_the_floors(floors: dict[str, str]) -> None:
    lowest = pins("constraints-lowest.txt")
    assert {name: lowest.get(name) for name in floors if name != "torch"} == {
        name: {floor} for name, floor in floors.items() if name != "torch"
    }


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-lowest.txt"])
def test_every_dependency_is_pinned_at_what_is_allowed(file: str, floors: dict[str, str]) -> None:
    pinned = pins(file)
    assert set(floors) <= set(pinned)
    requirements = [Requirement(f"{name}>={floor}") for name, floor in floors.items()]
    low = [one.name for one in requirements for version in pinned[one.name] if version not in one.specifier]
    assert not low


def test_both_files_take_the_same_torch() -> None:
    assert pins("constraints.txt")["torch"] == pins("constraints-lowest.txt")["torch"]
