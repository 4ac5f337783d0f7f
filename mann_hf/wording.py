"""Words that many messages share."""

from collections.abc import Iterable


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun: "1 text", "2 texts".

    Args:
        count: the number.
        one: the noun.
        many: its plural, if that is not the noun with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first few of many names."""
    names = list(names)
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
