"""What a sentence-transformers folder or repository says about turning texts into vectors.

Such a folder is an ordinary transformers model with a few JSON files beside it: `modules.json` lists the steps from
text to vector, and each step has its own file. They are read here without the sentence-transformers package, in the
form that its versions before 5.2 wrote and in the one since.
"""

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from ..errors import InvalidInputError
from ..wording import shown
from .files import CONFIG, damaged
from .sentence_transformers_modules import (
    FIRST,
    STEPS,
    cannot_follow,
    pooling_settings,
    read,
    transformer_settings,
    truncation,
    weights_file,
)
from .source import Source

_WITH_WEIGHTS = ("Dense", "LayerNorm")
LONGEST_SUBFOLDER = 255
"""Letters; those in use are like `1_Pooling`."""


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


def read_settings(source: Source) -> TextEncoderSettings | None:
    """The settings of a sentence-transformers folder or Hub repository; None if it is not one.

    Raises:
        InvalidInputError: a module or a setting that mann_hf has no counterpart for, or a damaged file.
        EncoderNotFoundError: the Hub is out of reach, and its cache does not answer either.
    """
    modules = read(source, "modules.json")
    if modules is None:
        return None
    try:
        return _settings(source, modules)
    except (AttributeError, LookupError, TypeError) as error:  # a list for an object, or the like
        raise cannot_follow(source, f"one of its files is damaged ({type(error).__name__}: {error})") from error


def transformer_folder(folder: Path) -> Path | None:
    """The folder of the transformers model of a folder: itself, or that of the first module where that lies apart.

    Raises:
        InvalidInputError: `modules.json` is damaged, or leads elsewhere.
    """
    source, inner = Source.of(folder), folder
    try:
        if (modules := read(source, "modules.json")) is not None:
            inner = folder / _steps(source, modules)[0][1]
    except (AttributeError, LookupError, TypeError) as error:
        raise cannot_follow(source, f"its modules.json is damaged ({type(error).__name__}: {error})") from error
    if not inner.resolve().is_relative_to(folder.resolve()):
        raise cannot_follow(source, f"its folder {inner.name!r} is a link to one outside")
    return inner if (inner / CONFIG).is_file() else None


def _settings(source: Source, modules: Any) -> TextEncoderSettings:
    steps = _steps(source, modules)
    max_length, lower_case = transformer_settings(source, steps[0][1])
    has_pooling = len(steps) > 1 and steps[1][0] == "Pooling"
    pooling, pool_prompt = pooling_settings(source, steps[1][1]) if has_pooling else (None, True)
    later = steps[1:] if pooling is None else steps[2:]
    projection = [STEPS[kind](source, subfolder) for kind, subfolder in later]
    weights = [weights_file(source, subfolder) if kind in _WITH_WEIGHTS else None for kind, subfolder in later]
    normalize = bool(later) and later[-1][0] == "Normalize"

    config = read(source, "config_sentence_transformers.json") or {}
    kind = config.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise cannot_follow(source, f"it is a {kind}, which does not give one dense vector a text")
    if config.get("truncate_dim") is not None:
        projection.append(truncation(source, config["truncate_dim"]))
        weights.append(None)
        normalize = False  # cut vectors are not scaled again
    elif normalize:
        del projection[-1], weights[-1]
    prompts = {purpose: prompt or "" for purpose, prompt in (config.get("prompts") or {}).items()}
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise cannot_follow(
            source, f"its default prompt {default!r} is not among its prompts ({', '.join(prompts) or 'none'})"
        )
    return TextEncoderSettings(
        pooling, normalize, max_length, prompts, default, lower_case, tuple(projection), tuple(weights), pool_prompt
    )


def _steps(source: Source, modules: Any) -> list[tuple[str, str]]:
    """Kind and subfolder of each module, if they are modules we carry in the order we carry."""
    steps: list[tuple[str, str]] = []
    for module in modules:
        package, _, kind = module["type"].rpartition(".")
        subfolder = module.get("path", "")
        if kind not in (*FIRST, *STEPS) or package.split(".")[0] != "sentence_transformers":
            raise cannot_follow(source, f"its module {module['type']}")
        if kind in FIRST and kind in [kind for kind, _ in steps]:
            raise cannot_follow(source, f"its second module of the kind {kind}")
        if not subfolder.isprintable() or len(subfolder) > LONGEST_SUBFOLDER:
            raise cannot_follow(
                source, f"its module {module['type']} lies in {shown(subfolder)}, which can be no folder"
            )
        if PurePosixPath(subfolder).is_absolute() or ".." in PurePosixPath(subfolder).parts:
            raise cannot_follow(source, f"its module {module['type']} lies outside the folder, in {subfolder!r}")
        steps.append((kind, subfolder))
    kinds = [kind for kind, _ in steps]
    first = [kind for kind in kinds if kind in FIRST]
    later = {*kinds} - {*FIRST, "Normalize"}
    if (
        kinds[: len(first)] != first
        or first not in (["Transformer", "Pooling"], ["Transformer"])
        or (later and "Pooling" not in first)
    ):
        raise cannot_follow(source, f"its modules come as {', '.join(kinds) or 'none'}")
    if steps[0][1] and source.folder is None:
        raise cannot_follow(
            source,
            f"its Transformer lies in the subfolder {steps[0][1]!r}; download the repository and give its folder",
        )
    return steps


def load_projection(projection: Any, settings: TextEncoderSettings) -> None:
    """Fills the layers behind the pooling with the weights of their modules.

    Args:
        projection: a `Projection` of `settings.projection`.
        settings: what `read_settings` gave.

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
