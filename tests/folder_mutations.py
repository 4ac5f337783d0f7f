"""Ways to damage a file of a folder, or to make a trap of it."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 4000, 70_000, 2**31, 2**63, -(2**63), 10**30),
    *(
        1e308,
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "x",
        "\ud800",
        "é" * 50,
        "a" * 10**6,
        "0",
        "-1",
        "1e9",
    ),
    *("../../etc/passwd", "/dev/zero", "os.system", "bert", "mann", "cls", "[PAD]", "(a*)*b", "\0"),
    *([], {}, [None], [[]], [1, "a"], {"a": None}, {"type": "x"}, [0] * 10_000, {"x": {"y": {"z": [{}]}}}),
)
"""What is put in place of a value, or under a new name."""
NAMES = (
    *("auto_map", "quantization_config", "dtype", "torch_dtype", "architectures", "id2label", "label2id", "num_labels"),
    *("problem_type", "pooling", "normalize", "max_seq_length", "prompts", "prompt_name", "lower_case", "reading"),
    *("similarity", "reading_options", "capacity", "eviction", "label_names", "store_texts", "adapter", "encoder_name"),
    *("encoder_config", "model_type", "transformers_weights", "vocab_size", "hidden_size", "num_hidden_layers"),
    *("num_attention_heads", "intermediate_size", "max_position_embeddings", "type_vocab_size", "pad_token_id"),
    *("hidden_act", "layer_norm_eps", "is_decoder", "is_encoder_decoder", "chunk_size_feed_forward", "use_cache"),
    *("tie_word_embeddings", "return_dict", "output_hidden_states", "attn_implementation", "tokenizer_class"),
    *("model_max_length", "padding_side", "truncation_side", "pad_token", "unk_token", "added_tokens_decoder"),
    *("extra_special_tokens", "pad_token_type_id", "model_input_names", "truncation", "padding", "normalizer"),
    *("pre_tokenizer", "post_processor", "model", "added_tokens", "weight_map", "type", "max_input_chars_per_word"),
    *("pooling_mode", "include_prompt", "do_lower_case", "default_prompt_name", "r", "lora_alpha", "target_modules"),
    *("peft_type", "base_model_name_or_path", "__metadata__", "", "a"),
)
MANY_STEPS = {
    "type": "Replace",
    "pattern": {"Regex": "b*" + "".join(f"{chr(n)}*" for n in range(0x4E00, 0x4E96)) + "x"},
    "content": "",
}
"""Fine by itself, but it takes a second to see that."""
NORMALIZER = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 200}
LARGEST_JSON = 100_000_000
OTHER_FILES = (
    *("added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json", "tekken.json"),
    *("generation_config.json", "processor_config.json", "preprocessor_config.json", "modules.json", "vocab.txt"),
    *("model.safetensors.index.json", "sentence_bert_config.json", "tokenizer.1.0.0.json", "memory.json"),
)
"""What loading reads where it is there."""
OFFSETS: tuple[Any, ...] = (
    [-4, 0],
    [0, 2**62],
    [2**63, 2**64],
    [8, 4],
    ["0", "4"],
    [0.0, 4.0],
    [0],
    [],
    None,
    [False, True],
)
SHAPES: tuple[Any, ...] = ([-1], [2**62, 2**62], [0], [], ["a"], None, [1] * 2000, [True], 5)
DTYPES: tuple[Any, ...] = ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", "x", 5, None)
BOMB = "a: &a [x, x]\n" + "".join(
    f"{two}: &{two} [{', '.join(f'*{one}' for _ in range(9))}]\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True)
)
CARDS = (BOMB, "a: b\n" * 10**6, "a: !!python/object/apply:os.system [x]\n", "license: 2020-01-01\ntags: 5\n", "a: [")

Mutation = Callable[[Path, random.Random, list[Path]], object]


def cut(path: Path, rng: random.Random, others: list[Path]) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def flip(path: Path, rng: random.Random, others: list[Path]) -> None:
    content = bytearray(path.read_bytes())
    near = min(len(content), rng.choice((64, 512, 4096, len(content) + 1)))  # headers stand first
    for _ in range(rng.choice((1, 1, 3, 20))):
        if near:
            content[rng.randrange(near)] = rng.randrange(256)
    path.write_bytes(content)


def grow(path: Path, rng: random.Random, others: list[Path]) -> None:
    content = path.read_bytes()
    at = rng.choice((0, len(content), rng.randrange(len(content) + 1)))
    junk = rng.choice((b"\0" * 9, b"]" * 50, b"{" * 90_000, b"[" * 90_000, rng.randbytes(1000), content))
    path.write_bytes(content[:at] + junk + content[at:])


def empty(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.write_bytes(b"")


def noise(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.write_bytes(rng.randbytes(rng.choice((1, 8, 100, 5000))))


def remove(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()


def swap(path: Path, rng: random.Random, others: list[Path]) -> None:
    shutil.copyfile(rng.choice(others), path)


def pipe(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/dev/random", "/dev/tty", "/dev/null")))


def local_socket(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


def directory(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to(rng.choice((rng.choice(others), path, path.parent, "nowhere", "/etc/passwd", "/proc/self/mem")))


def sparse(path: Path, rng: random.Random, others: list[Path]) -> None:
    if rng.random() < 0.5:
        path.write_bytes(b"")
    os.truncate(path, rng.choice((2**25, 2**31, 2**40)))


def huge(path: Path, rng: random.Random, others: list[Path]) -> None:
    item = rng.choice((b'"a",', b"[],", b"{},", b"1,"))
    path.write_bytes(b"[" + item * (rng.choice((2**23, LARGEST_JSON)) // len(item)) + b"0]")


def change_json(path: Path, rng: random.Random, others: list[Path]) -> None:
    """A change of one value in a JSON file, or in the header of safetensors."""
    content = path.read_bytes()
    length, rest = len(content), b""
    binary = path.suffix == ".safetensors"
    if binary:
        length = int.from_bytes(content[:8], "little")
        content, rest = content[8 : 8 + length], content[8 + length :]
    try:
        changed = json.dumps(_changed(json.loads(content), rng)).encode()
    except ValueError:
        return flip(path, rng, others)
    path.write_bytes((len(changed).to_bytes(8, "little") if binary else b"") + changed + rest)
    return None


def other_encoding(path: Path, rng: random.Random, others: list[Path]) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    path.write_text(text, encoding=rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32")))


def doubled_keys(path: Path, rng: random.Random, others: list[Path]) -> None:
    """Names that come twice in an object, once with another value."""
    content = path.read_bytes().strip()
    pairs = (f"{json.dumps(rng.choice(NAMES))}: {json.dumps(rng.choice(VALUES))}" for _ in range(5))
    added = ", ".join(pairs).encode()
    if content.startswith(b"{") and len(content) > 2:
        content = rng.choice((b"{" + added + b", " + content[1:], content[:-1] + b", " + added + b"}"))
    path.write_bytes(content)


def odd_tensor(path: Path, rng: random.Random, others: list[Path]) -> None:
    """A header of safetensors that says of a tensor, or of the file, what none says."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    name = rng.choice(sorted(header))
    way = rng.choice(("data_offsets", "shape", "dtype"))
    odd = {"data_offsets": OFFSETS, "shape": SHAPES, "dtype": DTYPES}[way]
    if name == "__metadata__":
        field = rng.choice(sorted(header[name]) or ["format"])
        header[name] = rng.choice(({**header[name], field: rng.choice(VALUES)}, rng.choice(VALUES)))
    elif rng.random() < 0.2:
        header[rng.choice(("", "\ud800", "a." * 1000))] = header.pop(name)
    else:
        header[name][way] = rng.choice(odd)
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])


def another_file(path: Path, rng: random.Random, others: list[Path]) -> None:
    """A file beside this one that was not there."""
    beside = path.with_name(rng.choice(OTHER_FILES))
    if beside.is_dir() or beside == path:
        return
    content = rng.choice(({rng.choice(NAMES): rng.choice(VALUES)}, rng.choice(VALUES), {"a": 5}, [{"type": "x"}]))
    beside.write_text(rng.choice((json.dumps(content), "{", "", "\0")))


def hostile_card(path: Path, rng: random.Random, others: list[Path]) -> None:
    path.write_text(f"---\n{rng.choice(CARDS)}---\n# a model\n")


def deep_json(path: Path, rng: random.Random, others: list[Path]) -> None:
    depth = rng.choice((70, 500, 900, 100_000))
    path.write_bytes(b'{"a":' * depth + b"1" + b"}" * depth)


def hostile_tokenizer(path: Path, rng: random.Random, others: list[Path]) -> None:
    """Steps of a tokenizer with which a text grows or takes for ever."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return flip(path, rng, others)
    if not isinstance(content, dict):
        return empty(path, rng, others)
    steps = rng.choice(
        (
            {"type": "Sequence", "normalizers": [NORMALIZER] * rng.choice((1, 4, 9))},
            {"type": "Replace", "pattern": {"Regex": "^(([a-z ])+.)+[A-Z]([a-z])+$"}, "content": ""},
            {"type": "Replace", "pattern": {"Regex": "(?:a|b|ab)*c"}, "content": "x"},
            {"type": "Replace", "pattern": {"Regex": ""}, "content": "xyz" * 30},
            {"type": "Prepend", "prepend": "a" * 10**6},
            {"type": "Sequence", "normalizers": [MANY_STEPS] * rng.choice((1, 100))},
        )
    )
    content["normalizer"] = steps
    if rng.random() < 0.3:
        text = {"Sequence": {"id": "A", "type_id": 0}}
        processor = {"type": "TemplateProcessing", "single": [text] * rng.choice((0, 2, 60)), "pair": []}
        content["post_processor"] = processor | {"special_tokens": {}}
    if rng.random() < 0.2 and content.get("added_tokens"):
        first = content["added_tokens"][0]
        content["added_tokens"] = [{**first, "content": f"a{number}", "id": number} for number in range(200_000)]
    if rng.random() < 0.3:
        padding = {"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
        content["padding"] = padding | {"pad_type_id": 0, "pad_token": "[PAD]"}
    path.write_text(json.dumps(content))
    return None


def _changed(content: Any, rng: random.Random) -> Any:
    """The content with one of its values changed, taken out or put in."""
    places: list[tuple[Any, Any]] = []
    left = [content]
    while left:
        node = left.pop()
        keys: Any = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        keys = rng.sample(keys, min(len(keys), 40))  # a vocabulary is not all there is
        places += [(node, key) for key in keys]
        left += [node[key] for key in keys]
    if not places:
        return rng.choice(VALUES)
    node, key = rng.choice(places)
    value, way = node[key], rng.randrange(6)
    if way == 0:
        del node[key]
    elif way == 1:
        inner = rng.choice([content, node])
        if isinstance(inner, dict):
            inner[rng.choice(NAMES)] = rng.choice(VALUES)
    elif way == 2:
        node[key] = rng.choice((str(value), [value], {"a": value}, None))
    elif way == 3 and isinstance(value, (int, float)):
        node[key] = rng.choice((value + 1, value - 1, value * 1000, -value, value / 3))
    else:
        node[key] = rng.choice(VALUES)
    return content


ANY: tuple[Mutation, ...] = (cut, flip, flip, grow, empty, noise, remove, swap)
TRAPS: tuple[Mutation, ...] = (pipe, device, local_socket, directory, link, link, sparse)
OF_JSON: tuple[Mutation, ...] = (change_json,) * 12 + (other_encoding, doubled_keys, doubled_keys, deep_json, huge)
OF_SAFETENSORS: tuple[Mutation, ...] = (change_json,) * 12 + (odd_tensor,) * 6


def mutate(path: Path, rng: random.Random, others: list[Path]) -> str:
    """Damages one file.

    Args:
        path: the file.
        rng: by which the damage is drawn.
        others: files that it may be mixed up with.

    Returns:
        What was done to it, in a word.
    """
    ways = [*ANY, *TRAPS, another_file, another_file]
    ways += {".json": OF_JSON, ".safetensors": OF_SAFETENSORS, ".md": (hostile_card,) * 4}.get(path.suffix, ())
    if path.name == "tokenizer.json":
        ways += [hostile_tokenizer] * 4
    way = rng.choice(ways)
    way(path, rng, others)
    return way.__name__
