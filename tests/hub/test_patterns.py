"""Patterns of tokenizers: those in use pass, those that may take for ever do not."""

import re

import pytest

from mann_hf.hub.patterns import may_be_empty, why_slow

IN_USE = [  # of published tokenizers
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
    r" {2,}",
    r"[0-9][0-9][0-9]",
    r"^\s+|\s+$",
]


@pytest.mark.parametrize("pattern", IN_USE)
def test_those_in_use_pass(pattern: str) -> None:
    assert why_slow(pattern) is None
    assert not may_be_empty(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^(([a-z ])+.)+[A-Z]([a-z])+$", "repeats what has repeats"),
        (r"(a|a)*b", "repeats what has repeats or choices"),
        (r"(?:a*)*b", "repeats what has repeats"),
        (r"(\w+\s?)+$", "repeats what has repeats"),
        (r"(a{1,30}){1,30}b", "repeats what has repeats"),
        (r"a*a*a*b", "must follow several repeats"),
        (r".*.*=.*", "must follow several repeats"),
        (r"((a{1000}){1000}){1000}", "counts further"),
        ("a?" * 30 + "a" * 30, "choices in a row"),
        ("(a|b)" * 30, "choices in a row"),
        (r"(a)\1", "refers to a group"),
        (r"(?<n>a)\g<n>", "refers to a group"),
        (r"(?~a)", "unusual kind"),
        ("[a", "brackets"),
        ("(a", "brackets"),
        ("a)", "brackets"),
        ("\\", "ends within"),
        ("(" * 3000 + ")" * 3000, "nested too deep|6,000 letters"),
        ("(" * 2000 + ")" * 2000, "nested too deep"),
        ("a" * 5000, "5,000 letters"),
    ],
)
def test_those_that_may_take_for_ever_do_not(pattern: str, why: str) -> None:
    assert re.search(why, why_slow(pattern) or "")


def test_what_may_match_nothing() -> None:
    assert may_be_empty("a*") and may_be_empty("") and may_be_empty("(a|b?)") and may_be_empty("(?=a)")
    assert not may_be_empty("a*b") and not may_be_empty("[]a]+")
