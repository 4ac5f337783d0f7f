"""Loading a tokenizer from a folder or repository that a stranger may have made."""

import base64
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import LARGE_INTEGER

from ..errors import FolderError, UnsafeFileError
from .files import check_folder, damaged, read_object
from .guard import CODE, as_folder_error
from .patterns import Budget, may_be_empty, why_slow
from .resolve import VOCABULARIES
from .source import Source

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
OF_TOKENS = ("added_tokens.json", "special_tokens_map.json")
"""Settings of earlier releases that transformers still reads."""
TEKKEN = "tekken.json"
"""A tokenizer of Mistral's, which transformers reads where there is no `tokenizer.json`."""
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
MOST_PARTS = 256
"""Steps of a tokenizer; those in use have a dozen."""
MOST_GROWTH = 64.0
"""Times that the replacements of a normalizer may lengthen a text."""
LONGEST_STRING = 256
"""Letters of what a step puts in, or of a prefix; those in use have a few."""
USUAL_CHARACTER = 16
"""Bytes that a map of characters may put in for one; a few of Unicode's own forms take 33."""
MOST_FILES = 16
"""Files in the form of `tokenizer.json`, one for each of some versions of transformers."""
MOST_ADDED = 2**16 + 2**12
"""Tokens beside the vocabulary, each of which is looked for in a text; those of speech models have 65,536."""
MOST_SPECIAL = 2**15
"""The most added tokens in a list of special ones, which transformers goes through anew for each."""
SPECIAL = ("additional_special_tokens", "extra_special_tokens")
MOST_PIECES, LARGEST_PADDING, LONGEST_WORD = 64, 2**20, 4096
SHORT = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix")


def load_tokenizer(place: str | os.PathLike[str], **kwargs: Any) -> Any:
    """The tokenizer of a folder or repository. Code that it brings along does not run.

    Args:
        place: a folder, or a Hub repository.
        kwargs: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

    Raises:
        UnsafeFileError: a file is none that may be read, or could take any time or memory when it is used,
            or give a text other tokens at each call.
        FolderError: a file is damaged, or there is no tokenizer.
        OSError: the Hub does not give one.
        ImportError: it needs a package that is not installed.
    """
    source = Source.of(place, kwargs).at_one_commit()
    kwargs |= source.arguments
    if source.folder is not None and source.folder.is_dir():
        check_folder(source.folder)
    settings = source.path(SETTINGS)
    for name in (SETTINGS, *OF_TOKENS):
        if (path := source.path(name)) is not None:
            _check_added(path)
    kinds, budget = {}, Budget()
    for name in [TOKENIZER] if settings is None else _named_in(settings):
        if (path := source.path(name)) is not None:
            kinds[name] = check_tokenizer(path, budget)
    if not kinds and (path := source.path(TEKKEN)) is not None:
        _check_tekken(path, budget)
    with as_folder_error(place, TOKENIZER, kwargs):
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **kwargs)
        except (OSError, ValueError, TypeError) as error:
            if settings is None or source.folder is None or CODE in str(error) or has_words(source):
                raise
            raise _without_words(place, VOCABULARIES) from error
        own = {*tokenizer.vocab_files_names.values()}
        if own and not has_words(source) and not any(map(source.path, own)):
            raise _without_words(place, sorted(own))
        if _is_of_another_kind(tokenizer, kinds.get(TOKENIZER), settings, place):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(place, **kwargs)
    with as_folder_error(place, SETTINGS):
        _check_settings(tokenizer, place)
    return tokenizer


def _named_in(settings: Path) -> list[str]:
    """The files in the form of `tokenizer.json` that may be read by these settings.

    Raises:
        UnsafeFileError: the settings name files or arguments that only code on this machine can mean.
    """
    content, folder = read_object(settings), settings.parent
    others = content.get("fast_tokenizer_files") or []
    if not isinstance(others, list) or any(not isinstance(name, str) or PurePath(name).name != name for name in others):
        raise _refused(folder, SETTINGS, f"it names {str(others)[:80]} as its files")
    for name in ("init_inputs", "vocab", "merges"):
        if content.get(name):
            raise _refused(folder, SETTINGS, f"it gives {name}, which could read any file")
    for name, value in content.items():
        here = name.endswith("_file") and isinstance(value, str) and os.path.exists(value)
        if here and not Path(value).resolve().is_relative_to(folder.resolve()):
            raise _refused(folder, SETTINGS, f"its {name} is {value[:80]!r}, a file of this machine")
    if len(others) > MOST_FILES:
        raise _refused(folder, SETTINGS, f"it names {len(others):,} files of tokenizers")
    return list(dict.fromkeys([TOKENIZER, *others]))


def _refused(folder: Path, file: str, why: str) -> UnsafeFileError:
    return UnsafeFileError(
        f"{str(folder / file)!r} is refused: {why}. Ask its author for a tokenizer without it, or remove it.", file
    )


def has_words(source: Source) -> bool:
    """Whether a folder, or what was fetched of a repository, holds what a tokenizer is made of."""
    if source.folder is not None:
        return any(os.path.lexists(source.folder / name) for name in VOCABULARIES)
    return any(map(source.on_this_machine.has, VOCABULARIES))


def was_refused(error: Exception, place: str | os.PathLike[str], **kwargs: Any) -> bool:
    """Whether an error of `load_tokenizer` is about a tokenizer that is there, and not that there is none to read.

    One that is code of the place counts as none. Place and further arguments are those of `load_tokenizer`.
    """
    if isinstance(error, UnsafeFileError):
        return True
    source = Source.of(place, kwargs)
    there = has_words(source) or (source.folder is not None and source.has(SETTINGS))
    return isinstance(error, FolderError) and CODE not in str(error) and there


def check_before_use(source: Source) -> None:
    """Refuses the tokenizer of a source where another library is about to load it. A source without one is fine."""
    assert source.place is not None
    try:
        load_tokenizer(source.place, **source.arguments)
    except (OSError, ValueError, ImportError) as error:
        if was_refused(error, source.place, **source.arguments):
            raise


def check_tokenizer(path: str | os.PathLike[str], budget: Budget | None = None) -> str | None:
    """Refuses a `tokenizer.json` with which a text could take any time or memory, or has other tokens at each call.

    Args:
        path: the file.
        budget: for judging its patterns, together with those of other files.

    Returns:
        The kind of its model, such as `"BPE"`; None where it says none.

    Raises:
        UnsafeFileError: it says which part it is.
        FolderError: it is no JSON object, or has no such parts.
    """
    path = Path(path)
    content = read_object(path)
    with as_folder_error(path.parent, path.name):
        for why in _reasons(content, budget or Budget()):
            raise _refused(path.parent, path.name, why)
        kind = content["model"].get("type") if isinstance(content.get("model"), dict) else None
        return kind if isinstance(kind, str) else None


def _check_added(path: Path) -> None:
    """Refuses settings that add more tokens than anybody does."""
    content = read_object(path)
    most = {"added_tokens_decoder": MOST_ADDED, **dict.fromkeys(SPECIAL, MOST_SPECIAL)}
    for found, limit in ((content, MOST_ADDED), *((content.get(name), limit) for name, limit in most.items())):
        if isinstance(found, dict | list) and len(found) > limit:
            raise _refused(path.parent, path.name, f"it adds {len(found):,} tokens")


def _check_tekken(path: Path, budget: Budget) -> None:
    """Refuses a `tekken.json` whose pattern may take for ever."""
    config = read_object(path).get("config")
    pattern = config.get("pattern") if isinstance(config, dict) else None
    if isinstance(pattern, str) and (why := why_slow(pattern, budget)) is not None:
        raise _refused(path.parent, path.name, _slow("its config", why, pattern))


def _slow(part: str, why: str, pattern: str) -> str:
    return f"a pattern of {part} may take for ever, as {why} ({pattern[:60]!r})"


def _reasons(content: dict[str, Any], budget: Budget) -> Iterator[str]:
    """What a text could blow up or wait for in vain for."""
    growth = 1.0
    for name in PARTS:
        steps = list(_objects(content.get(name)))
        if len(steps) > MOST_PARTS:
            yield f"its {name} has more than {MOST_PARTS} parts"
        for step in steps:
            pattern = step.get("pattern")
            regex = pattern.get("Regex") if isinstance(pattern, dict) else None
            if isinstance(regex, str) and (why := why_slow(regex, budget)) is not None:
                yield _slow(f"its {name}", why, regex)
            for field in ("content", "prepend", "replacement"):
                if isinstance(step.get(field), str) and len(step[field]) > LONGEST_STRING:
                    yield f"the {field} of a step of its {name} has {len(step[field]):,} letters"
            if name == "normalizer":
                growth *= _growth(step, pattern, regex)
                if isinstance(charsmap := step.get("precompiled_charsmap"), str):
                    growth *= max(1.0, _longest_put_in(charsmap) / USUAL_CHARACTER)
    if growth > MOST_GROWTH:
        yield f"its normalizer makes a text up to {growth:,.0f} times as long"
    yield from _pieces(content.get("post_processor"))
    yield from _numbers(content)


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a part of the file."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _growth(step: dict[str, Any], pattern: Any, regex: Any) -> float:
    """How many times as long as before a step of a normalizer may leave a text."""
    if step.get("type") != "Replace" or not isinstance(step.get("content"), str):
        return 1.0
    put_in = len(step["content"].encode(errors="replace"))
    if isinstance(regex, str):
        return 1.0 + put_in if may_be_empty(regex) else max(1.0, put_in)
    taken_out = pattern.get("String") if isinstance(pattern, dict) else pattern
    length = len(taken_out.encode(errors="replace")) if isinstance(taken_out, str) else 0
    return max(1.0, put_in / length) if length else 1.0 + put_in


def _longest_put_in(charsmap: str) -> int:
    """Bytes of the longest text that a map of characters puts in: after a tree, whose size stands first."""
    content = base64.b64decode(charsmap)
    return max(map(len, content[4 + int.from_bytes(content[:4], "little") :].split(b"\0")), default=0)


def _pieces(processor: Any) -> Iterator[str]:
    """What is wrong with the templates that put special tokens around a text."""
    for step in _objects(processor):
        for field in ("single", "pair", "ids", "tokens"):
            pieces: Any = step.get(field)
            if not isinstance(pieces, list):
                continue
            if len(pieces) > MOST_PIECES:
                yield f"{field} in its post_processor has {len(pieces):,} pieces"
            texts = [piece["Sequence"].get("id") for piece in pieces if isinstance(piece, dict) and "Sequence" in piece]
            if field == "single" and not texts:
                yield "its post_processor leaves the text out"
            if len(texts) > len(set(texts)):  # each part of a long text would be put together with each of its others
                yield f"{field} in its post_processor puts a text in several times"


def _numbers(content: dict[str, Any]) -> Iterator[str]:
    """What is wrong with sizes in the file."""
    model, padding, added = (content.get(name) for name in ("model", "padding", "added_tokens"))
    if isinstance(added, list) and len(added) > MOST_ADDED:
        yield f"it has {len(added):,} added_tokens"
    if isinstance(model, dict):
        for field in SHORT:
            if isinstance(model.get(field), str) and len(model[field]) > LONGEST_STRING:
                yield f"the {field} of its model has {len(model[field]):,} letters"
        longest = model.get("max_input_chars_per_word")
        if isinstance(longest, int) and longest > LONGEST_WORD:
            yield f"max_input_chars_per_word of its model is {longest:,}, and may be {LONGEST_WORD:,}"
        if dropout := model.get("dropout"):
            yield (
                f"the dropout of its model is {str(dropout)[:20]}, by which a text has other tokens at each call; set "
                "it to null"
            )
    if isinstance(padding, dict):
        strategy = padding.get("strategy")
        sizes = [padding.get("pad_to_multiple_of"), strategy.get("Fixed") if isinstance(strategy, dict) else None]
        if any(isinstance(size, int) and size > LARGEST_PADDING for size in sizes):
            yield f"it pads texts to more than {LARGEST_PADDING:,} tokens"


def _without_words(place: Any, names: Collection[str]) -> FolderError:
    """The error for a tokenizer without the file of its words: all texts would have the same tokens."""
    return FolderError(
        f"{os.fspath(place)!r} has no {' or '.join(names)}, so its tokenizer knows no words: copy or download it again "
        "with all its files, or save the tokenizer there with tokenizer.save_pretrained.",
        TOKENIZER,
    )


def _check_settings(tokenizer: Any, place: Any) -> None:
    """Refuses settings of types that would fail, or mean something else, at the first text."""
    where = Path(place, SETTINGS)
    limit = tokenizer.model_max_length
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if (not whole and not (isinstance(limit, float) and limit > LARGE_INTEGER)) or limit < 1:
        raise damaged(where, f"model_max_length is {limit!r}, and must be a whole number from 1 on")
    for name in ("padding_side", "truncation_side"):
        if getattr(tokenizer, name) not in ("left", "right"):
            raise damaged(where, f"{name} is {getattr(tokenizer, name)!r}, and must be 'left' or 'right'")
    sampling = getattr(tokenizer, "sp_model_kwargs", None)  # of those that sentencepiece itself runs
    if isinstance(sampling, dict) and sampling.get("enable_sampling"):
        raise _refused(
            where.parent,
            SETTINGS,
            "its sp_model_kwargs have enable_sampling, by which a text has other tokens at each call; set it to false",
        )
    tokenizer.num_special_tokens_to_add()


def _is_of_another_kind(tokenizer: Any, kind: str | None, settings: Path | None, place: Any) -> bool:
    """Whether the class that transformers took for the model's type makes another tokenizer than `tokenizer.json` says.

    All texts could have the same tokens.

    Raises:
        FolderError: the settings name this class.
    """
    taken = type(tokenizer).__name__
    made = type(tokenizer.backend_tokenizer.model).__name__ if getattr(tokenizer, "is_fast", False) else None
    if kind in (None, made):
        return False
    named = None if settings is None else read_object(settings).get("tokenizer_class")
    if not isinstance(named, str) or named.removesuffix("Fast") != taken.removesuffix("Fast"):
        return made is not None
    of = f"makes a tokenizer of the kind {made}" if made else "does not read it"
    raise FolderError(
        f"the tokenizer_class {taken} of {str(Path(place, SETTINGS))!r} and the {TOKENIZER} beside it, of the kind "
        f"{kind}, do not belong together: the class {of}. Remove tokenizer_class from the file, or {TOKENIZER} if "
        "the class is right.",
        SETTINGS,
    )
