"""Asks the Hub for a name, before libraries that would ask it over and over."""

from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..hub_names import why_no_hub_name

if TYPE_CHECKING:
    from ..hub.probe import Refusal, RepositoryKind

CALLED = {"model": "model", "dataset": "data set"}


def check_on_hub(name: str, kind: "RepositoryKind", question: str = "") -> "Refusal | None":
    """Refuses what the Hub does not have; if it is out of reach, sees to it that only its cache is asked from now on.

    A Hub that is only slow or busy is asked on, by its client, which waits longer and tries again.

    Args:
        name: `"owner/name"`, or the name alone for data sets without an owner.
        kind: of the repository.
        question: which path may have been meant, for the error.

    Returns:
        Why only the cache is asked; None if the Hub is.

    Raises:
        InvalidInputError: the Hub has no such repository, or not for us.
    """
    from ..hub.probe import hub_refusal

    if (why := why_no_hub_name(name)) is not None:
        raise InvalidInputError(f"{name!r} is not a valid name of a {CALLED[kind]} on the Hub: {why}")
    refusal = hub_refusal(name, kind=kind)
    if refusal is None or refusal.may_pass:
        return None
    if not refusal.out_of_reach:
        asked = f"; {question}" if question else "."
        raise InvalidInputError(
            f"the Hub does not give the {CALLED[kind]} {name!r}: {refusal.words}{asked} What helps: {refusal.cure}."
        )
    _ask_the_cache_alone(kind)
    return refusal


def _ask_the_cache_alone(kind: str) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    if kind == "dataset":
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
