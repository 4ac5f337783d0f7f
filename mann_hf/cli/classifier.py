"""Makes and opens the classifier in a folder, and checks that it is one."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..controllers import SHORT_NAMES
from ..errors import EmptyMemoryError, InvalidInputError, MannError
from ..hub import folder_lock
from ..hub.files import CARD, CONFIG, MEMORY_FILE, WEIGHTS, check_file, read_object
from ..hub.near_paths import near_paths
from ..hub_names import is_owned_name
from ..wording import did_you_mean, listed
from .hub_names import check_on_hub
from .modalities import default_encoder
from .options import SINGLE_LABEL
from .output import say
from .tables import Table

if TYPE_CHECKING:
    from ..pipelines import FewShotPipeline

MODEL_TYPE, GENERATOR_TYPE = "mann", "mann_seq2seq"
"""The `model_type` of `MANNConfig` and of `MANNSeq2SeqConfig`, which are slow to import."""
MOST_NAMED = 3
"""Classifiers inside a folder that a message names."""


def find_config(place: str, on_hub: bool, generators: bool = False) -> dict[str, Any]:
    """The configuration of a saved classifier, before its weights are read.

    Args:
        place: its folder, or its name on the Hub.
        on_hub: whether to look on the Hub if there is no such folder.
        generators: whether it may be a model that generates texts from pairs, too.

    Raises:
        InvalidInputError: there is no classifier there.
    """
    folder = Path(place)
    if folder.is_dir():
        config = _config_in(folder)
        if not on_hub:  # a command that writes there, its card too
            check_file(folder / CARD)
    else:
        question = did_you_mean(near_paths(place, _is_classifier))
        if not on_hub or folder.exists() or not is_owned_name(place):
            cure = f"`mann-hf remember {shlex.quote(place)} TABLE` makes one, and so does save_pretrained."
            raise InvalidInputError(f"there is no folder {place!r}; {question or cure}")
        config = _config_on_hub(place, question)
    kind = config.get("model_type")
    if kind is None:
        raise InvalidInputError(f"{place!r} holds no classifier: its {CONFIG} names no model_type.")
    if kind == GENERATOR_TYPE and not generators:
        raise InvalidInputError(
            f"{place!r} holds a model that generates texts, and no classifier; `mann-hf generate {shlex.quote(place)} "
            "TEXT` asks it."
        )
    if kind not in (MODEL_TYPE, GENERATOR_TYPE):
        raise InvalidInputError(
            f"{place!r} holds a model of type {kind!r}, not a classifier with a memory; to use it as the encoder of a "
            f"new one: `mann-hf remember NEW_FOLDER TABLE --encoder {shlex.quote(place)}`; to have it generate from "
            f"pairs: `mann-hf remember NEW_FOLDER TABLE --seq2seq {shlex.quote(place)}`."
        )
    return config


def is_generator(config: dict[str, Any]) -> bool:
    """Whether a saved model generates texts from pairs, and is no classifier."""
    return config.get("model_type") == GENERATOR_TYPE


def is_new(folder: str) -> bool:
    """Whether a folder is still to be made: it is not there, or empty.

    Raises:
        InvalidInputError: it is a file.
    """
    from ..hub.saving import STAGING

    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InvalidInputError(f"{folder!r} is a file; give a folder for the classifier.")
    # neither the remains of a first save that was killed nor the lock make a classifier
    return not path.exists() or all(file.name.startswith((STAGING, folder_lock.LOCK)) for file in path.iterdir())


def problem_type_of(config: dict[str, Any]) -> str:
    """The problem type of a saved classifier."""
    return str(config.get("problem_type") or SINGLE_LABEL)


@contextmanager
def only_writer(folder: str) -> Iterator[folder_lock.FolderLock]:
    """Waits until nobody else writes to this folder, and makes others wait until the block ends.

    Without it, of two commands that change a classifier at once, the one that saves last would undo the other.

    Raises:
        InvalidInputError: it is a file.
    """
    is_new(folder)  # refuses a file
    from ..hub.saving import recover

    def waiting() -> None:
        say(f"waiting for another command or process that writes to {folder} (Ctrl-C ends the wait) ...")

    with folder_lock.only_writer(folder, waiting) as lock:
        recover(folder)
        yield lock


def open_classifier(place: str, modality: str, taught: bool = False) -> "FewShotPipeline":
    """The classifier in a folder or on the Hub.

    Raises:
        EmptyMemoryError: it is to be `taught`, and its memory is empty; the command that teaches is named.
    """
    from ..pipelines import pipeline_of

    kind: Any = pipeline_of(modality)
    classifier = kind(model=kind.model_class.from_pretrained(place))
    if taught and not len(classifier.model.memory):
        raise EmptyMemoryError(
            f"the memory in {place!r} is empty; teach it with `mann-hf remember {shlex.quote(place)} TABLE`."
        )
    return classifier


def make_classifier(encoder: str | None, found: Table, **config: Any) -> "FewShotPipeline":
    """A new classifier with an empty memory, of the inputs of a table.

    Args:
        encoder: its name; None for the default of these inputs.
        found: the table.
        config: fields of the configuration; those that are None keep their defaults.

    Raises:
        InvalidInputError: the encoder reads other inputs.
    """
    from ..pipelines import pipeline_of

    kind: Any = pipeline_of(found.kind)
    given = {name: value for name, value in config.items() if value is not None}
    if kind.model_class.modality is None:  # a class of any modality
        given["modality"] = found.kind
    try:
        return kind(model=kind.model_class.from_encoder_pretrained(encoder or default_encoder(found.kind), **given))
    except InvalidInputError as error:
        if " encoder: " not in str(error):
            raise
        raise InvalidInputError(
            f"{found.source} holds {found.kind}s, and --encoder {encoder} does not read them: {error}"
        ) from None


def is_same_encoder(name: str, other: str | None) -> bool:
    """Whether two names mean one encoder: equal names, a name and its short form, or two paths to one folder."""
    if other is None:
        return False
    if os.path.isdir(name) and os.path.isdir(other):
        return os.path.samefile(name, other)
    return SHORT_NAMES.get(name, name) == SHORT_NAMES.get(other, other)


def _config_in(folder: Path) -> dict[str, Any]:
    from ..hub.saving import recover

    recover(folder)
    try:
        return read_object(folder / CONFIG)
    except FileNotFoundError:
        pass
    if (folder / MEMORY_FILE).exists():
        from ..hub.source import Source
        from ..persistent.memory_sources import check_with_model

        check_with_model(Source.of(folder))
    if (folder / WEIGHTS).exists():
        from ..hub.configs import no_model

        raise no_model(folder)
    inside = [repr(str(each)) for each in islice(filter(_is_classifier, sorted(folder.iterdir())), MOST_NAMED)]
    cure = "give one that `mann-hf remember` or save_pretrained made, and to make one a new or empty folder."
    if inside:
        cure = f"there are classifiers in it: give one of them, such as {listed(inside)}."
    raise InvalidInputError(f"the folder {str(folder)!r} holds no classifier, as it has no {CONFIG}; {cure}")


def _is_classifier(folder: Path) -> bool:
    with suppress(MannError, OSError):
        return read_object(folder / CONFIG).get("model_type") in (MODEL_TYPE, GENERATOR_TYPE)
    return False


def _config_on_hub(name: str, question: str) -> dict[str, Any]:
    from ..hub.source import Source

    refusal = check_on_hub(name, "model", question)
    try:
        path, why = Source.of(name).fetch(CONFIG), f"the repository has no {CONFIG}"
    except OSError as error:
        path, why = None, f"{error}"
    if path is not None:
        return read_object(path)
    if refusal is not None:
        why = f"{refusal.words}. What helps: {refusal.cure}"
    hub = f"{question} The Hub" if question else "the Hub"
    raise InvalidInputError(
        f"there is no folder {name!r} and no such model in the Hub cache; {hub}: {why.rstrip('.')}."
    )
