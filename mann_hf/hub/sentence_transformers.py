"""What a sentence-transformers folder or repository says about turning texts into vectors.

Such a folder is an ordinary transformers model with a few JSON files beside it: `modules.json` lists the steps from
text to vector, and each step has its own file. They are read here without the sentence-transformers package, in the
form that its versions before 5.2 wrote and in the one since.
"""

import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from huggingface_hub import hf_hub_download, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from transformers.utils import logging

from ..controllers.pooling import JOINT
from ..controllers.projection import ACTIVATIONS, projected_size
from ..errors import EncoderNotFoundError, FolderError, InvalidInputError, UnsafeFileError
from ..wording import shown, whole_number
from .files import CONFIG, WEIGHTS, check_file, damaged, read_json

logger = logging.get_logger(f"transformers.{__name__}")

# Their names of a pooling, in the order of their flags, and ours.
_POOLINGS = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last_token",
}
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
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
_FIRST, _LATER = ("Transformer", "Pooling"), ("Dense", "LayerNorm", "Normalize")
_WITH_WEIGHTS = ("Dense", "LayerNorm")
LONGEST_SUBFOLDER = 255
"""Letters; those in use are like `1_Pooling`."""
PICKLE = "pytorch_model.bin"
# The file of the first module, under the names that it has had.
_TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


class TextEncoderSettings(NamedTuple):
    """How an encoder wants its texts, and how its hidden states become one vector.

    Attributes:
        pooling: a name in `POOLINGS`, or None where the folder has no pooling module.
        normalize: whether the vectors are scaled to unit length.
        max_length: tokens that a text may have, special ones included, or None where the tokenizer alone says it.
        prompts: texts to put in front of a text, by the name of their purpose; `""` for none.
        default_prompt_name: the prompt for texts that come without a purpose, or None.
        lower_case: whether texts are lower-cased whatever the tokenizer does.
        projection: what follows the pooling, as `Projection` takes it.
        projection_weights: the file of each of these steps that has weights.
        pool_prompt: whether the tokens of a prompt take part in pooling.
    """

    pooling: str | None
    normalize: bool
    max_length: int | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    lower_case: bool = False
    projection: tuple[dict[str, Any], ...] = ()
    projection_weights: tuple[Path | None, ...] = ()
    pool_prompt: bool = True

    @property
    def default_prompt(self) -> str:
        """The prompt for texts that come without a purpose; `""` for none."""
        return "" if self.default_prompt_name is None else self.prompts[self.default_prompt_name]


class _Files(NamedTuple):
    """The JSON files of one folder or Hub repository."""

    name: str
    revision: str | None
    token: str | bool | None
    cache_dir: str | None
    local_files_only: bool

    def read(self, file: str, subfolder: str = "") -> Any:
        """The content of a JSON file, or None if the folder or repository has no such file."""
        path = self.path(file, subfolder)
        if path is None:
            return None
        try:
            content = read_json(path, root=Path(self.name) if Path(self.name).is_dir() else None)
        except FolderError as error:
            raise self.refused(f"its {file} is no JSON that can be read ({error})") from error
        if content is None:
            raise self.refused(f"its {file} holds nothing but null")
        return content

    def path(self, file: str, subfolder: str = "") -> Path | None:
        """Where a file is on this machine, fetched if need be; None where there is none."""
        return self._path((PurePosixPath(subfolder) / file).as_posix())

    def _path(self, file: str) -> Path | None:
        if Path(self.name).is_dir():
            path = Path(self.name, file)
            return path if path.is_file() else None
        offline = self.local_files_only or is_offline_mode()
        # Not transformers' cached_file: asked not to raise for an absent file, it takes a failed download for one.
        try:
            return Path(
                hf_hub_download(
                    self.name,
                    file,
                    revision=self.revision,
                    token=self.token,
                    cache_dir=self.cache_dir,
                    local_files_only=offline,
                )
            )
        except LocalEntryNotFoundError as error:
            if not offline:
                raise EncoderNotFoundError(
                    f"The file {file} of {self.name!r} could not be read, as the Hub cannot be reached and its cache "
                    "does not hold the file. Connect to the Hub, or give the path of a folder that holds the encoder."
                ) from error
            known = try_to_load_from_cache(self.name, file, cache_dir=self.cache_dir, revision=self.revision)
            if known is None:  # neither held nor known to be absent from the repository
                logger.warning(
                    f"Offline, and the Hub cache does not say whether {self.name!r} has a {file}: taken as absent. If "
                    "the encoder needs it, connect to the Hub once."
                )
            return None
        except EntryNotFoundError:
            return None

    def refused(self, reason: str) -> InvalidInputError:
        """The error for a folder that asks for what is not carried."""
        return InvalidInputError(
            f"{self.name!r} is a sentence-transformers model that mann_hf cannot follow: {reason}. Carried are a "
            f"Transformer, a Pooling ({', '.join(_POOLINGS)}) and then any of {', '.join(_LATER)}, in this order; take "
            "another encoder, or keep only the transformers model of this one and set the pooling by name."
        )


def read_sentence_transformers(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> TextEncoderSettings | None:
    """The settings of a sentence-transformers folder or Hub repository; None if it is not one.

    Raises:
        InvalidInputError: a module or a setting that mann_hf has no counterpart for, or a damaged file.
        EncoderNotFoundError: the Hub is out of reach, and its cache does not answer either.
    """
    cache = None if cache_dir is None else os.fspath(cache_dir)
    files = _Files(os.fspath(name_or_path), revision, token, cache, local_files_only)
    modules = files.read("modules.json")
    if modules is None:
        return None
    try:
        return _settings(files, modules)
    except (AttributeError, LookupError, TypeError) as error:  # a list for an object, or the like
        raise files.refused(f"one of its files is damaged ({type(error).__name__}: {error})") from error


def transformer_folder(folder: Path) -> Path | None:
    """The folder of the transformers model of a folder: itself, or that of the first module where that lies apart.

    Raises:
        InvalidInputError: `modules.json` is damaged, or leads elsewhere.
    """
    files, inner = _Files(os.fspath(folder), None, None, None, True), folder
    try:
        if (modules := files.read("modules.json")) is not None:
            inner = folder / _steps(files, modules)[0][1]
    except (AttributeError, LookupError, TypeError) as error:
        raise files.refused(f"its modules.json is damaged ({type(error).__name__}: {error})") from error
    if not inner.resolve().is_relative_to(folder.resolve()):
        raise files.refused(f"its folder {inner.name!r} is a link to one outside")
    return inner if (inner / CONFIG).is_file() else None


def _settings(files: _Files, modules: Any) -> TextEncoderSettings:
    steps = _steps(files, modules)
    max_length, lower_case = _transformer(files, steps[0][1])
    has_pooling = len(steps) > 1 and steps[1][0] == "Pooling"
    pooling, pool_prompt = _pooling(files, steps[1][1]) if has_pooling else (None, True)
    later = steps[1:] if pooling is None else steps[2:]
    read = {"Dense": _dense, "LayerNorm": _layer_norm, "Normalize": _normalize}
    projection = [read[kind](files, subfolder) for kind, subfolder in later]
    weights = [_weights(files, subfolder) if kind in _WITH_WEIGHTS else None for kind, subfolder in later]
    normalize = bool(later) and later[-1][0] == "Normalize"

    config = files.read("config_sentence_transformers.json") or {}
    kind = config.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise files.refused(f"it is a {kind}, which does not give one dense vector a text")
    if config.get("truncate_dim") is not None:
        projection.append(_truncate(files, config["truncate_dim"]))
        weights.append(None)
        normalize = False  # cut vectors are not scaled again
    elif normalize:
        del projection[-1], weights[-1]
    prompts = {purpose: prompt or "" for purpose, prompt in (config.get("prompts") or {}).items()}
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise files.refused(f"its default prompt {default!r} is not among its prompts ({', '.join(prompts) or 'none'})")
    return TextEncoderSettings(
        pooling, normalize, max_length, prompts, default, lower_case, tuple(projection), tuple(weights), pool_prompt
    )


def _steps(files: _Files, modules: Any) -> list[tuple[str, str]]:
    """Kind and subfolder of each module, if they are modules we carry in the order we carry."""
    steps: list[tuple[str, str]] = []
    for module in modules:
        package, _, kind = module["type"].rpartition(".")
        subfolder = module.get("path", "")
        if kind not in (*_FIRST, *_LATER) or package.split(".")[0] != "sentence_transformers":
            raise files.refused(f"its module {module['type']}")
        if kind in _FIRST and kind in [kind for kind, _ in steps]:
            raise files.refused(f"its second module of the kind {kind}")
        if not subfolder.isprintable() or len(subfolder) > LONGEST_SUBFOLDER:
            raise files.refused(f"its module {module['type']} lies in {shown(subfolder)}, which can be no folder")
        if PurePosixPath(subfolder).is_absolute() or ".." in PurePosixPath(subfolder).parts:
            raise files.refused(f"its module {module['type']} lies outside the folder, in {subfolder!r}")
        steps.append((kind, subfolder))
    kinds = [kind for kind, _ in steps]
    first = [kind for kind in kinds if kind in _FIRST]
    later = {*kinds} - {*_FIRST, "Normalize"}
    if (
        kinds[: len(first)] != first
        or first not in (["Transformer", "Pooling"], ["Transformer"])
        or (later and "Pooling" not in first)
    ):
        raise files.refused(f"its modules come as {', '.join(kinds) or 'none'}")
    if steps[0][1] and not Path(files.name).is_dir():
        raise files.refused(
            f"its Transformer lies in the subfolder {steps[0][1]!r}; download the repository and give its folder"
        )
    return steps


def _transformer(files: _Files, subfolder: str) -> tuple[int | None, bool]:
    """The length limit and whether to lower-case, from the first module's file."""
    contents = (files.read(name, subfolder) for name in _TRANSFORMER_FILES)
    config: dict[str, Any] = next((found for found in contents if found is not None), {})
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise files.refused(f"its transformer_task {task!r}")
    for setting in ("processing_kwargs", "query_expansion"):
        if config.get(setting):
            raise files.refused(f"its {setting} {config[setting]!r}")
    limit = config.get("max_seq_length")
    for setting in _ARGUMENTS:
        arguments = config.get(setting) or {}
        if not isinstance(arguments, dict):
            raise files.refused(f"its {setting} {arguments!r:.80}, where names with values belong")
        for argument, value in arguments.items():
            if argument == _LIMIT and setting in _OF_TOKENIZERS and whole_number(value):
                limit = value  # whatever max_seq_length says
            elif argument not in _WITHOUT_EFFECT:
                raise files.refused(f"its {setting} {argument}={value!r:.80}")
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    if "modality_config" in config and config["modality_config"].get("text") != text:
        raise files.refused(f"its modality_config {config['modality_config']!r}, which does not read plain text")
    return limit, bool(config.get("do_lower_case", False))


def _pooling(files: _Files, subfolder: str) -> tuple[str, bool]:
    """Our name of the pooling, and whether a prompt takes part in it, from the Pooling module's file."""
    config = files.read("config.json", subfolder)
    if config is None:
        raise files.refused(f"the file {subfolder}/config.json of its Pooling module is missing")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    for mode in modes:
        if mode not in _POOLINGS:
            raise files.refused(f"its pooling {mode}")
    pool_prompt = config.get("include_prompt", True) is not False
    if not pool_prompt and "weightedmean" in modes:
        raise files.refused("the pooling weightedmean with include_prompt=False")
    return JOINT.join(_POOLINGS[mode] for mode in modes), pool_prompt


def _of_the_vector(files: _Files, kind: str, config: dict[str, Any]) -> None:
    """Refuses a module that works on anything but the text's vector."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise files.refused(f"its {kind} module with {key} {config[key]!r}")


def _normalize(files: _Files, subfolder: str) -> dict[str, Any]:
    _of_the_vector(files, "Normalize", files.read("config.json", subfolder) or {})
    return {"kind": "normalize"}


def _layer_norm(files: _Files, subfolder: str) -> dict[str, Any]:
    if files.read("config.json", subfolder) is None:
        raise files.refused(f"the file {subfolder}/config.json of its LayerNorm module is missing")
    return {"kind": "layer_norm"}


def _dense(files: _Files, subfolder: str) -> dict[str, Any]:
    """The step of `Projection` that a Dense module is; its activation is one of ours by name, and no import."""
    config = files.read("config.json", subfolder)
    if config is None:
        raise files.refused(f"the file {subfolder}/config.json of its Dense module is missing")
    _of_the_vector(files, "Dense", config)
    if config.get("use_residual"):
        raise files.refused("use_residual in its Dense module")
    path = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, activation = path.rpartition(".")
    if not (package == "torch.nn" or package.startswith("torch.nn.modules.")) or activation not in ACTIVATIONS:
        raise files.refused(f"the activation {path!r:.80} of its Dense module; known are {', '.join(ACTIVATIONS)}")
    step = {"kind": "dense", "size": config["out_features"], "bias": config.get("bias", True), "activation": activation}
    try:
        projected_size([step], 1)
    except InvalidInputError as error:
        raise files.refused(f"its Dense module: {error}") from error
    return step


def _truncate(files: _Files, size: Any) -> dict[str, Any]:
    """The step of `Projection` that cuts vectors to their first numbers."""
    step = {"kind": "truncate", "size": size}
    try:
        projected_size([step], 1)
    except InvalidInputError:
        raise files.refused(f"its truncate_dim {size!r:.80}, which must be a whole number from 1 on") from None
    return step


def _weights(files: _Files, subfolder: str) -> Path:
    """The file of a module's weights."""
    path = files.path(WEIGHTS, subfolder)
    if path is None and files.path(PICKLE, subfolder) is not None:
        raise UnsafeFileError(
            f"{subfolder}/{PICKLE} in {files.name!r} is refused: it is a pickle, which can run code, and there is no "
            f"{WEIGHTS} beside it. Ask its author for safetensors, or load it with sentence-transformers where nothing "
            "else runs, and save it again.",
            f"{subfolder}/{PICKLE}",
        )
    if path is None:
        raise files.refused(f"the file {subfolder}/{WEIGHTS} is missing")
    check_file(path, root=Path(files.name) if Path(files.name).is_dir() else None)
    return path


def load_projection(projection: Any, settings: TextEncoderSettings) -> None:
    """Fills the layers behind the pooling with the weights of their modules.

    Args:
        projection: a `Projection` of `settings.projection`.
        settings: what `read_sentence_transformers` gave.

    Raises:
        InvalidInputError: a file is damaged, or holds other weights than its module has.
    """
    for step, path in zip(projection.steps, settings.projection_weights, strict=True):
        if path is None:
            continue
        wanted = step.state_dict()
        try:
            with safe_open(path, framework="pt") as file:
                names = {name.rpartition(".")[2]: name for name in file.keys()}  # noqa: SIM118
                shapes = {name: tuple(file.get_slice(stored).get_shape()) for name, stored in names.items()}
                if shapes != {name: tuple(tensor.shape) for name, tensor in wanted.items()}:
                    raise InvalidInputError(
                        f"{str(path)!r} holds {shapes}, and its place in the encoder takes "
                        f"{ {name: tuple(tensor.shape) for name, tensor in wanted.items()} }: pooling, projection and "
                        "weights do not belong together."
                    )
                step.load_state_dict({name: file.get_tensor(stored) for name, stored in names.items()})
        except (SafetensorError, OSError, ValueError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise damaged(path, f"{type(error).__name__}: {error}") from error
