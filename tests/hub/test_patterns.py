"""Patterns of tokenizers: those in use pass, those that may take for ever do not."""

import re
import time
from collections.abc import Iterable

import pytest
from tokenizers import Regex, normalizers

from mann_hf.hub.patterns import MOST_STEPS, Budget, may_be_empty, why_slow

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
    r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+",
    r"[一-龥\u3040-ゟ゠-ヿ]+",
]


@pytest.mark.parametrize("pattern", IN_USE)
def test_those_in_use_pass(pattern: str) -> None:
    assert why_slow(pattern) is None
    assert not may_be_empty(pattern)


@pytest.mark.parametrize(
    "pattern",
    [  # linear, though with repeats and choices within repeats
        r"\d+(?:[.,]\d+)*",
        r"(\w)\1{2,}",
        r"(?:\s*\n)+",
        r"(\p{L}\p{M}*)+",
        r"\p{L}+(?:['’]\p{L}+)*",
        r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?",
        r"(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}",
        r"(a|b)*c",
        r"(a|a)*",  # it never fails once it is in there
        r"(\p{Lu}|\d)*!",
        r"[^\s\p{L}]+(?:\p{L}|\s)*!",
        "(a|b)" * 30,
    ],
)
def test_linear_ones_pass(pattern: str) -> None:
    assert why_slow(pattern) is None
    normalizers.Replace(Regex(pattern), "").normalize_str("aab, 1.2\n" * 500)  # and the tokenizers know them


AROUND, TWO = "several ways to match one text", "several of its repeats without an end"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^(([a-z ])+.)+[A-Z]([a-z])+$", AROUND),
        (r"(a|a)*b", AROUND),
        (r"(?:a|b|ab)*c", AROUND),
        (r"(?:a*)*b", AROUND),
        (r"(\w+\s?)+$", AROUND),
        (r"(\w|\d)+\b", AROUND),
        (r"(?i)(?:k|\x{212A})*x", AROUND),
        (r"(?:[\u0600-\u0700]|[\u0650-\u0800])*x", AROUND),
        (r"([[:alpha:]]|z)*5", AROUND),
        (r"(?:a|a){30}", AROUND),
        (r"(a{1,30}){1,30}b", AROUND),
        (r"((a{1000}){1000}){1000}", AROUND),
        (r"(?>(a|a)*)b", AROUND),
        (r"(?=(a|a)*b)x", AROUND),
        (r"(a+)\1*b", f"{AROUND}|{TWO}"),
        (r"a*a*a*b", TWO),
        (r".*.*=.*", TWO),
        (r"\s+(?!\s*x)", TWO),
        (r"(?:a?){30}a{30}", "counts what may match nothing"),
        ("a?" * 30 + "a" * 30, "4,096 ways"),
        ("(a|a)" * 30 + "b", "4,096 ways"),
        ("(?:|)" * 30 + "$", "4,096 ways"),
        ("|".join(f"word{number}" for number in range(200)), "more than 1,024 letters"),
        (r"\1(a)", "refers to a group"),
        (r"(a)(\1)\2", "refers to a group"),
        (r"(?<n>a)\g<n>", "refers to a group"),
        (r"(?~a)", "unusual kind"),
        (r"(?x) a", "unusual kind"),
        (r"\X", "unusual"),
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


def one_of(signs: Iterable[str]) -> str:
    return f"(?:{'|'.join(signs)})"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (one_of(chr(0x1F600 + number) for number in range(66)) + "+x", None),
        ("|".join(f"[{chr(0x4E00 + 2 * number)}-{chr(0x6E00 + 2 * number)}^]y" for number in range(300)), None),
        ("".join(f"{chr(0x4E00 + 2 * number)}*" for number in range(200)) + "x", None),
        (one_of(chr(0x4E00 + number) for number in range(400)) + "+" * 300, "too many choices"),
        ("(" + "^" * 1000 + ")" + r"\1" * 1000, "too many choices"),
        ("(?:|)" + "*" * 300, "4,096 ways"),
    ],
)
def test_long_ones_are_judged_in_seconds(pattern: str, why: str | None) -> None:
    before = time.process_time()
    found = why_slow(pattern)
    assert time.process_time() - before < 5
    assert found is None if why is None else re.search(why, found or "")


def test_what_may_match_nothing() -> None:
    assert may_be_empty("a*") and may_be_empty("") and may_be_empty("(a|b?)") and may_be_empty("(?=a)")
    assert not may_be_empty("a*b") and not may_be_empty("[]a]+")


def test_many_patterns_share_one_budget() -> None:
    slow = "".join(f"{chr(0x4E00 + 2 * number)}*" for number in range(150)) + "x"  # passes, and takes long
    budget, before = Budget(), time.process_time()
    judged = [why_slow(slow, budget) for _ in range(1000)]
    assert time.process_time() - before < 10
    assert judged[0] is None and "too many" in str(judged[-1])


def test_the_patterns_of_a_tokenizer_take_a_small_part_of_it() -> None:
    budget = Budget()
    for pattern in IN_USE * 10:
        assert why_slow(pattern, budget) is None
    assert budget.left > MOST_STEPS / 2
