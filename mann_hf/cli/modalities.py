"""The kinds of inputs that the shell knows, each by its modality, which is also what one input is called."""

from typing import Any, NamedTuple

from ..controllers import DEFAULT_ENCODER
from ..controllers import IMAGE as IMAGE
from ..controllers import TEXT as TEXT
from ..errors import InvalidInputError


class Modality(NamedTuple):
    """A kind of input: its default encoder, and the endings of files with one each, as in a folder of class folders."""

    encoder: str
    endings: tuple[str, ...]


MODALITIES = {
    TEXT: Modality(DEFAULT_ENCODER, (".txt",)),
    IMAGE: Modality(
        "facebook/dinov2-small",
        (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
    ),
}
"""Those that are looked for first come first; the controllers take seconds to import."""
USUAL_ENCODERS = ", ".join(f"{each.encoder} for {kind}s" for kind, each in MODALITIES.items())
"""The default encoders, for help."""


def modality_of(config: dict[str, Any], place: str) -> str:
    """The modality of a saved classifier.

    Raises:
        InvalidInputError: the shell knows no inputs of it.
    """
    modality = config.get("modality") or TEXT
    if modality not in MODALITIES:
        raise InvalidInputError(
            f"the classifier in {place!r} takes inputs of the modality {modality!r}, and the shell knows "
            f"{' and '.join(MODALITIES)}: use it in Python."
        )
    return str(modality)
