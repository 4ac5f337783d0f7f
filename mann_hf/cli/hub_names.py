"""Asks the Hub for a name, before libraries that would ask it over and over."""

from typing import Any, Literal

from ..errors import InvalidInputError

PROBE_SECONDS = 5.0


def check_on_hub(name: str, kind: Literal["model", "dataset"], question: str = "") -> None:
    """Returns if the Hub has a repository; if it is out of reach, sees to it that only its cache is asked from now on.

    Args:
        name: `"owner/name"`, or the name alone for data sets without an owner.
        kind: of the repository.
        question: which path may have been meant, for the error.

    Raises:
        InvalidInputError: the Hub has no such repository, or not for us.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The HTTP client's own class of errors, which differs between versions, and OSError.
    out_of_reach: Any = HfHubHTTPError.__bases__
    called = {"model": "model", "dataset": "data set"}[kind]
    try:
        HfApi().repo_info(name, repo_type=kind, timeout=PROBE_SECONDS)
    except HFValidationError as error:
        raise InvalidInputError(f"{name!r} is not a valid name of a {called} on the Hub: {error}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if 400 <= status < 500 and status != 429:
            asked = question and f"{question} Or "
            raise InvalidInputError(
                f"the Hub has no {called} {name!r} for you ({status}): {asked}check the spelling, or log in with `hf "
                "auth login` if it is private or gated."
            ) from None
        _ask_the_cache_alone(kind)
    except out_of_reach:
        _ask_the_cache_alone(kind)


def _ask_the_cache_alone(kind: str) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    if kind == "dataset":
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
