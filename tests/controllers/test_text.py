"""Texts on their way to the encoder: refused in words, tokenized as the tokenizer would, batched at the least cost."""

import itertools
from collections import Counter, UserDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from mann_hf.controllers.text import BATCH_COST, MAX_TOKENS, check_texts, pad, token_batches, tokenize
from mann_hf.errors import InvalidInputError, InvalidTypeError

TEXTS = ["my card", "why was the new payment not on the account", "i", "lost money, please help!"]


class WrappedTokenizer(PreTrainedTokenizerFast):
    """A fast tokenizer that does something to texts outside its Rust half."""

    def _encode_plus(self, text: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super()._encode_plus([f"please {one}" for one in text], **kwargs)


def give_types(tokenizer: Any) -> None:
    """Lets a tokenizer give token types that are not all zero, and pad with another token than its first."""
    tokenizer.pad_token = "[MASK]"
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:2 $A:1 [SEP]:0", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )


@pytest.fixture(params=["fast", "typed", "wrapped", "python"])
def any_tokenizer(request: pytest.FixtureRequest, tiny_tokenizer: Any) -> Any:
    """A tokenizer of each kind: fast, fast with token types or code of its own around it, and one in Python alone."""
    if request.param == "python":
        return ByT5Tokenizer()
    if request.param == "typed":
        give_types(tiny_tokenizer)
    if request.param == "wrapped":
        tiny_tokenizer.__class__ = WrappedTokenizer
    return tiny_tokenizer


# check_texts


def test_one_text_is_a_list_of_one():
    assert check_texts("my card") == ["my card"]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_texts_come_in_any_collection(kind):
    assert check_texts(kind(["my card", " i\n"])) == ["my card", " i\n"]
    assert check_texts([]) == []


@pytest.mark.parametrize("texts", [None, 12, b"my card", {"text": "my card"}, UserDict(text="i"), iter(["my card"])])
def test_what_is_no_collection_of_texts_is_refused(texts):
    with pytest.raises(InvalidTypeError, match="a string or a list of strings"):
        check_texts(texts)


@pytest.mark.parametrize("wrong", [None, 12, b"i", ["i"], float("nan")])
def test_what_is_no_text_is_refused_with_its_position(wrong):
    with pytest.raises(InvalidTypeError, match="text 1 .* not a string"):
        check_texts(["my card", wrong, "i"])


@pytest.mark.parametrize(
    "wrong, word", [("", "empty"), (" \t\n", "blank"), ("\u00a0\u3000", "blank"), ("\ud83d", "surrogate")]
)
def test_a_text_that_says_nothing_is_refused_with_its_position(wrong, word):
    with pytest.raises(InvalidInputError, match=f"text 2 .* {word}"):
        check_texts(["my card", "i", wrong])


# tokenize


@pytest.mark.parametrize("max_length", [None, 64, 8])
@pytest.mark.parametrize("prompt", ["", "my "])
def test_tokens_are_those_of_the_tokenizer(any_tokenizer: Any, max_length: int | None, prompt: str):
    texts = [prompt + text for text in TEXTS]
    expected = any_tokenizer(texts, truncation=max_length is not None, max_length=max_length)
    encodings = tokenize(any_tokenizer, TEXTS, max_length=max_length, prompt=prompt)
    assert [encoding["input_ids"] for encoding in encodings] == expected["input_ids"]
    if "token_type_ids" in expected:
        assert [encoding["token_type_ids"] for encoding in encodings] == expected["token_type_ids"]
    assert {name for encoding in encodings for name in encoding} == {*expected} - {"attention_mask"}


def test_token_types_are_kept_as_the_tokenizer_gives_them(tiny_tokenizer: Any):
    give_types(tiny_tokenizer)
    assert tokenize(tiny_tokenizer, ["my card"], max_length=8)[0]["token_type_ids"] == [2, 1, 1, 0]


def test_settings_that_a_call_left_in_the_tokenizer_do_not_matter(tiny_tokenizer: Any):
    expected = tokenize(tiny_tokenizer, TEXTS, max_length=None)
    tiny_tokenizer(TEXTS, truncation=True, max_length=4, padding="max_length")
    assert tokenize(tiny_tokenizer, TEXTS, max_length=None) == expected
    tiny_tokenizer(TEXTS, split_special_tokens=True)
    assert tokenize(tiny_tokenizer, ["[MASK]"], max_length=9) == tokenize(tiny_tokenizer, ["[MASK]"], max_length=None)
    assert len(tokenize(tiny_tokenizer, ["[MASK]"], max_length=9)[0]["input_ids"]) == 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation_keeps_the_side_of_the_tokenizer(any_tokenizer: Any, side: str):
    any_tokenizer.truncation_side = side
    expected = any_tokenizer(TEXTS, truncation=True, max_length=6)["input_ids"]
    assert [encoding["input_ids"] for encoding in tokenize(any_tokenizer, TEXTS, max_length=6)] == expected


def test_texts_over_the_length_are_truncated_with_one_warning(any_tokenizer: Any, warnings: list[str]):
    lengths = [len(encoding["input_ids"]) for encoding in tokenize(any_tokenizer, TEXTS, max_length=None)]
    limit = sorted(lengths)[1]
    encodings = tokenize(any_tokenizer, TEXTS, max_length=limit)
    assert [len(encoding["input_ids"]) for encoding in encodings] == [min(length, limit) for length in lengths]
    assert len(warnings) == 1
    assert f"2 of 4 texts are longer than the {limit} tokens" in warnings[0]
    assert f"the longest has {max(lengths)})" in warnings[0]


def test_a_text_of_just_the_length_is_no_reason_to_warn(any_tokenizer: Any, warnings: list[str]):
    longest = max(len(encoding["input_ids"]) for encoding in tokenize(any_tokenizer, TEXTS, max_length=None))
    tokenize(any_tokenizer, TEXTS, max_length=longest)
    assert not warnings


def test_a_limit_without_room_for_a_token_is_refused(tiny_tokenizer: Any):
    assert tokenize(tiny_tokenizer, ["my card"], max_length=3) == tokenize(tiny_tokenizer, ["my"], max_length=None)
    with pytest.raises(InvalidInputError, match="give at least 3"):
        tokenize(tiny_tokenizer, ["my card"], max_length=2)


def test_a_prompt_without_room_for_a_token_behind_it_is_refused(any_tokenizer: Any):
    prompt = "card card card card "
    taken = len(any_tokenizer([prompt])["input_ids"][0])
    ask: dict[str, Any] = {"max_length": taken, "prompt": prompt}
    with pytest.raises(InvalidInputError, match=f"no room for text: it has {taken} tokens.* reads {taken}"):
        tokenize(any_tokenizer, ["help", "my order"], **ask)
    (short,) = tokenize(any_tokenizer, ["help"], **ask | {"max_length": taken + 1})
    assert len(short["input_ids"]) == taken + 1
    any_tokenizer.truncation_side = "left"
    (end,) = tokenize(any_tokenizer, ["my order"], **ask)
    assert end["input_ids"][-3:] == any_tokenizer(["my order"])["input_ids"][0][-3:]


def test_a_tokenizer_that_knows_no_limit_sets_none(tiny_tokenizer: Any):
    assert tokenize(tiny_tokenizer, TEXTS, max_length=int(1e30)) == tokenize(tiny_tokenizer, TEXTS, max_length=None)


def test_no_texts_give_no_encodings(any_tokenizer: Any):
    assert tokenize(any_tokenizer, [], max_length=8) == []


def test_threads_with_other_lengths_do_not_disturb_each_other(tiny_tokenizer: Any):
    limits = [None, *range(3, 12)] * 20
    expected = {limit: tokenize(tiny_tokenizer, TEXTS * 20, max_length=limit) for limit in set(limits)}
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda limit: tokenize(tiny_tokenizer, TEXTS * 20, max_length=limit), limits))
    assert all(result == expected[limit] for limit, result in zip(limits, results, strict=True))


# token_batches


def cost_of(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(BATCH_COST + len(batch) * max(lengths[position] for position in batch) for batch in batches)


@given(
    st.lists(st.integers(1, 300), max_size=60),
    st.one_of(st.none(), st.integers(1, 20)),
    st.one_of(st.integers(1, 400), st.just(MAX_TOKENS)),
)
def test_every_text_is_in_one_batch_and_batches_keep_their_bounds(lengths, batch_size, max_tokens):
    batches = token_batches(lengths, batch_size=batch_size, max_tokens=max_tokens)
    flat = [position for batch in batches for position in batch]
    assert Counter(flat) == Counter(range(len(lengths)))
    assert all(isinstance(position, int) for position in flat)
    assert [lengths[position] for position in flat] == sorted(lengths, reverse=True)
    for number, batch in enumerate(batches):
        if batch_size is not None:
            assert len(batch) == batch_size or (number == len(batches) - 1 and 0 < len(batch) < batch_size)
        else:
            assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= max_tokens


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_no_other_cuts_cost_less(lengths):
    ordered = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    every_cost = [
        cost_of([ordered[a:b] for a, b in itertools.pairwise([0, *cuts, len(ordered)])], lengths)
        for size in range(len(lengths))
        for cuts in itertools.combinations(range(1, len(lengths)), size)
    ]
    assert cost_of(token_batches(lengths, max_tokens=10**6), lengths) == min(every_cost)


def test_texts_of_like_length_share_batches_and_long_ones_do_not_widen_short_ones():
    lengths = [10] * 50 + [200] * 4
    assert [sorted(batch) for batch in token_batches(lengths)] == [list(range(50, 54)), list(range(50))]


def test_a_group_over_the_bound_is_cut_evenly():
    assert [len(batch) for batch in token_batches([10] * 21, max_tokens=200)] == [11, 10]


def test_the_bound_on_batches_counts_among_the_costs():
    lengths = [9] * 5 + [8] * 11  # all in one group would be cut anyway, into 8 texts and 8
    assert [len(batch) for batch in token_batches(lengths, max_tokens=100)] == [5, 11]


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": -1}, {"max_tokens": 0}, {"batch_size": "8"}, {"batch_size": 2.0}]
)
def test_sizes_must_be_positive_whole_numbers(wrong):
    with pytest.raises(InvalidInputError, match="give a whole number from 1 on"):
        token_batches([1, 2], **wrong)


# pad


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("indices", [[0, 1, 2, 3], [3, 0], [2]])
def test_padding_is_that_of_the_tokenizer_but_always_behind_the_text(any_tokenizer: Any, side: str, indices: list[int]):
    any_tokenizer.padding_side = side
    encodings = tokenize(any_tokenizer, TEXTS, max_length=None)
    padded = pad(any_tokenizer, encodings, indices)
    assert any_tokenizer.padding_side == side
    any_tokenizer.padding_side = "right"
    expected = any_tokenizer.pad([encodings[index] for index in indices], return_tensors="pt")
    assert padded.keys() == expected.keys()
    for name, tensor in padded.items():
        assert tensor.dtype == torch.long
        assert torch.equal(tensor, expected[name])


def test_a_tokenizer_without_padding_still_pads(tiny_tokenizer: Any):
    tiny_tokenizer.pad_token = None
    encodings = tokenize(tiny_tokenizer, TEXTS, max_length=None)
    assert pad(tiny_tokenizer, encodings, [0, 1])["attention_mask"].sum(1).tolist() == [
        len(encoding["input_ids"]) for encoding in encodings[:2]
    ]


def test_nothing_to_pad_gives_empty_tensors(tiny_tokenizer: Any):
    assert {name: list(tensor.shape) for name, tensor in pad(tiny_tokenizer, [], []).items()} == {
        "attention_mask": [0, 0],
        "input_ids": [0, 0],
    }
