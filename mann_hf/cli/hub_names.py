"""Checks a name with one request to the Hub, before libraries ask for it again and again."""

from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..hub_names import why_no_hub_name

if TYPE_CHECKING:
    from ..hub.probe import Refusal, RepositoryKind

CALLED = {"model": "model", "dataset": "data set"}


def check_on_hub(name: str, kind: "RepositoryKind", question: str = "") -> "Refusal | None":
    """Checks that the Hub has a repository; if the Hub is out of reach, only its cache is used from now on.

    If the Hub is only slow or busy, the check passes: its client waits longer and tries again.

    Args:
        name: `"owner/name"`, or the name alone for data sets without an owner.
        kind: the kind of the repository.
        question: the path that may have been meant, for the error.

    Returns:
        Why only the cache is used; None if the Hub is.

    Raises:
        InvalidInputError: the Hub has no such repository, or does not give it to this user.
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
    _use_only_the_cache(kind)
    return refusal


def _use_only_the_cache(kind: str) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    if kind == "dataset":
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
