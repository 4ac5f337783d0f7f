"""Recipes of sequence tasks: how a small model is trained from scratch, as a yaml file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

FIELDS = ("seq2seq", "encoder", "model", "run")
OPTIONAL = ("tokenizer",)


@dataclass(frozen=True)
class Seq2SeqRecipe:
    """How a model is made and trained.

    Attributes:
        name: of its file.
        seq2seq: the type of the wrapped encoder-decoder, such as `"mann_recurrent_seq2seq"` or `"marian"`.
        encoder: fields of its configuration.
        model: fields of `MANNSeq2SeqConfig`.
        run: arguments of its training.
        tokenizer: arguments of `mann_hf.train_tokenizer`, where the task trains one of its own.
    """

    name: str
    seq2seq: str
    encoder: Mapping[str, Any]
    model: Mapping[str, Any]
    run: Mapping[str, Any]
    tokenizer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Seq2SeqRecipe":
        """The recipe in a yaml file.

        Raises:
            ValueError: the file has a field that a recipe does not have, or lacks one.
        """
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if content.keys() - set(OPTIONAL) != set(FIELDS):
            raise ValueError(f"{path} needs {', '.join(FIELDS)}; it has {', '.join(map(str, content)) or 'nothing'}.")
        return cls(path.stem, **content)

    def changed(self, overrides: Sequence[str]) -> "Seq2SeqRecipe":
        """The recipe with settings of its run, or others by their part, in place of its own.

        Args:
            overrides: `NAME=VALUE` for the run, `PART.NAME=VALUE` for another part, values as in yaml.

        Raises:
            ValueError: a part that there is not.
        """
        parts: dict[str, Any] = {name: dict(getattr(self, name)) for name in (*FIELDS[1:], *OPTIONAL)}
        for override in overrides:
            name, _, value = override.partition("=")
            part, _, own = name.rpartition(".")
            if (part or "run") not in parts:
                raise ValueError(f"{override!r}: a recipe has the parts {', '.join(parts)}.")
            parts[part or "run"][own] = yaml.safe_load(value)
        return replace(self, **parts)

    @property
    def settings(self) -> dict[str, Any]:
        """All that a trained model depends on beside data and seed, as JSON holds it."""
        return {name: value for name, value in asdict(self).items() if name != "name"}
