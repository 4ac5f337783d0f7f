"""Memory-augmented neural networks for Hugging Face: few-shot classification with an editable memory."""

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import cards as cards
    from . import controllers as controllers
    from . import demo as demo
    from . import episodes as episodes
    from . import errors as errors
    from . import hub as hub
    from . import memory as memory
    from . import metrics as metrics
    from . import models as models
    from . import persistent as persistent
    from . import pipelines as pipelines
    from . import training as training
    from .controllers.tokenizer_training import train_tokenizer
    from .episodes import (
        Episode,
        EpisodeBatch,
        EpisodeCollator,
        EpisodeSampler,
        PairCollator,
        PairSampler,
        TaskSampler,
        select_classes,
        split_classes,
    )
    from .errors import MannError
    from .hub.resolve import resolve_encoder
    from .models import (
        MANNConfig,
        MANNForClassification,
        MANNForConditionalGeneration,
        MANNForImageClassification,
        MANNForSequenceClassification,
        MANNSeq2SeqConfig,
    )
    from .pipelines import (
        FEW_SHOT_IMAGE_TASK,
        FEW_SHOT_TASK,
        GENERATION_TASK,
        FewShotImageClassificationPipeline,
        FewShotPipeline,
        FewShotTextClassificationPipeline,
        MemoryAugmentedGenerationPipeline,
        draw_evidence,
    )
    from .training import EpisodicTrainer, EpisodicTrainingArguments

    __version__: str

_NAMES = {
    "controllers.tokenizer_training": ("train_tokenizer",),
    "episodes": (
        *("Episode", "EpisodeBatch", "EpisodeCollator", "EpisodeSampler", "select_classes", "split_classes"),
        *("PairCollator", "PairSampler", "TaskSampler"),
    ),
    "errors": ("MannError",),
    "hub.resolve": ("resolve_encoder",),
    "models": (
        "MANNConfig",
        "MANNForClassification",
        "MANNForConditionalGeneration",
        "MANNForImageClassification",
        "MANNForSequenceClassification",
        "MANNSeq2SeqConfig",
    ),
    "pipelines": (
        "FEW_SHOT_IMAGE_TASK",
        "FEW_SHOT_TASK",
        "FewShotImageClassificationPipeline",
        "FewShotPipeline",
        "FewShotTextClassificationPipeline",
        "GENERATION_TASK",
        "MemoryAugmentedGenerationPipeline",
        "draw_evidence",
    ),
    "training": ("EpisodicTrainer", "EpisodicTrainingArguments"),
}
"""The module of each public name. It is imported when the name is asked for."""
_MODULES = (
    *(
        "cards",
        "controllers",
        "demo",
        "episodes",
        "errors",
        "hub",
        "memory",
        "metrics",
        "models",
        "persistent",
        "pipelines",
    ),
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name == "__version__":
        return _version()
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


def _is_shell_command() -> bool:
    """Whether this process was started as `mann-hf` or as `python -m mann_hf.cli`."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program == "-m":  # as long as Python looks for the module to run
        words = sys.orig_argv
        return "-m" in words and words[words.index("-m") + 1 :][:1] == [f"{__name__}.cli"]
    return os.path.basename(program) in ("mann-hf", "mann-hf.exe")


__all__ = [
    "FEW_SHOT_IMAGE_TASK",
    "FEW_SHOT_TASK",
    "GENERATION_TASK",
    "Episode",
    "EpisodeBatch",
    "EpisodeCollator",
    "EpisodeSampler",
    "EpisodicTrainer",
    "EpisodicTrainingArguments",
    "FewShotImageClassificationPipeline",
    "FewShotPipeline",
    "FewShotTextClassificationPipeline",
    "MANNConfig",
    "MANNForClassification",
    "MANNForConditionalGeneration",
    "MANNForImageClassification",
    "MANNForSequenceClassification",
    "MANNSeq2SeqConfig",
    "MannError",
    "MemoryAugmentedGenerationPipeline",
    "PairCollator",
    "PairSampler",
    "TaskSampler",
    "__version__",
    "draw_evidence",
    "resolve_encoder",
    "select_classes",
    "split_classes",
    "train_tokenizer",
]

# The Auto classes and `pipeline` know the models from here on: `models` and `pipelines` register what they define as
# they are imported. That takes torch and transformers, seconds for which the help of the shell command must not wait;
# its commands import the two themselves. A start that is not recognized as the shell's is slower, and nothing else.
if not _is_shell_command():
    importlib.import_module(".pipelines", __name__)
elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # silent, until the command has its own way
