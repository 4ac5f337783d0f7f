"""Models and memories as repositories on the Hub: their cards, and uploads that are whole or not at all."""

import copy
import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError
from transformers.utils import cached_file, logging

from .. import cards
from ..cards import LabelFacts, MANNModelCardData, ModelFacts
from ..memory.reading import REGRESSION, SINGLE_LABEL
from .configuration_mann import MANNConfig
from .labelled_memory import LabelledMemory, label_names
from .memory_files import MEMORY_FILE, READABLE_FILE, save_memory
from .saving import SUPERSEDED, write_whole

if TYPE_CHECKING:
    from .modeling_mann import MANNPreTrainedModel

logger = logging.get_logger(f"transformers.{__name__}")

CARD = "README.md"
CARD_DATA = "model_card.json"
"""What the card says that weights and memory do not tell, so that it is known where the model is loaded again."""
LARGEST_CARD_DATA = 2**20
"""Bytes; one that is larger is passed over."""
RESULTS = ".eval_results/mann_hf.yaml"
PACKAGES = ("mann_hf", "torch", "transformers", "huggingface_hub")
TOLD_SETTINGS = ("similarity", "pooling", "reading_options", "capacity", "eviction", "label_names", "prompt_name")
"""Fields of the configuration that a card tells where they are not the default's."""
QUESTIONS = 5


def model_facts(model: "MANNPreTrainedModel", place: str) -> ModelFacts:
    """What a card is told of a model.

    Args:
        model: as it is now.
        place: the repository or folder by which it is loaded.
    """
    config, memory = model.config, model.memory
    usual = MANNConfig()
    different = {name: getattr(config, name) for name in TOLD_SETTINGS}
    return ModelFacts(
        place=place,
        model_class=type(model).__name__.removeprefix("FSDP"),
        problem_type=config.problem_type or SINGLE_LABEL,
        encoder=config.encoder_name,
        reading=config.reading,
        settings={name: value for name, value in different.items() if value != getattr(usual, name)},
        max_tokens=model.max_length(),
        labels=_labels(memory),
        entries=len(memory),
        questions=_questions(memory),
        stores_texts=all(entry.text is not None for entry in memory.entries),
        extra="peft" if config.adapter is not None else None,
        versions=versions(),
    )


@cache
def versions() -> dict[str, str]:
    """Python and the packages that a model is made with."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return found


def _labels(memory: LabelledMemory) -> tuple[LabelFacts, ...]:
    if memory.problem_type == REGRESSION:
        return ()
    counts: Counter[str] = Counter()
    example: dict[str, str | None] = {}
    description: dict[str, str | None] = {}
    for entry in memory.entries:
        for name in label_names(entry.label):
            if entry.kind == "example":
                counts[name] += 1
                example.setdefault(name, entry.text)
            else:
                description.setdefault(name, entry.text)
    return tuple(LabelFacts(name, counts[name], example.get(name), description.get(name)) for name in memory.labels)


def _questions(memory: LabelledMemory) -> tuple[tuple[str, str], ...]:
    """A few stored texts with their labels, each of another label where there are as many."""
    first: dict[Any, tuple[str, str]] = {}
    for entry in memory.entries:
        if entry.text is not None and entry.kind == "example" and entry.label not in first:
            label = entry.label if isinstance(entry.label, str) else ", ".join(map(str, entry.label))
            first[entry.label] = (" ".join(entry.text.split()), label)
            if len(first) == QUESTIONS:
                break
    return tuple(first.values())


def write_cards(model: "MANNPreTrainedModel", folder: Path, place: str, before: str | None) -> None:
    """Writes the card, what it says, and the results for the Hub.

    Args:
        model: what the card is of.
        folder: where to.
        place: the repository or folder by which the model will be loaded.
        before: the card that is there now; one of the user's own is kept.
    """
    said = model.model_card_data
    files = {
        CARD: cards.merged(cards.model_card(model_facts(model, place), said), before),
        CARD_DATA: said.to_json() if said != MANNModelCardData() else None,
        RESULTS: cards.results_file(said, place),
    }
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            write_whole(folder / name, content.encode())


def write_local_cards(model: "MANNPreTrainedModel", staging: Path, save_directory: str | os.PathLike) -> None:
    """Writes the cards of a save into `staging` that will lie in `save_directory`."""
    # its name alone: a path of this machine would be published with the folder
    write_cards(model, staging, Path(save_directory).resolve().name, before=card_in(save_directory))


def card_in(folder: str | os.PathLike) -> str | None:
    """The card in a folder, if there is one that can be read."""
    try:
        return Path(folder, CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def read_card_data(place: Any, **kwargs: Any) -> MANNModelCardData:
    """What the card of a saved model said; nothing where there is none.

    It may be a stranger's: one that is damaged or too large is passed over with a warning, and the model loads.

    Args:
        place: a folder or repository.
        kwargs: of `cached_file`.
    """
    if place is None:
        return MANNModelCardData()
    try:
        path = cached_file(
            place,
            CARD_DATA,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **kwargs,
        )
        if path is None:
            return MANNModelCardData()
        if os.path.getsize(path) > LARGEST_CARD_DATA:
            raise ValueError(f"it has more than {LARGEST_CARD_DATA:,} bytes")
        return MANNModelCardData.from_json(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        logger.warning(f"{CARD_DATA} of {place} is passed over: {' '.join(str(error).split())[:300]}")
        return MANNModelCardData()


def save_tokenizer(model: "MANNPreTrainedModel", tokenizer: Any, folder: Path) -> None:
    """Saves a tokenizer that cuts where the model does, also where a stock pipeline is told truncation=True."""
    own = copy.deepcopy(tokenizer)
    own.model_max_length = model.max_length(own) or own.model_max_length
    own.save_pretrained(folder)


def push_model(
    model: "MANNPreTrainedModel", repo_id: str, tokenizer: Any, save_options: dict[str, Any], **upload: Any
) -> CommitInfo:
    """Uploads a model with all that belongs to it as one commit; see `MANNPreTrainedModel.push_to_hub`."""
    tags = upload.pop("tags", None) or []
    said = model.model_card_data
    said.tags = list(dict.fromkeys([*said.tags, *([tags] if isinstance(tags, str) else tags)]))

    def fill(folder: Path, repo_id: str, before: str | None) -> None:
        model.save_pretrained(folder, create_model_card=False, **save_options)
        save_tokenizer(model, tokenizer, folder)
        write_cards(model, folder, repo_id, before)

    upload = {"commit_message": "Upload model", **{name: value for name, value in upload.items() if value is not None}}
    return _push(fill, repo_id, replaced=[*SUPERSEDED, RESULTS], **upload)


def push_memory(model: "MANNPreTrainedModel", repo_id: str, **upload: Any) -> CommitInfo:
    """Uploads a memory as one commit; see `MANNPreTrainedModel.push_memory_to_hub`."""

    def fill(folder: Path, repo_id: str, before: str | None) -> None:
        save_memory(model.memory, folder)
        facts, said = model_facts(model, repo_id), model.model_card_data
        of_memory = MANNModelCardData(language=said.language, license=said.license, limits=list(said.limits))
        card = cards.merged(cards.memory_card(facts, _loading(model), of_memory), before)
        if card is not None:
            (folder / CARD).write_text(card, encoding="utf-8")

    upload = {"commit_message": "Upload memory", **{name: value for name, value in upload.items() if value is not None}}
    return _push(fill, repo_id, replaced=[MEMORY_FILE, READABLE_FILE], **upload)


def _loading(model: "MANNPreTrainedModel") -> str:
    """The expression that gives a model with this model's encoder; in place of a folder of this machine, what it is."""
    name, encoder = f"mann_hf.{type(model).__name__}", model.config.encoder_name
    if model.name_or_path and not os.path.isdir(model.name_or_path):
        return f"{name}.from_pretrained({json.dumps(model.name_or_path, ensure_ascii=False)})"
    if model.name_or_path or model.model_card_data.training is not None:
        return f'{name}.from_pretrained("the model that wrote it")'
    place = "the encoder that wrote it" if not encoder or os.path.isdir(encoder) else encoder
    options = "" if model.config.problem_type is None else f", problem_type={json.dumps(model.config.problem_type)}"
    return f"{name}.from_encoder_pretrained({json.dumps(place, ensure_ascii=False)}{options})"


def _push(
    fill: Callable[[Path, str, str | None], None],
    repo_id: str,
    *,
    replaced: list[str],
    token: bool | str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    **commit: Any,
) -> CommitInfo:
    """Makes the repository if need be, and uploads a folder as one commit: a reader finds all of it or what was before.

    Files whose content the Hub has already are not sent again.

    Args:
        fill: writes the files into a folder, told the whole name of the repository and the card that is there.
        repo_id: its name.
        replaced: patterns of files that are removed where they are not written anew.
        token: of the user.
        private: of a repository that is made.
        revision: the branch, made if need be.
        commit: further arguments of `HfApi.upload_folder`.
    """
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    # a pull request may be to a repository of others, where one makes no branches
    if revision is not None and not revision.startswith("refs/pr/") and not commit.get("create_pr"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "upload")
        folder.mkdir()
        before = _card_on_hub(api, repo_id, revision, Path(temporary))
        fill(folder, repo_id, before)
        return api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, delete_patterns=replaced, **commit
        )


def _card_on_hub(api: HfApi, repo_id: str, revision: str | None, folder: Path) -> str | None:
    try:
        api.hf_hub_download(repo_id, CARD, revision=revision, local_dir=folder)
    except (EntryNotFoundError, RevisionNotFoundError):
        return None
    return card_in(folder)
