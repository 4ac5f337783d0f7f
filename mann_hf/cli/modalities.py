"""The kinds of inputs that the shell takes, each by its modality, which is also what one input is called."""

import functools
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from ..controllers import DEFAULT_ENCODER
from ..controllers import IMAGE as IMAGE
from ..controllers import TEXT as TEXT
from ..errors import InvalidInputError
from ..registry import Registry
from .output import say

ENTRY_POINTS = "mann_hf.modalities"
"""The group of entry points by which the shell finds modalities of other packages; it imports what they name."""


class Modality(NamedTuple):
    """How the shell takes inputs of one modality.

    Attributes:
        encoder: the default encoder; None where one has to be named.
        columns: the usual names of a table's column of inputs, in lower case; the first is preferred to the others.
        endings: of files with one input each, as in a folder of class folders; none where there are no such files.
        are_files: whether a cell holds the path of a file, and not the input itself.
        check: gives inputs as a list and raises an `InvalidInputError` or `InvalidTypeError` for one that no encoder
            reads; a training asks it before its encoder is loaded. None where cells are checked by the shell.
    """

    encoder: str | None
    columns: tuple[str, ...]
    endings: tuple[str, ...] = ()
    are_files: bool = False
    check: Callable[[Any], list[Any]] | None = None


def _check_images(inputs: Any) -> list[Any]:
    from ..controllers.pictures import check_pictures

    return check_pictures(inputs)


MODALITIES: Registry[Modality] = Registry("modality of the shell")
"""The modalities of the shell in the order in which tables are searched for them.

They are apart from the controllers, which take seconds to import.
"""
MODALITIES.register(TEXT)(
    Modality(
        encoder=DEFAULT_ENCODER,
        columns=(
            *("text", "texts", "utterance", "utterances", "utt", "sentence", "sentences", "query", "question"),
            *("message", "content", "input", "prompt", "body", "comment", "review", "tweet", "document", "phrase"),
            *("request", "nachricht", "frage", "anfrage", "satz", "kommentar", "inhalt", "eingabe"),
            *("texte", "commentaire", "requête", "texto", "mensaje", "pregunta", "frase", "comentario", "consulta"),
        ),
        endings=(".txt",),
    )
)
MODALITIES.register(IMAGE)(
    Modality(
        encoder="facebook/dinov2-small",
        columns=(
            *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "image_path", "img_path"),
            *("image_file", "file_name", "filename", "file_path", "filepath", "file", "path"),
            *("bild", "bilder", "foto", "fotos", "datei", "pfad", "fichier", "chemin", "imagen", "archivo", "ruta"),
        ),
        endings=(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
        are_files=True,
        check=_check_images,
    )
)
SOURCE = "source"
"""What tables of pairs have in place of a modality: the column of sources, whose targets stand in another."""
_SOURCES = Modality(
    encoder=None,
    columns=(
        *("source", "sources", "src", "source_text", "command", "commands", "article", "meaning_representation", "mr"),
        *("quelle", "quelltext", "fuente", "origine"),
        *(name for name in MODALITIES[TEXT].columns if name != "query"),  # the target of a question
    ),
)
USUAL_ENCODERS = ", ".join(f"{each.encoder} for {kind}s" for kind, each in MODALITIES.items())
"""The default encoders, for help."""


def kind_of_inputs(kind: str) -> Modality:
    """How the shell takes inputs of a kind: a modality, or sources."""
    return _SOURCES if kind == SOURCE else MODALITIES[kind]


def all_modalities() -> tuple[str, ...]:
    """The names of all modalities, those of other packages last."""
    _import_others()
    return tuple(MODALITIES)


def default_encoder(modality: str) -> str:
    """The encoder that is taken where none is named.

    Raises:
        InvalidInputError: one has to be named.
    """
    if (encoder := MODALITIES[modality].encoder) is None:
        raise InvalidInputError(f"there is no default encoder of {modality}s: name one with --encoder.")
    return encoder


def modality_of(config: dict[str, Any], place: str) -> str:
    """The modality of a saved classifier.

    Raises:
        InvalidInputError: the shell knows no inputs of it.
    """
    modality = config.get("modality") or TEXT
    if modality not in MODALITIES:
        _import_others()
    if modality not in MODALITIES:
        raise InvalidInputError(
            f"the classifier in {place!r} takes inputs of the modality {modality!r}, and the shell knows "
            f"{' and '.join(MODALITIES)}: use it in Python."
        )
    return str(modality)


@functools.cache
def _import_others() -> None:
    """Imports what packages name as their modalities; one that fails is left out with a note."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # of any kind, as it is another package's
            say(f"the modality {point.name!r} of {point.value} is left out: {type(error).__name__}: {error}")
