"""The content of a `config.json` that a stranger may have written."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from ..errors import FolderError, InvalidInputError
from ..wording import shown
from .files import CONFIG, WEIGHTS, read_object
from .source import Source

LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers")
MOST = {"num_labels": 2**16, **dict.fromkeys(LAYERS, 2**12)}
"""The largest values of fields; as many labels with an example each are more than a memory holds."""
LARGEST_NUMBER = 2**63
"""The first whole number that a tensor cannot hold."""
FLAGS = (
    *("output_hidden_states", "output_attentions", "return_dict", "use_cache"),
    *("is_encoder_decoder", "tie_word_embeddings"),
)
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "architectures": ((list,), "a list of names"),
    "id2label": ((dict,), "an object from numbers to names"),
    "label2id": ((dict,), "an object from names to numbers"),
    "num_labels": ((int,), "a whole number"),
    "quantization_config": ((dict,), "an object"),
    "model_type": ((str,), "a name"),
    "problem_type": ((str,), "a name"),
    "transformers_version": ((str,), "a version"),
    **dict.fromkeys(FLAGS, ((bool,), "true or false")),
}
"""What any configuration's fields may be, where they are given."""
IN_BITS = ("load_in_4bit", "load_in_8bit")
"""By which bitsandbytes is named."""
ATTENTION = tuple(f"{before}{part}_implementation" for part in ("attn", "experts") for before in ("", "_"))


def without_attention(config: dict[str, Any]) -> dict[str, Any]:
    """The content of a `config.json` that does not say how attention is computed: it may name code on the Hub."""
    return {
        name: without_attention(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in ATTENTION
    }


def check_readable(source: Source) -> None:
    """Refuses a `config.json` on this machine that is no JSON object in a regular file of bounded size.

    Args:
        source: of the file, or the file; of a Hub repository nothing is looked at.

    Raises:
        UnsafeFileError: it is no such file.
        FolderError: it is no such object.
    """
    path = Path(source.place or "") if source.folder is None else source.folder / CONFIG
    if os.path.lexists(path):
        read_object(path)


def no_model(folder: Path) -> FolderError:
    """The error for a folder without a `config.json`."""
    if (folder / WEIGHTS).exists():
        return FolderError(
            f"{str(folder)!r} has {WEIGHTS} but no {CONFIG}: copy or download that file too, or save the model again.",
            CONFIG,
        )
    return FolderError(
        f"the folder {str(folder)!r} holds no model, as it has no {CONFIG}; give one that save_pretrained or "
        "`mann-hf remember` made.",
        CONFIG,
    )


def check_config(config: Any) -> None:
    """Refuses the content of a `config.json` whose fields have types or sizes that nobody's have.

    More labels or layers than anybody has would take time and memory, before it is seen that there are no weights for
    them.

    Raises:
        InvalidInputError: it does, at whatever depth; the field is named.
    """
    if not isinstance(config, dict):
        return
    for name, most in MOST.items():
        count = config.get(name)
        if isinstance(count, int | float) and count > most:
            raise InvalidInputError(f"the configuration has {name} = {count:,}; there may be {most:,}.")
    for name, (types, wanted) in TYPES.items():
        value = config.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise InvalidInputError(f"the configuration has {name} = {shown(value)}; it must be {wanted}.")
    quantization = config.get("quantization_config")
    if quantization is not None and not _names_its_way(quantization):
        raise InvalidInputError(
            f"the configuration has quantization_config = {shown(quantization)}, which names no quant_method. Remove "
            "it if the weights are not quantised."
        )
    if any(not isinstance(name, str) for name in config.get("architectures") or ()):
        raise InvalidInputError(
            f"the configuration has architectures = {shown(config['architectures'])}, which are not names."
        )
    for name in ("dtype", "torch_dtype"):
        check_dtype(name, config.get(name))
    for name, value in config.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and not -LARGEST_NUMBER < value < LARGEST_NUMBER:
            raise InvalidInputError(f"the configuration has {name} = {shown(value)}, which is not a size.")
    for name, part in config.items():
        if name != "adapter":  # whose fields are compared with its weights
            check_config(part)


def _names_its_way(quantization: dict[str, Any]) -> bool:
    """Whether the part of a configuration on quantised weights says how they are."""
    in_bits = [quantization.get(name) for name in IN_BITS]
    if any(bits is not None and not isinstance(bits, bool) for bits in in_bits):
        return False
    return any(in_bits) or isinstance(quantization.get("quant_method"), str)


def is_quantized(config: Any) -> bool:
    """Whether transformers turns the numbers that are stored for a model of this configuration into weights.

    Of a way that it does not know it says so, and takes them for weights.
    """
    quantization = getattr(config, "quantization_config", None)
    content = quantization if isinstance(quantization, dict) else getattr(quantization, "to_dict", dict)()
    return any(content.get(name) for name in IN_BITS) or content.get("quant_method") in AUTO_QUANTIZATION_CONFIG_MAPPING


def check_dtype(name: str, value: Any) -> None:
    """Refuses what names no precision that weights have.

    Raises:
        InvalidInputError: it does not.
    """
    known = isinstance(value, str) and isinstance(getattr(torch, value.removeprefix("torch."), None), torch.dtype)
    if value is not None and not known and value != "auto" and not isinstance(value, torch.dtype | dict):
        raise InvalidInputError(f"the configuration has {name} = {shown(value)}; it must be one such as 'float32'.")
