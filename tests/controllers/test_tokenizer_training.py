"""A tokenizer trained on texts: it gives SentencePiece's pieces, loads as a fast one, and refuses in words."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import AutoTokenizer, T5Config

import mann_hf
from mann_hf.controllers.pair_processor import PairProcessor
from mann_hf.controllers.tokenizer_training import train_tokenizer
from mann_hf.errors import InvalidInputError, InvalidTypeError, MissingExtraError, UnknownNameError
from mann_hf.hub.tokenizers import load_tokenizer

NOUNS = ["Hund", "Katze", "Vogel", "Pferd", "Kuh", "Haus", "Garten", "Straße", "Brücke", "Bäcker"]
VERBS = ["sieht", "hört", "jagt", "liebt", "malt", "sucht"]
TEXTS = [f"der {one} {verb} die {other}." for one in NOUNS for other in NOUNS for verb in VERBS]
NEW = ["die Katze liebt den Bäcker", "Vögel  hören\tPferde .", "Haus"]
KINDS = ("unigram", "bpe")
SIZE = 48
every = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest) -> Any:
    return train_tokenizer(TEXTS, SIZE, model_type=request.param, num_threads=1)


def test_texts_come_back_and_end(trained: Any) -> None:
    for text in TEXTS[:20]:
        ids = trained(text).input_ids
        assert ids[-1] == trained.eos_token_id and trained.unk_token_id not in ids
        assert trained.decode(ids, skip_special_tokens=True) == text
    assert len(trained) == SIZE


def test_special_tokens_stand_where_t5_has_them(trained: Any) -> None:
    config = T5Config()
    assert (trained.pad_token_id, trained.eos_token_id) == (config.pad_token_id, config.eos_token_id) == (0, 1)
    assert (trained.unk_token_id, trained.bos_token_id) == (2, 3)
    assert trained("Hund", "Katze").input_ids.count(1) == 2


@every
def test_its_pieces_are_those_of_sentencepiece(kind: str) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=written, vocab_size=SIZE, model_type=kind, character_coverage=1.0,
        pad_id=0, eos_id=1, unk_id=2, bos_id=3, minloglevel=2, num_threads=1,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    ours = train_tokenizer(TEXTS, SIZE, model_type=kind, num_threads=1)
    assert ours.get_vocab() == {model.id_to_piece(place): place for place in range(SIZE)}
    for text in [*TEXTS[:50], *NEW]:
        assert ours(text).input_ids[:-1] == model.encode(text), text


def test_a_folder_loads_as_a_fast_tokenizer_that_does_the_same(trained: Any, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path / "alone")
    T5Config().save_pretrained(tmp_path / "with-model")
    trained.save_pretrained(tmp_path / "with-model")
    for folder in ("alone", "with-model"):
        for load in (AutoTokenizer.from_pretrained, load_tokenizer):
            loaded: Any = load(tmp_path / folder)
            assert loaded.is_fast and len(loaded) == len(trained)
            for text in [*TEXTS[:20], *NEW]:
                assert loaded(text).input_ids == trained(text).input_ids
                assert loaded.decode(loaded(text).input_ids) == trained.decode(trained(text).input_ids)


def test_lower_case_and_bytes() -> None:
    lower = train_tokenizer(TEXTS, SIZE, lower_case=True, num_threads=1)
    assert lower("DER HUND").input_ids == lower("der hund").input_ids
    assert not any(piece != piece.lower() for piece in lower.get_vocab())
    spelled = train_tokenizer(TEXTS, SIZE + 256, byte_fallback=True, num_threads=1)
    assert spelled.unk_token_id not in spelled("der 犬 sieht").input_ids
    assert spelled.decode(spelled("der 犬 sieht").input_ids, skip_special_tokens=True) == "der 犬 sieht"
    plain = train_tokenizer(TEXTS, SIZE, num_threads=1)
    assert plain.unk_token_id in plain("der 犬 sieht").input_ids


def test_the_processor_of_pairs_takes_it(trained: Any) -> None:
    processor = PairProcessor(trained)
    (target,) = processor.encode_targets(["die Katze."])
    assert target[-1] == 1 and processor.decode([target]) == ["die Katze."]


def test_texts_are_read_once_and_counted() -> None:
    done: list[int] = []

    def stream() -> Iterator[str]:
        yield from TEXTS

    assert len(mann_hf.train_tokenizer(stream(), SIZE, advance=done.append, num_threads=1)) == SIZE
    assert sum(done) == len(TEXTS)


@pytest.mark.parametrize(
    ("texts", "size", "options", "error", "words"),
    [
        ([], SIZE, {}, InvalidInputError, "no text"),
        (TEXTS, 5000, {}, InvalidInputError, r"vocab_size is 5,000, and these texts have pieces for \d+ at most"),
        (TEXTS, 10, {}, InvalidInputError, "give more"),
        (TEXTS, 4, {}, InvalidInputError, "vocab_size is 4"),
        (["der Hund", " "], SIZE, {}, InvalidInputError, "text 1 .* blank"),
        (["der Hund", 3], SIZE, {}, InvalidTypeError, "text 1 .* not a string"),
        ("der Hund", SIZE, {}, InvalidTypeError, "give a list of texts"),
        (None, SIZE, {}, InvalidTypeError, "give a list of texts"),
        (TEXTS, SIZE, {"model_type": "word"}, UnknownNameError, "'unigram', 'bpe'"),
        (TEXTS, SIZE, {"character_coverage": 2}, InvalidInputError, "character_coverage"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_words(
    texts: Any, size: int, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train_tokenizer(texts, size, num_threads=1, **options)


def test_an_error_of_the_texts_themselves_comes_through() -> None:
    def broken() -> Iterator[str]:
        yield "der Hund"
        raise KeyError("the file ends here")

    with pytest.raises(KeyError, match="the file ends here"):
        train_tokenizer(broken(), SIZE, num_threads=1)


def test_without_sentencepiece_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"mann_hf\[train\]"):
        train_tokenizer(TEXTS, SIZE)
