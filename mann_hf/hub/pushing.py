"""Checks of a push before anything is read or sent."""

from ..errors import HubError, InvalidInputError
from ..hub_names import why_no_hub_name

NOT_SIGNED_IN = 401


def check_push(repo_id: str, token: bool | str | None = None) -> None:
    """Raises if a name is none that the Hub allows, or there is no token.

    Args:
        repo_id: `"owner/name"`, or the name alone for a repository of one's own.
        token: of the user; by default the one that `hf auth login` stored, or of the environment.

    Raises:
        InvalidInputError: it is not a valid name of a repository.
        HubError: there is no token.
    """
    from huggingface_hub import get_token

    if (why := why_no_hub_name(repo_id)) is not None:
        raise InvalidInputError(
            f"{repo_id!r} is not a valid name of a repository on the Hub, such as me/my-intents: {why}"
        )
    if not (get_token() if token is None or token is True else token):
        raise HubError(
            f"{repo_id}: to push, log in with `hf auth login`, set HF_TOKEN, or give token=.", repo_id, NOT_SIGNED_IN
        )
