import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from mann_hf.errors import EncoderMismatchError, MemoryFileError
from mann_hf.persistent.pairs import PairKind, PairMemory, PairSearch, write_pairs
from mann_hf.persistent.pairs.written_columns import Column, write_columns
from tests.taught_pairs import E, K, encoded, load_pairs, marked, some_pairs, taught

FILE, READABLE = "memory.safetensors", "memory.json"
KINDS: tuple[PairKind, ...] = ("token", "example")
METADATA = {"format": "mann_hf.pairs/1"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key_dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("segment_bytes", [700, 2**24])
def test_a_memory_comes_back_bit_for_bit(
    kind: PairKind, key_dtype: torch.dtype, segment_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "encoded", "files"):
        monkeypatch.setattr(f"mann_hf.persistent.pairs.{module}.SEGMENT_BYTES", segment_bytes)
    memory = taught(some_pairs(30), kind, key_dtype=key_dtype)
    memory, _ = memory.remember(encoded([*some_pairs(2), ("日本 🎉", "ü\u0000")], kind))
    memory, _ = memory.remember(encoded(some_pairs(2, "without "), kind), store_texts=False)
    write_pairs(memory, tmp_path)
    again = load_pairs(tmp_path / FILE)
    assert [*again.entries] == [*memory.entries] and again.num_tokens == memory.num_tokens
    assert (len(again.segments) > 3) == (segment_bytes == 700)
    for field in ("kind", "key_size", "source_size", "key_dtype", "tokenizer", "encoder_name"):
        assert getattr(again, field) == getattr(memory, field), field
    assert memory.probe is not None and again.probe is not None and torch.equal(again.probe, memory.probe)
    (tmp_path / "again").mkdir()
    write_pairs(again, tmp_path / "again")
    for name in (FILE, READABLE):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_memory_comes_back(kind: PairKind, tmp_path: Path) -> None:
    write_pairs(PairMemory.empty(kind, K, E, torch.float32), tmp_path)
    again = load_pairs(tmp_path / FILE)
    assert len(again) == again.num_tokens == 0 and again.key_dtype == torch.float32
    assert again.probe is None and again.tokenizer is None and again.kind == kind
    assert again.remember(encoded(some_pairs(2), kind))[0].numbers_of([]) == []


def test_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    columns = [
        Column("a", torch.int64, (3, 2), [torch.arange(4).reshape(2, 2), torch.arange(2).reshape(1, 2)]),
        Column("b", torch.bfloat16, (0, 5), []),
        Column("c", torch.bfloat16, (2,), [torch.tensor([0.5, 2.0]).bfloat16()]),
        Column("d", torch.uint8, (1,), [torch.tensor([7], dtype=torch.uint8)]),
    ]
    write_columns(tmp_path / "file", columns, METADATA)
    read = load_file(tmp_path / "file")
    assert read["a"].tolist() == [[0, 1], [2, 3], [0, 1]] and read["b"].shape == (0, 5)
    assert read["c"].tolist() == [0.5, 2.0] and read["d"].tolist() == [7]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ValueError, match="d has 1 bytes"):
        write_columns(tmp_path / "file", [columns[3]._replace(shape=(2,))], METADATA)
    assert load_file(tmp_path / "file").keys() == read.keys(), "the old file stays"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_readable_copy_shows_the_first_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mann_hf.persistent.pairs.files.READABLE_PAIRS", 3)
    memory = taught(some_pairs(5))
    write_pairs(memory, tmp_path)
    told = json.loads((tmp_path / READABLE).read_text(encoding="utf-8"))
    assert told["pairs"] == 5 and told["tokens"] == memory.num_tokens and told["kind"] == "token"
    assert told["tokenizer"]["name"] == "someone/tokens" and told["encoder"]["name"] == "someone/model"
    assert told["encoder"]["fingerprint"].startswith("+0.00 +1.00")
    assert told["entries"] == [entry._asdict() for entry in memory.entries[:3]]
    (tmp_path / READABLE).write_text("nonsense")
    assert len(load_pairs(tmp_path / FILE)) == 5


def test_a_file_is_mapped_and_survives_the_next_save(tmp_path: Path) -> None:
    """Keys are not read before they are asked for, and those that are mapped stay as they were."""
    write_pairs(taught(some_pairs(30)), tmp_path)
    loaded = load_pairs(tmp_path / FILE)
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(tmp_path / FILE) in maps.read_text()
    before = [*loaded.entries], PairSearch.of(loaded).source_keys.clone()
    write_pairs(taught(some_pairs(40, "other ")), tmp_path)
    assert [*loaded.entries] == before[0] and torch.equal(PairSearch.of(loaded).source_keys, before[1])
    write_pairs(loaded, tmp_path)  # also over the file that it had mapped
    assert [*load_pairs(tmp_path / FILE).entries] == before[0]


def test_nothing_of_a_loaded_memory_reaches_its_file(tmp_path: Path) -> None:
    write_pairs(taught(some_pairs(30)), tmp_path)
    content = (tmp_path / FILE).read_bytes()
    loaded = load_pairs(tmp_path / FILE)
    loaded.segments[0].source_keys.fill_(0)  # a private page is changed
    assert (tmp_path / FILE).read_bytes() == content


def test_the_encoder_is_asked_for_first(tmp_path: Path) -> None:
    write_pairs(taught(some_pairs(3)), tmp_path)

    def refuse(name: str | None, key_size: int) -> None:
        assert (name, key_size) == ("someone/model", K)
        raise EncoderMismatchError("not mine", "a", "b")

    with pytest.raises(EncoderMismatchError, match="not mine"):
        load_pairs(tmp_path / FILE, refuse)


def whole(folder: Path) -> bytes:
    write_pairs(taught(some_pairs(12)), folder)
    return (folder / FILE).read_bytes()


@pytest.mark.parametrize(
    "hurt",
    [
        lambda whole: b"",
        lambda whole: whole[:8],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + b"more",
        lambda whole: bytes(4096),
        lambda whole: struct.pack("<Q", 2**60) + whole[8:],
        lambda whole: struct.pack("<Q", 2) + b"{}",
        lambda whole: whole.replace(b"mann_hf.pairs/1", b"mann_hf.pairs/7", 1),
        lambda whole: whole.replace(b'"BF16"', b'"F16" ', 1),
        lambda whole: save({"weight": torch.zeros(2)}),
    ],
    ids=lambda hurt: "",
)
def test_a_damaged_file_is_refused(hurt: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = whole(tmp_path)
    assert hurt(content) != content
    (tmp_path / FILE).write_bytes(hurt(content))
    with pytest.raises(MemoryFileError, match=FILE) as told:
        load_pairs(tmp_path / FILE)
    assert len(str(told.value)) < 1000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="no memory at .*memory.safetensors"):
        load_pairs(tmp_path / FILE)
    (tmp_path / FILE).mkdir()
    with pytest.raises(MemoryFileError, match=FILE):
        load_pairs(tmp_path / FILE)


def changed(name: str, change: Callable[[Tensor], Tensor | None]) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        if (after := change(tensors.pop(name))) is not None:
            tensors[name] = after.contiguous()

    return apply


def placed(name: str, place: int, value: int) -> Callable[[dict[str, Tensor]], None]:
    def change(tensor: Tensor) -> Tensor:
        tensor[place] = value
        return tensor

    return changed(name, change)


def described(**fields: Any) -> Callable[[dict[str, Tensor]], None]:
    def change(written: Tensor) -> Tensor:
        contents = json.loads(written.numpy().tobytes()) | fields
        return torch.frombuffer(bytearray(json.dumps(contents).encode()), dtype=torch.uint8)

    return changed("contents", change)


@pytest.mark.parametrize(
    "change",
    [
        *(changed(name, lambda tensor: None) for name in ("ids", "starts", "tokens", "token_keys", "source_keys")),
        *(changed(name, lambda tensor: None) for name in ("texts", "text_starts", "kept", "contents", "encoder_probe")),
        changed("log_probabilities", lambda tensor: None),
        changed("log_probabilities", lambda tensor: tensor[:-1]),
        changed("log_probabilities", lambda tensor: tensor.bfloat16()),
        *(changed(name, lambda tensor: tensor[:-1]) for name in ("ids", "counts", "starts", "text_starts", "kept")),
        *(changed(name, lambda tensor: tensor[:-1]) for name in ("tokens", "token_keys", "source_keys", "texts")),
        changed("token_keys", lambda tensor: tensor.float()),
        changed("ids", lambda tensor: tensor.int()),
        placed("ids", 0, -1),
        placed("ids", 0, 2**53),
        changed("ids", lambda tensor: tensor[[0, 0, *range(2, 12)]]),
        placed("counts", 3, 0),
        placed("starts", 0, 1),
        placed("starts", 4, 0),
        placed("starts", 4, -(2**63)),
        placed("starts", 4, 2**62),
        placed("starts", -1, 2**62),
        placed("text_starts", 3, 2**62),
        placed("text_starts", 3, 0),
        placed("kept", 2, 0),
        placed("tokens", 5, -1),
        placed("tokens", 5, 100),
        changed("encoder_probe", lambda tensor: tensor / 0),
        changed("encoder_probe", lambda tensor: tensor[0]),
        changed("contents", lambda tensor: torch.zeros(2**17, dtype=torch.uint8)),
        changed("contents", lambda tensor: torch.full((60_000,), ord("["), dtype=torch.uint8)),
        described(kind="both"),
        described(kind="example"),
        described(kind=["token"]),
        described(key_size=K + 1),
        described(key_size=True),
        described(source_size=0),
        described(key_dtype="float64"),
        described(key_dtype=[]),
        described(pairs=13),
        described(tokens="many"),
        described(encoder={"name": 3}),
        described(encoder=None),
        described(tokenizer={"name": 3, "digest": "a", "size": 100}),
        described(tokenizer={"name": None, "digest": None, "size": 100}),
        described(tokenizer={"name": None, "digest": "a" * 10**4, "size": 100}),
        described(tokenizer={"name": None, "digest": "a", "size": 0}),
        described(tokenizer=[]),
    ],
)
def test_what_a_stranger_claims_is_checked(change: Callable[[dict[str, Tensor]], None], tmp_path: Path) -> None:
    whole(tmp_path)
    tensors = load_file(tmp_path / FILE)
    change(tensors)
    save_file(tensors, tmp_path / FILE, METADATA)
    with pytest.raises(MemoryFileError, match=FILE):
        load_pairs(tmp_path / FILE)


def test_no_single_damaged_byte_gives_another_error(tmp_path: Path) -> None:
    content = whole(tmp_path)
    generator = random.Random(3)
    for _ in range(300):
        place = generator.randrange(len(content))
        hurt = bytearray(content)
        hurt[place] ^= 1 << generator.randrange(8)
        (tmp_path / FILE).write_bytes(hurt)
        try:
            load_pairs(tmp_path / FILE)
        except MemoryFileError:
            continue


def test_texts_that_are_not_utf8_are_refused_when_they_are_read(tmp_path: Path) -> None:
    whole(tmp_path)
    tensors = load_file(tmp_path / FILE)
    tensors["texts"][:4] = 255
    save_file(tensors, tmp_path / FILE, METADATA)
    loaded = load_pairs(tmp_path / FILE)
    with pytest.raises(ValueError, match="source or target of pair 0 is damaged"):
        loaded.pair(0)
    assert loaded.pair(1).source == "source 1"


def test_what_was_forgotten_is_in_no_file(tmp_path: Path) -> None:
    memory = taught([*some_pairs(9), ("a secret", "the secret")])
    write_pairs(memory, tmp_path)
    assert b"secret" in (tmp_path / FILE).read_bytes()
    loaded = load_pairs(tmp_path / FILE)
    write_pairs(loaded.forget([loaded.pair(9).id]), tmp_path)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())
    assert len(load_pairs(tmp_path / FILE)) == 9
    assert marked(PairMemory.empty("token", K, E)).summary == "empty"
