"""Trains a SentencePiece model on texts, and makes of it a tokenizer of transformers."""

import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram
from transformers import PreTrainedTokenizerFast

from ..errors import InvalidInputError, InvalidTypeError, UnknownNameError, import_extra
from ..wording import at_least, listed, shown
from .text import check_texts

PAD, EOS, UNK, BOS = "<pad>", "</s>", "<unk>", "<s>"
SPECIAL = (PAD, EOS, UNK, BOS)
"""Special tokens in the order of their ids, which for the first three is T5's."""
MODEL_TYPES = ("unigram", "bpe")
SPACE = "▁"
"""What stands for a space in pieces."""


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    model_type: str = "unigram",
    lower_case: bool = False,
    byte_fallback: bool = False,
    character_coverage: float = 1.0,
    num_threads: int | None = None,
    advance: Callable[[int], Any] | None = None,
) -> PreTrainedTokenizerFast:
    """A tokenizer whose pieces are those that SentencePiece finds in texts, for models that are trained from scratch.

    It is a fast tokenizer of transformers: `save_pretrained` writes a folder that `AutoTokenizer` loads without
    sentencepiece. It reads a text in Unicode's form NFKC with single spaces, and ends each with `</s>`. Padding is 0,
    the end 1, what is unknown 2 and the beginning, which it puts in front of nothing, 3.

    Sources: [SentencePiece: A simple and language independent subword tokenizer and detokenizer for Neural Text
    Processing](https://arxiv.org/abs/1808.06226); the unigram model is of [Subword
    Regularization](https://arxiv.org/abs/1804.10959), the other of [Neural Machine Translation of Rare Words with
    Subword Units](https://arxiv.org/abs/1508.07909).

    Args:
        texts: read once; those of both languages for a model that translates.
        vocab_size: pieces in all, special ones among them.
        model_type: `"unigram"`, or `"bpe"` (byte-pair encoding).
        lower_case: whether texts are lower-cased, those it is given later, too.
        byte_fallback: whether characters that the texts do not have are spelled by their UTF-8 bytes, which takes 256
            pieces, instead of being unknown.
        character_coverage: the share of all characters that get a piece; less than 1 for writing of many characters.
        num_threads: for training; by default all cores.
        advance: called with the number of texts read, now and then.

    Raises:
        InvalidInputError: no texts, an empty one, or a number of pieces that these texts do not bear.
        InvalidTypeError: something that is no text.
        UnknownNameError: another `model_type`.
        MissingExtraError: sentencepiece is not installed.
    """
    if model_type not in MODEL_TYPES:
        raise UnknownNameError("model_type", model_type, list(MODEL_TYPES))
    vocab_size = at_least("vocab_size", vocab_size, len(SPECIAL) + 1)
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InvalidTypeError(f"texts are {shown(texts, 40)} (of type {type(texts).__name__}); give a list of texts.")
    if not 0.9 <= character_coverage <= 1:
        raise InvalidInputError(f"character_coverage is {shown(character_coverage)}; give a share from 0.9 to 1.")
    sentencepiece = import_extra("sentencepiece", "training a tokenizer", "train")
    normalizer, written = _normalizer(lower_case), io.BytesIO()
    given = _Counted(texts, normalizer, advance)
    options: dict[str, Any] = {} if num_threads is None else {"num_threads": at_least("num_threads", num_threads)}
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(given),
            model_writer=written,
            vocab_size=vocab_size,
            model_type=model_type,
            normalization_rule_name="identity",  # done here, by what the tokenizer will do
            byte_fallback=byte_fallback,
            character_coverage=character_coverage,
            max_sentence_length=2**20,
            minloglevel=2,
            **{f"{name}_id": place for place, name in enumerate(("pad", "eos", "unk", "bos"))},
            **{f"{name}_piece": piece for name, piece in zip(("pad", "eos", "unk", "bos"), SPECIAL, strict=True)},
            **options,
        )
    except (RuntimeError, OSError, ValueError) as error:
        if given.error is not None:
            raise given.error from None
        if isinstance(error, InvalidInputError):
            raise
        raise _in_words(error, vocab_size, given.count) from error
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    return _fast(model, normalizer, model_type, byte_fallback)


class _Counted:
    """Texts in the form in which pieces are sought. SentencePiece loses what an iterator raises, so it is kept here."""

    def __init__(self, texts: Iterable[str], normalizer: Any, advance: Callable[[int], Any] | None) -> None:
        self.texts, self.normalizer, self.advance = texts, normalizer, advance
        self.count = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self.texts:
                (checked,) = check_texts([text], self.count)
                self.count += 1
                if self.advance is not None:
                    self.advance(1)
                yield self.normalizer.normalize_str(checked)
        except Exception as error:
            self.error = error
            raise


def _normalizer(lower_case: bool) -> Any:
    steps = [normalizers.NFKC(), *([normalizers.Lowercase()] if lower_case else [])]
    return normalizers.Sequence([*steps, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])


def _fast(model: Any, normalizer: Any, model_type: str, byte_fallback: bool) -> PreTrainedTokenizerFast:
    """The tokenizer of transformers that gives a text the pieces of a SentencePiece model."""
    pieces = [(model.id_to_piece(place), model.get_score(place)) for place in range(model.get_piece_size())]
    if model_type == "unigram":
        inner = Tokenizer(Unigram(pieces, unk_id=SPECIAL.index(UNK), byte_fallback=byte_fallback))
    else:
        vocabulary = {piece: place for place, (piece, _) in enumerate(pieces)}
        merges = list(_merges(vocabulary))
        inner = Tokenizer(BPE(vocabulary, merges, unk_token=UNK, fuse_unk=True, byte_fallback=byte_fallback))
    inner.normalizer = normalizer
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    spaces = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), spaces]) if byte_fallback else spaces
    inner.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, SPECIAL.index(EOS))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, eos_token=EOS, unk_token=UNK, bos_token=BOS)


def _merges(vocabulary: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The pairs of pieces that make each piece, in the order in which pieces were found."""
    for piece in vocabulary:
        if piece not in SPECIAL:
            halves = [(piece[:place], piece[place:]) for place in range(1, len(piece))]
            yield from sorted(
                (pair for pair in halves if pair[0] in vocabulary and pair[1] in vocabulary),
                key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]),
            )


def _in_words(error: Exception, vocab_size: int, count: int) -> InvalidInputError:
    """What is wrong with texts or sizes, where SentencePiece names a line of its own code."""
    said = str(error)
    if not count:
        return InvalidInputError("there is no text to train a tokenizer on.")
    if most := re.search(r"value <= (\d+)", said):
        return InvalidInputError(
            f"vocab_size is {vocab_size:,}, and these texts have pieces for {int(most[1]):,} at most: give fewer, or "
            "more text."
        )
    if least := re.search(r"smaller than required_chars.*?(\d+) vs (\d+)", said):
        return InvalidInputError(
            f"vocab_size is {vocab_size:,}, and the characters of these texts and the special tokens alone are "
            f"{max(map(int, least.groups())):,}: give more, or a character_coverage below 1."
        )
    return InvalidInputError(f"sentencepiece cannot learn from these texts: {listed(said.splitlines()[-1:])}")
