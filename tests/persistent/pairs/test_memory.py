import copy
import pickle  # noqa: TID251 a process may send a memory to another
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mann_hf.errors import InvalidInputError, InvalidTypeError, NotInMemoryError
from mann_hf.persistent.pairs import PairEntry, PairKind, PairMemory, encoded, write_pairs
from tests.taught_pairs import (
    E,
    K,
    Pair,
    load_pairs,
    log_probabilities_of,
    marked,
    some_pairs,
    taught,
    token_keys_of,
    tokens_of,
    vector,
)
from tests.taught_pairs import encoded as encoded_pairs

KINDS: tuple[PairKind, ...] = ("token", "example")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr("mann_hf.persistent.pairs.memory.SEGMENT_BYTES", 2000)
    monkeypatch.setattr("mann_hf.persistent.pairs.files.SEGMENT_BYTES", 2000)


def contents(memory: PairMemory) -> list[tuple[PairEntry, list[int]]]:
    return [(entry, memory.tokens_of(number).tolist()) for number, entry in enumerate(memory.entries)]


def is_as(memory: PairMemory, expected: dict[Pair, int]) -> None:
    """Asserts that a memory holds some pairs, so often each, in this order, with the keys that belong to them."""
    assert [(entry.source, entry.target) for entry in memory.entries] == list(expected)
    assert [entry.count for entry in memory.entries] == list(expected.values())
    assert len(memory) == len(expected) == len(memory.ids)
    assert memory.num_tokens == sum(len(tokens_of(target)) for _, target in expected)
    for number, (_, target) in enumerate(expected):
        assert memory.tokens_of(number).tolist() == tokens_of(target)
    segments = memory.segments
    sources = torch.cat([torch.empty(0, E), *(each.source_keys for each in segments)])
    assert torch.equal(sources, torch.cat([torch.empty(0, E), *(vector(source, E)[None] for source, _ in expected)]))
    if memory.kind == "token":
        keys = torch.cat([each.token_keys for each in segments if each.token_keys is not None] or [torch.empty(0, K)])
        wanted = torch.cat([torch.empty(0, K), *(token_keys_of(*pair) for pair in expected)])
        assert torch.equal(keys, wanted.to(memory.key_dtype))
        likely = torch.cat([torch.empty(0), *(each.columns["log_probabilities"] for each in segments)])
        assert torch.equal(likely, torch.cat([torch.empty(0), *(log_probabilities_of(*pair) for pair in expected)]))
    else:
        values = torch.cat([torch.empty(0, K), *(each.values for each in segments if each.values is not None)])
        assert torch.equal(values, torch.cat([torch.empty(0, K), *(vector(target, K)[None] for _, target in expected)]))


@every_kind
def test_what_is_remembered_is_there(kind: PairKind) -> None:
    pairs = [("a source", "ein Ziel"), ("日本 🎉", "ü\u0000"), ("a source", "ein anderes")]
    memory, ids = PairMemory.empty(kind, K, E, torch.float32).remember(encoded_pairs(pairs, kind))
    is_as(memory, dict.fromkeys(pairs, 1))
    assert memory.ids == set(ids) and len(set(ids)) == 3
    assert memory.numbers_of([ids[2], ids[0], ids[2]]) == [2, 0, 2]
    assert memory.pair(1) == PairEntry(ids[1], *pairs[1], 1)
    assert memory.entries[-1].target == "ein anderes" and [*memory.entries[:2]] == [*memory.entries][:2]
    assert memory.texts == {text for pair in pairs for text in pair}
    assert "3 pairs of 24 target tokens" in repr(memory)


@every_kind
@pytest.mark.usefixtures("_small_segments")
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), max_size=12)),
        max_size=12,
    ),
    through_a_file=st.sets(st.integers(0, 11)),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_writes_give_what_a_dictionary_gives(
    kind: PairKind,
    steps: list[tuple[bool, list[Pair]]],
    through_a_file: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    memory = marked(PairMemory.empty(kind, K, E))
    expected: dict[Pair, int] = {}
    ids: dict[Pair, int] = {}
    for number, (writes, pairs) in enumerate(steps):
        before, then = memory, contents(memory)
        if writes:
            memory, found = memory.remember(encoded_pairs(pairs, kind))
            assert all(ids.setdefault(pair, id_) == id_ for pair, id_ in zip(pairs, found, strict=True))
            for pair in pairs:
                expected[pair] = expected.get(pair, 0) + 1
        else:
            held = [pair for pair in pairs if pair in expected]
            memory = memory.forget([ids[pair] for pair in held])
            expected = {pair: count for pair, count in expected.items() if pair not in held}
            memory = memory if len(memory) else marked(memory)
        assert contents(before) == then, "a value does not change"
        if number in through_a_file:
            folder = tmp_path_factory.mktemp("saved")
            write_pairs(memory, folder)
            memory = load_pairs(folder / "memory.safetensors")
            memory = memory if len(memory) else marked(memory)
        is_as(memory, expected)


@every_kind
@pytest.mark.usefixtures("_small_segments")
def test_what_has_forgotten_is_as_if_it_had_never_known(kind: PairKind, tmp_path: Path) -> None:
    kept, gone = some_pairs(40), some_pairs(30, "secret ")
    plain = taught(kept, kind)
    memory = taught([*gone[:15], *kept[:20], *gone[15:], *kept[20:]], kind)
    for some in (gone[:1], gone[1:12], gone[12:]):
        memory = memory.forget(memory.ids - ids_left(memory, [pair for pair in gone if pair not in some]))
    is_as(memory, dict.fromkeys(kept, 1))
    for name, each in (("plain", plain), ("other", memory)):
        (tmp_path / name).mkdir()
        write_pairs(each, tmp_path / name)
    for file in ("memory.safetensors", "memory.json"):
        assert (tmp_path / "other" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
        assert b"secret" not in (tmp_path / "other" / file).read_bytes()


def ids_left(memory: PairMemory, pairs: Sequence[Pair]) -> set[int]:
    """The ids of all pairs whose source is no secret, and of some others."""
    return {
        entry.id
        for entry in memory.entries
        if not str(entry.source).startswith("secret") or (entry.source, entry.target) in pairs
    }


@pytest.mark.usefixtures("_small_segments")
@pytest.mark.parametrize("behind", [0, 20])
def test_nothing_of_the_forgotten_is_left_in_memory(behind: int) -> None:
    memory = taught([*some_pairs(20), ("the secret source", "the secret target"), *some_pairs(behind, "b ")])
    (id_,) = (entry.id for entry in memory.entries if entry.source == "the secret source")
    after = memory.forget([id_])
    key = token_keys_of("the secret source", "the secret target")[3].bfloat16()
    for each, there in ((memory, True), (after, False)):
        letters = b"".join(bytes(segment.texts.untyped_storage()) for segment in each.segments)
        assert (b"secret" in letters) == there
        stored = [
            torch.empty(0, dtype=torch.bfloat16).set_(segment.token_keys.untyped_storage())
            for segment in each.segments
            if segment.token_keys is not None
        ]
        assert any((keys.unfold(0, K, K) == key).all(1).any() for keys in stored) == there


def test_who_has_forgotten_everything_is_as_new() -> None:
    memory = taught(some_pairs(3), key_dtype=torch.float32)
    new = memory.forget(memory.ids)
    assert len(new) == 0 and new.summary == "empty" and new.probe is None and new.tokenizer is None
    assert new.key_dtype == torch.float32 and new.encoder_name is None


def test_texts_that_are_not_stored() -> None:
    pairs = some_pairs(3)
    memory = marked(PairMemory.empty("token", K, E))
    with_texts, ids = memory.remember(encoded_pairs(pairs))
    without, same = memory.remember(encoded_pairs(pairs), store_texts=False)
    assert same == ids, "ids follow from the texts in any case"
    assert without.texts == set() and without.pair(0) == PairEntry(ids[0], None, None, 1)
    by_tokens, others = memory.remember(encoded_pairs(pairs, sources=None, targets=None))
    assert len(set(others)) == 3 and by_tokens.remember(encoded_pairs(pairs, sources=None, targets=None))[1] == others
    assert [entry.count for entry in with_texts.remember(encoded_pairs(pairs[:1]))[0].entries] == [2, 1, 1]


@every_kind
def test_few_segments_are_made(kind: PairKind) -> None:
    memory = PairMemory.empty(kind, K, E)
    for pair in some_pairs(200):
        memory, _ = memory.remember(encoded_pairs([pair], kind))
        assert len(memory.segments) <= 9
    is_as(memory, dict.fromkeys(some_pairs(200), 1))


def test_a_write_leaves_large_segments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mann_hf.persistent.pairs.memory.SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(encoded, "SEGMENT_BYTES", 20_000)
    memory = taught(some_pairs(400))
    assert len(memory.segments) > 3
    later, _ = memory.remember(encoded_pairs(some_pairs(1, "new ")))
    assert all(mine is theirs for mine, theirs in zip(memory.segments[:-1], later.segments, strict=False))
    less = memory.forget([memory.pair(0).id])
    assert all(mine is theirs for mine, theirs in zip(memory.segments[1:], less.segments[1:], strict=True))
    assert memory.same_contents(copy.copy(memory)) and not memory.same_contents(less)


def test_the_callers_tensors_are_not_kept() -> None:
    pairs = encoded_pairs(some_pairs(3))._replace()
    memory, _ = PairMemory.empty("token", K, E, torch.float32).remember(pairs)
    assert pairs.token_keys is not None and memory.segments[0].token_keys is not None
    before = memory.segments[0].token_keys.clone()
    pairs.token_keys.zero_()
    pairs.source_keys.zero_()
    assert torch.equal(memory.segments[0].token_keys, before)


@every_kind
def test_copies_hold_the_same(kind: PairKind, tmp_path: Path) -> None:
    memory = taught(some_pairs(20), kind)
    write_pairs(memory, tmp_path)
    for each in (memory, load_pairs(tmp_path / "memory.safetensors")):
        packed = pickle.dumps(each)
        assert len(packed) < 40_000
        assert contents(pickle.loads(packed)) == contents(copy.deepcopy(each)) == contents(memory)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source_keys": torch.ones(2, E)}, "source_keys are torch.float32 of the shape \\[2, 6\\].*\\[3, 6\\]"),
        ({"source_keys": torch.ones(3, E, dtype=torch.long)}, "source_keys are torch.int64"),
        ({"token_keys": None}, "token_keys are nothing"),
        ({"token_keys": torch.full((33, K), float("nan"))}, "token_keys hold NaN"),
        ({"log_probabilities": None}, "log_probabilities are nothing"),
        ({"log_probabilities": torch.ones(33, 1)}, "log_probabilities are torch.float32 of the shape \\[33, 1\\]"),
        ({"log_probabilities": torch.full((33,), -float("inf"))}, "log_probabilities hold NaN, infinity"),
        ({"values": torch.ones(3, K)}, "values came, which this kind of memory does not have"),
        ({"lengths": torch.tensor([10, 11, 11])}, "the sum 32"),
        ({"lengths": torch.tensor([33, 0, 0])}, "target 1 has no token"),
        ({"tokens": torch.full((33,), -100)}, "is the padding \\(-100\\) left out"),
        ({"tokens": torch.full((33,), 100)}, "a token is 100, and the tokenizer has 100 tokens"),
        ({"sources": ["a"]}, "1 sources came for 3 pairs"),
        ({"sources": ["a", "b", 3]}, "sources hold 3, which is no string"),
        ({"sources": ["a", "b", "\ud800"]}, "cannot be stored"),
        ({"targets": ["a", "b", "\ud800"]}, "cannot be stored"),
        ({"sources": None, "source_tokens": None}, "neither sources nor source_tokens"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes: dict, says: str) -> None:
    memory, pairs = taught(some_pairs(2)), encoded_pairs(some_pairs(3))
    assert len(pairs.tokens) == 33
    with pytest.raises(InvalidInputError, match=says):
        memory.remember(pairs._replace(**changes))
    assert len(memory) == 2


def test_ids_that_are_not_there() -> None:
    memory = taught(some_pairs(3))
    for call in (memory.forget, memory.numbers_of):
        with pytest.raises(NotInMemoryError, match="holds no 5") as told:
            call([memory.pair(0).id, 5])
        assert told.value.missing == [5]
        with pytest.raises(NotInMemoryError):
            call([2**70])
        with pytest.raises(NotInMemoryError):
            call([-1])
        with pytest.raises(InvalidTypeError, match="whole numbers"):
            call(["a text"])
    with pytest.raises(InvalidInputError, match="say what to forget"):
        memory.forget()
    for number in (-1, 3):
        with pytest.raises(InvalidInputError, match=f"no pair {number}"):
            memory.pair(number)
    with pytest.raises(InvalidInputError, match="choose one of 'token', 'example'"):
        PairMemory.empty("both", K, E)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="bfloat16"):
        PairMemory.empty("token", K, E, torch.float16)
