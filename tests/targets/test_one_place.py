"""No code or template but that of `mann_hf.targets` asks which problem a model is for; shown on planted lines first."""

import ast
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from mann_hf.targets.kinds import TARGETS

ROOT = Path(__file__).parents[2]
KINDS = {"SINGLE_LABEL", "MULTI_LABEL", "REGRESSION", "TOKEN_IDS"}
FIELD = "problem_type"


def comparisons(source: str) -> Iterator[str]:
    """The comparisons of a problem's name, and choices by it, in the code of a file.

    That a configuration's name is there (`is None`, `in problem_types()`) may be asked anywhere.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            asks_if_there = all(isinstance(side, ast.Constant) and side.value is None for side in sides[1:])
            looked_up = (
                isinstance(node.ops[0], ast.In | ast.NotIn) and not names_kind(sides[1]) and not names_field(sides[1])
            )
            if not asks_if_there and not looked_up and any(names_kind(side) or names_field(side) for side in sides):
                yield ast.unparse(node)
        elif isinstance(node, ast.Match) and names_field(node.subject):
            yield ast.unparse(node.subject)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict) and names_field(node.slice):
            yield ast.unparse(node)


def template_comparisons(source: str) -> Iterator[str]:
    """The comparisons of a problem's name in a Jinja template."""
    for node in jinja2.Environment().parse(source).find_all(jinja2.nodes.Compare):
        fields = {part.attr for part in node.find_all(jinja2.nodes.Getattr)}
        names = {part.name for part in node.find_all(jinja2.nodes.Name)}
        values = {part.value for part in node.find_all(jinja2.nodes.Const)}
        if FIELD in fields | names | values or values & {*TARGETS.names()}:
            yield f"line {node.lineno}: {', '.join(map(str, sorted({*fields, *names, *values}, key=str)))}"


def names_kind(side: ast.expr) -> bool:
    """Whether an expression holds the name of a kind of targets."""
    return any(
        (isinstance(part, ast.Name) and part.id in KINDS)
        or (isinstance(part, ast.Attribute) and part.attr in KINDS)
        or (isinstance(part, ast.Constant) and part.value in TARGETS.names())
        for part in ast.walk(side)
    )


def names_field(side: ast.expr) -> bool:
    """Whether an expression holds a problem type, of a configuration or of anything else."""
    return any(
        (isinstance(part, ast.Name) and part.id.strip("_") == FIELD)
        or (isinstance(part, ast.Attribute) and part.attr.strip("_") == FIELD)
        or (isinstance(part, ast.Constant) and part.value == FIELD)
        for part in ast.walk(side)
    )


@pytest.mark.parametrize(
    "line",
    [
        "if problem_type == REGRESSION: pass",
        "if config.problem_type != 'regression': pass",
        "x = 1 if self._problem_type is ProblemType.MULTI_LABEL else 2",
        "while problem_type in (MULTI_LABEL, REGRESSION): pass",
        "same = memory.problem_type == other.problem_type",
        "same = (fields.get('problem_type') or kinds.SINGLE_LABEL) == name",
        "{'regression': f, 'multi_label_classification': g}[problem_type]()",
        "match problem_type:\n    case 'regression': pass",
    ],
)
def test_a_planted_comparison_is_found(line: str) -> None:
    assert list(comparisons(line))


@pytest.mark.parametrize(
    "line",
    [
        "if problem_type is not None and problem_type not in problem_types(): raise ValueError",
        "targets = targets_of(config.problem_type)",
        "build(problem_type=SINGLE_LABEL)",
        "if targets.named and label == 'regression line': pass",
        "if 'multi_label_classification' in message: pass",
        "MAPPING = {REGRESSION: 'numbers'}",
    ],
)
def test_naming_and_validating_are_none(line: str) -> None:
    assert not list(comparisons(line))


@pytest.mark.parametrize(
    "line",
    [
        '{% set regression = facts.problem_type == "regression" %}',
        "{{ 'a number' if kind in ('regression',) else 'a label' }}",
        '{% if facts["problem_type"] != other %}x{% endif %}',
        "{% if problem_type is not none and problem_type == x %}x{% endif %}",
    ],
)
def test_a_planted_comparison_in_a_template_is_found(line: str) -> None:
    assert list(template_comparisons(line))


def test_a_template_may_show_the_name_and_ask_the_targets() -> None:
    asked = (
        "{% if facts.targets.named and not facts.labels == none %}| problem | `{{ facts.problem_type }}` |{% endif %}"
    )
    assert not list(template_comparisons(asked))


@pytest.mark.parametrize("part", ["mann_hf", "tasks", "examples", "docs"])
def test_what_a_problem_is_for_is_asked_in_one_place(part: str) -> None:
    kinds = {"*.py": comparisons, "*.jinja": template_comparisons}
    found = [
        f"{file.relative_to(ROOT)}: {line}"
        for pattern, finds in kinds.items()
        for file in sorted((ROOT / part).rglob(pattern))
        if file.relative_to(ROOT).parts[:2] != ("mann_hf", "targets")
        for line in finds(file.read_text(encoding="utf-8"))
    ]
    assert not found, "Ask its Targets (mann_hf/targets/base.py), with a new method if need be:\n" + "\n".join(found)
