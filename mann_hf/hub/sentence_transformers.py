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
from transformers.utils import logging

from ..errors import EncoderNotFoundError, FolderError, InvalidInputError
from .files import read_json

logger = logging.get_logger(f"transformers.{__name__}")

# Their names of a pooling, in the order of their flags, and ours.
_POOLINGS = {"cls": "cls", "max": "max", "mean": "mean", "lasttoken": "last_token"}
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_MODULES = ("Transformer", "Pooling", "Normalize")
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
    """

    pooling: str | None
    normalize: bool
    max_length: int | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    lower_case: bool = False

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
        path = self._path((PurePosixPath(subfolder) / file).as_posix())
        if path is None:
            return None
        try:
            return read_json(path, root=Path(self.name) if Path(self.name).is_dir() else None)
        except FolderError as error:
            raise self.refused(f"its {file} is no JSON that can be read ({error})") from error

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
                    f"The file {file} of {self.name!r} could not be read, as the Hub is out of reach and the Hub cache "
                    "does not hold it. Connect to the Hub, or give the path of a folder that holds the encoder."
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
            f"Transformer, a Pooling of one mode ({', '.join(_POOLINGS)}) and a Normalize module, in this order; take "
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


def _settings(files: _Files, modules: Any) -> TextEncoderSettings:
    steps = _steps(files, modules)
    max_length, lower_case = _transformer(files)
    pooling = _pooling(files, steps["Pooling"]) if "Pooling" in steps else None
    if "Normalize" in steps:
        _check_normalize(files, steps["Normalize"])

    config = files.read("config_sentence_transformers.json") or {}
    kind = config.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise files.refused(f"it is a {kind}, which does not give one dense vector a text")
    prompts = {purpose: prompt or "" for purpose, prompt in (config.get("prompts") or {}).items()}
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise files.refused(f"its default prompt {default!r} is not among its prompts ({', '.join(prompts) or 'none'})")
    return TextEncoderSettings(pooling, "Normalize" in steps, max_length, prompts, default, lower_case)


def _steps(files: _Files, modules: Any) -> dict[str, str]:
    """The subfolder of each module by the module's name, if they are modules we carry in the order we carry."""
    steps: dict[str, str] = {}
    for module in modules:
        package, _, kind = module["type"].rpartition(".")
        subfolder = module.get("path", "")
        if kind not in _MODULES or package.split(".")[0] != "sentence_transformers":
            raise files.refused(f"its module {module['type']}")
        if kind in steps:
            raise files.refused(f"its second module of the kind {kind}")
        if PurePosixPath(subfolder).is_absolute() or ".." in PurePosixPath(subfolder).parts:
            raise files.refused(f"its module {module['type']} lies outside the folder, in {subfolder!r}")
        steps[kind] = subfolder
    if list(steps) != [kind for kind in _MODULES if kind in steps] or "Transformer" not in steps:
        raise files.refused(f"its modules come as {', '.join(steps) or 'none'}")
    if steps["Transformer"]:
        raise files.refused(f"its Transformer lies in the subfolder {steps['Transformer']!r}")
    return steps


def _transformer(files: _Files) -> tuple[int | None, bool]:
    """The length limit and whether to lower-case, from the first module's file."""
    config: dict[str, Any] = next((found for found in map(files.read, _TRANSFORMER_FILES) if found is not None), {})
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise files.refused(f"its transformer_task {task!r}")
    for setting in ("processing_kwargs", "query_expansion"):
        if config.get(setting):
            raise files.refused(f"its {setting} {config[setting]!r}")
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    if "modality_config" in config and config["modality_config"].get("text") != text:
        raise files.refused(f"its modality_config {config['modality_config']!r}, which does not read plain text")
    return config.get("max_seq_length"), bool(config.get("do_lower_case", False))


def _pooling(files: _Files, subfolder: str) -> str:
    """Our name of the pooling, from the Pooling module's file."""
    config = files.read("config.json", subfolder)
    if config is None:
        raise files.refused(f"the file {subfolder}/config.json of its Pooling module is missing")
    if config.get("include_prompt", True) is False:
        raise files.refused("include_prompt=False in its Pooling module, which leaves the prompt's tokens out")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1:
        raise files.refused(f"the concatenation of the poolings {', '.join(modes)}")
    if modes[0] not in _POOLINGS:
        raise files.refused(f"its pooling {modes[0]}")
    return _POOLINGS[modes[0]]


def _check_normalize(files: _Files, subfolder: str) -> None:
    """Refuses a Normalize module that works on anything but the text's vector."""
    config = files.read("config.json", subfolder) or {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise files.refused(f"its Normalize module with {key} {config[key]!r}")
