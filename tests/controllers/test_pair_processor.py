"""Sources and targets on their way to an encoder-decoder: refused in words, cut, ended, padded, and read back."""

from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mann_hf.controllers.pair_processor import PairProcessor
from mann_hf.controllers.tokenizer_identity import tokenizer_identity
from mann_hf.errors import InvalidInputError, InvalidTypeError
from tests.tiny_seq2seq import word_tokenizer

WORDS = ["the", "dog", "sees", "a", "cat", "der", "hund", "sieht", "die", "katze", "translate", ":"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


class OfTwoLanguages(PreTrainedTokenizerFast):
    """A tokenizer that begins a target with a token of its own, as those of translation models do."""

    def _switch_to_target_mode(self) -> None:
        self._template("<s> $A </s>")

    def _switch_to_input_mode(self) -> None:
        self._template("$A </s>")

    def _template(self, single: str) -> None:
        self.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[("<s>", 1), ("</s>", 2)]
        )


def tokenizer_of(words: list[str] = WORDS, *, ends: bool = True, kind: Any = PreTrainedTokenizerFast) -> Any:
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *words])}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return kind(tokenizer_object=inner, **names)


def test_pairs_are_padded_behind_and_labels_with_what_no_loss_counts() -> None:
    processor = PairProcessor(tokenizer_of())
    sources, targets = ["the dog", "a cat sees the dog"], ["der hund sieht", "die"]
    encodings, ids = processor.encode(processor.check(sources)), processor.encode_targets(targets)
    batch = processor.collate_pairs(encodings, ids, [0, 1])
    assert batch["input_ids"].tolist() == [[4, 5, 2, 0, 0, 0], [7, 8, 6, 4, 5, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert batch["labels"].tolist() == [[9, 10, 11, 2], [12, 2, -100, -100]]
    assert processor.decode(batch["labels"]) == targets
    assert processor.collate_pairs(encodings, ids, [1])["labels"].tolist() == [[12, 2]]


@pytest.mark.parametrize("ends", [True, False])
def test_a_target_ends_however_it_is_cut(ends: bool, told: Any) -> None:
    processor = PairProcessor(tokenizer_of(ends=ends), max_target_length=3)
    assert processor.encode_targets(["der", "der hund", "der hund sieht die katze"]) == [
        [9, 2],
        [9, 10, 2],
        [9, 10, 2],
    ]
    assert sum("a target may have" in line for line in told()) == 1


def test_sources_are_cut_with_one_warning_and_begin_with_the_prefix(told: Any) -> None:
    processor = PairProcessor(tokenizer_of(), max_source_length=5, source_prefix="translate : ")
    encodings = processor.encode(["the dog", "the dog sees a cat", "a cat sees the dog"])
    assert [one["input_ids"] for one in encodings] == [[14, 15, 4, 5, 2]] * 2 + [[14, 15, 7, 8, 2]]
    assert sum("truncated" in line for line in told()) == 1


def test_targets_are_read_as_the_target_language() -> None:
    processor = PairProcessor(tokenizer_of(kind=OfTwoLanguages))
    assert processor.encode(["der hund"])[0]["input_ids"] == [9, 10, 2]
    assert processor.encode_targets(["der hund"]) == [[1, 9, 10, 2]]
    assert processor.encode(["der hund"])[0]["input_ids"] == [9, 10, 2], "the tokenizer was left in the other mode"


def test_the_end_is_the_models_the_tokenizers_or_its_separator(tiny_tokenizer: Any) -> None:
    assert PairProcessor(tokenizer_of(), eos_token_id=1).encode_targets(["der"]) == [[9, 2, 1]]
    assert PairProcessor(tiny_tokenizer).encode_targets(["my"])[0][-1] == tiny_tokenizer.sep_token_id
    tiny_tokenizer.sep_token = None
    with pytest.raises(InvalidInputError, match="no end|has an end"):
        PairProcessor(tiny_tokenizer).encode_targets(["my"])


@pytest.mark.parametrize(
    ("targets", "error", "words"),
    [
        (["a", "b"], InvalidInputError, "1 source and 2 targets"),
        ([], InvalidInputError, "1 source and 0 targets"),
        ([" "], InvalidInputError, "target 0 .* blank"),
        ([""], InvalidInputError, "target 0 .* empty"),
        ([3], InvalidTypeError, "target 0 .* not a string"),
        ({"a"}, InvalidTypeError, "targets are a set"),
        (None, InvalidTypeError, "targets must be"),
    ],
)
def test_targets_that_cannot_be_used_are_refused_in_words(targets: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        PairProcessor(tokenizer_of()).check_targets(targets, 1)


def test_sources_that_cannot_be_used_are_refused_in_words() -> None:
    processor = PairProcessor(tokenizer_of())
    with pytest.raises(InvalidInputError, match="source 1 .* blank"):
        processor.check(["the dog", "\t"])
    with pytest.raises(InvalidInputError, match="source 8 .* empty"):
        processor.check_part(["the dog", ""], 7)


def test_batches_hold_every_pair_once_and_count_targets() -> None:
    processor = PairProcessor(tokenizer_of())
    encodings = processor.encode(["the dog", "the dog", "the dog sees a cat"])
    targets = processor.encode_targets(["die", "die katze sieht der hund", "die"])
    assert sorted(row for batch in processor.batches(encodings, targets=targets) for row in batch) == [0, 1, 2]
    assert processor.batches(encodings, 1, targets) == [[1], [2], [0]]
    assert processor.batches(encodings, 1) == [[2], [0], [1]]


def test_what_a_decoder_said_is_read_back() -> None:
    processor = PairProcessor(tokenizer_of())
    assert processor.decode(torch.tensor([[0, 9, 10, 2, 0]])) == ["der hund"]
    assert processor.decode([[9], [10, 2]]) == ["der", "hund"]
    assert (processor.decode_token(9), processor.decode_token(2)) == ("der", "</s>")


def test_tokenizers_are_told_apart_by_what_their_ids_mean() -> None:
    one = tokenizer_identity(tokenizer_of())
    padded = tokenizer_of()
    padded.model_max_length, padded.padding_side = 12, "left"
    assert one == tokenizer_identity(padded) and one.size == len(SPECIAL) + len(WORDS)
    other_order, more, other_end = tokenizer_of(WORDS[::-1]), tokenizer_of(), tokenizer_of()
    more.add_tokens(["vogel"])
    other_end.eos_token = "<s>"
    for other in (other_order, more, other_end):
        assert one.digest != tokenizer_identity(other).digest


def test_the_processor_keeps_the_identity_of_its_tokenizer() -> None:
    tokenizer = tokenizer_of()
    assert PairProcessor(tokenizer).identity == tokenizer_identity(tokenizer)
    assert PairProcessor(tokenizer).words is None


def test_the_end_of_a_sequence_amid_a_target_is_refused() -> None:
    processor = PairProcessor(word_tokenizer())
    for target in ("der </s> hund", "</s> der hund", "</s>"):
        with pytest.raises(InvalidInputError, match="'</s>', with which an answer ends"):
            processor.encode_targets(["der hund", target])


def test_what_cannot_be_spelled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    processor = PairProcessor(word_tokenizer())
    transformers.utils.logging.enable_propagation()
    with caplog.at_level("WARNING"):
        processor.encode_targets(["der hund"])
        assert not caplog.messages
        processor.encode_targets(["der hund", "der zebra", "ein yak"])
    transformers.utils.logging.disable_propagation()
    assert "cannot spell all of 2 targets, such as 'der zebra'" in caplog.text


@pytest.mark.parametrize("kind", [PreTrainedTokenizerFast, OfTwoLanguages])
def test_special_tokens_in_targets_are_refused_or_told(kind: Any, told: Any) -> None:
    tokenizer = tokenizer_of([*WORDS, "<to>", "<mask>"], kind=kind)
    tokenizer.add_special_tokens({"mask_token": "<mask>", "extra_special_tokens": ["<to>"]})
    processor = PairProcessor(tokenizer)
    processor.encode_targets(["der hund", "die katze"])
    assert not told()
    for target, words in (("der <pad> hund", "'<pad>', the tokenizer's mark of padding"), ("<s> der", "beginning")):
        with pytest.raises(InvalidInputError, match=words):
            processor.encode_targets(["die", target])
    ids = processor.encode_targets(["<to> der hund", "die <mask>"])
    assert [len(each) for each in ids] == [4 + (kind is OfTwoLanguages), 3 + (kind is OfTwoLanguages)]
    assert "special tokens stand in 2 targets, such as '<to>' in '<to> der hund'" in told()[0]
    assert processor.decode(ids) == ["der hund", "die"]
