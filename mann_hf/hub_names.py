"""Which names repositories of the Hub may have."""


def why_no_hub_name(name: str) -> str | None:
    """Why no repository of the Hub can have this name, in its client's words; None if one can."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        return str(error)
    if not name.isascii():  # older clients take them
        return f"it has letters that no name on the Hub has: {name!r}."
    return None


def is_hub_name(name: str) -> bool:
    """Whether a repository of the Hub may have this name: `owner/name`, or `name` alone, as a few old ones."""
    return why_no_hub_name(name) is None


def is_owned_name(name: str) -> bool:
    """Whether a repository of the Hub may have this name, and it says whose it is: `owner/name`."""
    return "/" in name and is_hub_name(name)
