"""The modules of a sentence-transformers folder or repository: what each one's files say, in our terms."""

from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub.errors import LocalEntryNotFoundError
from transformers.utils import logging

from ..controllers.pooling import JOINT
from ..controllers.projection import ACTIVATIONS, projected_size
from ..errors import EncoderNotFoundError, FolderError, InvalidInputError
from ..wording import whole_number
from .files import WEIGHTS, check_file, read_json
from .source import Source

logger = logging.get_logger(f"transformers.{__name__}")

FIRST = ("Transformer", "Pooling")
# Their names of a pooling, in the order of their flags; ours; and the flags.
_POOLINGS = {
    "cls": ("cls", "pooling_mode_cls_token"),
    "max": ("max", "pooling_mode_max_tokens"),
    "mean": ("mean", "pooling_mode_mean_tokens"),
    "mean_sqrt_len_tokens": ("mean_sqrt_len", "pooling_mode_mean_sqrt_len_tokens"),
    "weightedmean": ("weighted_mean", "pooling_mode_weightedmean_tokens"),
    "lasttoken": ("last_token", "pooling_mode_lasttoken"),
}
_OF_TOKENIZERS = ("tokenizer_args", "processor_kwargs")
_ARGUMENTS = ("model_args", "model_kwargs", "config_args", "config_kwargs", *_OF_TOKENIZERS)
"""Arguments for loading the parts of the first module, by their older and newer names."""
_WITHOUT_EFFECT = {
    # how the model computes and what it gives besides
    *("_attn_implementation", "add_pooling_layer", "attn_implementation", "dtype", "gradient_checkpointing"),
    *("output_attentions", "output_hidden_states", "reference_compile", "return_dict", "torch_dtype", "use_cache"),
    # where its files come from, and how they are read
    *("cache_dir", "device_map", "force_download", "local_files_only", "low_cpu_mem_usage", "proxies"),
    *("resume_download", "revision", "token", "trust_remote_code", "use_auth_token", "use_safetensors"),
    # how texts are padded, and tokens become text again
    *("clean_up_tokenization_spaces", "padding_side", "use_fast"),
}
"""Such arguments that change no vector but in its rounding."""
_LIMIT = "model_max_length"
PICKLE = "pytorch_model.bin"
# The file of the first module, under the names that it has had.
_TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


def read(source: Source, file: str, subfolder: str = "") -> Any:
    """The content of a JSON file, or None if the source has no such file.

    Raises:
        InvalidInputError: it is damaged.
        EncoderNotFoundError: the Hub is out of reach, and its cache does not answer either.
    """
    path = find(source, file, subfolder)
    if path is None:
        return None
    try:
        content = read_json(path, root=source.folder)
    except FolderError as error:
        raise cannot_follow(source, f"its {file} is no JSON that can be read ({error})") from error
    if content is None:
        raise cannot_follow(source, f"its {file} holds nothing but null")
    return content


def find(source: Source, file: str, subfolder: str = "") -> Path | None:
    """Where a file is on this machine, downloaded if need be; None where there is none. A failed download raises."""
    name = (PurePosixPath(subfolder) / file).as_posix()
    try:
        return source.fetch(name)
    except LocalEntryNotFoundError as error:
        if not source.is_offline:
            raise EncoderNotFoundError(
                f"The file {name} of {source.place!r} could not be read, as the Hub cannot be reached and its cache "
                "does not hold the file. Connect to the Hub, or give the path of a folder that holds the encoder."
            ) from error
    if source.is_unknown(name):
        logger.warning(
            f"Offline, and the Hub cache does not say whether {source.place!r} has a {name}: taken as absent. If "
            "the encoder needs it, connect to the Hub once."
        )
    return None


def cannot_follow(source: Source, reason: str) -> InvalidInputError:
    """The error for a source that asks for what is not carried."""
    return InvalidInputError(
        f"{source.place!r} is a sentence-transformers model that mann_hf cannot follow: {reason}. Carried are a "
        f"Transformer, a Pooling ({', '.join(_POOLINGS)}) and then any of {', '.join(STEPS)}, in this order; take "
        "another encoder, or keep only the transformers model of this one and set the pooling by name."
    )


def transformer_settings(source: Source, subfolder: str) -> tuple[int | None, bool]:
    """The length limit and whether to lower-case, from the first module's file."""
    contents = (read(source, name, subfolder) for name in _TRANSFORMER_FILES)
    config: dict[str, Any] = next((found for found in contents if found is not None), {})
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise cannot_follow(source, f"its transformer_task {task!r}")
    for setting in ("processing_kwargs", "query_expansion"):
        if config.get(setting):
            raise cannot_follow(source, f"its {setting} {config[setting]!r}")
    limit = config.get("max_seq_length")
    for setting in _ARGUMENTS:
        arguments = config.get(setting) or {}
        if not isinstance(arguments, dict):
            raise cannot_follow(source, f"its {setting} {arguments!r:.80}, where names with values belong")
        for argument, value in arguments.items():
            if argument == _LIMIT and setting in _OF_TOKENIZERS and whole_number(value):
                limit = value  # whatever max_seq_length says
            elif argument not in _WITHOUT_EFFECT:
                raise cannot_follow(source, f"its {setting} {argument}={value!r:.80}")
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    if "modality_config" in config and config["modality_config"].get("text") != text:
        raise cannot_follow(
            source, f"its modality_config {config['modality_config']!r}, which does not read plain text"
        )
    return limit, bool(config.get("do_lower_case", False))


def pooling_settings(source: Source, subfolder: str) -> tuple[str, bool]:
    """Our name of the pooling, and whether a prompt takes part in it, from the Pooling module's file."""
    config = _config_of(source, "Pooling", subfolder)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, (_, flag) in _POOLINGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    for mode in modes:
        if mode not in _POOLINGS:
            raise cannot_follow(source, f"its pooling {mode}")
    pool_prompt = config.get("include_prompt", True) is not False
    if not pool_prompt and "weightedmean" in modes:
        raise cannot_follow(source, "the pooling weightedmean with include_prompt=False")
    return JOINT.join(_POOLINGS[mode][0] for mode in modes), pool_prompt


def _config_of(source: Source, kind: str, subfolder: str) -> Any:
    """The file of a module's settings, which it must have."""
    if (config := read(source, "config.json", subfolder)) is None:
        raise cannot_follow(source, f"the file {subfolder}/config.json of its {kind} module is missing")
    return config


def _of_the_vector(source: Source, kind: str, config: dict[str, Any]) -> None:
    """Refuses a module that works on anything but the text's vector."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise cannot_follow(source, f"its {kind} module with {key} {config[key]!r}")


def _normalize(source: Source, subfolder: str) -> dict[str, Any]:
    _of_the_vector(source, "Normalize", read(source, "config.json", subfolder) or {})
    return {"kind": "normalize"}


def _layer_norm(source: Source, subfolder: str) -> dict[str, Any]:
    _config_of(source, "LayerNorm", subfolder)
    return {"kind": "layer_norm"}


def _dense(source: Source, subfolder: str) -> dict[str, Any]:
    """The step of `Projection` that a Dense module is; its activation is one of ours by name, and no import."""
    config = _config_of(source, "Dense", subfolder)
    _of_the_vector(source, "Dense", config)
    if config.get("use_residual"):
        raise cannot_follow(source, "use_residual in its Dense module")
    path = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, activation = path.rpartition(".")
    if not (package == "torch.nn" or package.startswith("torch.nn.modules.")) or activation not in ACTIVATIONS:
        raise cannot_follow(
            source, f"the activation {path!r:.80} of its Dense module; known are {', '.join(ACTIVATIONS)}"
        )
    step = {"kind": "dense", "size": config["out_features"], "bias": config.get("bias", True), "activation": activation}
    try:
        projected_size([step], 1)
    except InvalidInputError as error:
        raise cannot_follow(source, f"its Dense module: {error}") from error
    return step


STEPS = {"Dense": _dense, "LayerNorm": _layer_norm, "Normalize": _normalize}
"""Readers of the modules that may follow pooling, by the names of their classes."""


def truncation(source: Source, size: Any) -> dict[str, Any]:
    """The step of `Projection` that cuts vectors to their first numbers."""
    step = {"kind": "truncate", "size": size}
    try:
        projected_size([step], 1)
    except InvalidInputError:
        raise cannot_follow(source, f"its truncate_dim {size!r:.80}, which must be a whole number from 1 on") from None
    return step


def weights_file(source: Source, subfolder: str) -> Path:
    """The file of a module's weights."""
    path = find(source, WEIGHTS, subfolder)
    if path is None and find(source, PICKLE, subfolder) is not None:
        raise source.refused(
            f"{subfolder}/{PICKLE}",
            f"it is a pickle, which can run code, and there is no {WEIGHTS} beside it. Ask its author for safetensors, "
            "or load it with sentence-transformers where nothing else runs, and save it again.",
        )
    if path is None:
        raise cannot_follow(source, f"the file {subfolder}/{WEIGHTS} is missing")
    check_file(path, root=source.folder)
    return path
