"""What transformers reports of loading weights, judged: which are missing, left over, or of another shape."""

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import LogRecord, getLogger
from typing import Any

from ..wording import counted, listed
from .files import WEIGHTS
from .weight_sizes import endings, not_together

SHOWN = 3
"""Names of weights in a message."""
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@contextmanager
def quiet_load_report() -> Iterator[None]:
    """Holds back what transformers reports in this thread: what of it matters is an error or warning of ours."""
    reporter, thread = getLogger("transformers.modeling_utils"), threading.get_ident()

    def silence(record: LogRecord) -> bool:
        return record.thread != thread or "LOAD REPORT" not in record.getMessage()

    reporter.addFilter(silence)
    try:
        yield
    finally:
        reporter.removeFilter(silence)


def deeper_parts(report: dict[str, Any], names: Iterable[str]) -> list[str]:
    """The weights left over that are like those of the model but for a number in their names: of further layers.

    Other weights left over are of other uses, such as a pooler or the head of another task. The report is that of
    `from_pretrained` with `output_loading_info=True`.
    """
    known = set(names)
    kinds = {NUMBER.sub("#", name) for name in known if NUMBER.search(name)}
    return sorted(
        name
        for name in report["unexpected_keys"]
        if kinds.intersection(endings(NUMBER.sub("#", name))) and not known.intersection(endings(name))
    )


def check_shapes(report: dict[str, Any], place: Any) -> None:
    """Refuses weights of other shapes than the model's, which transformers would replace by random ones."""
    if other := sorted(report["mismatched_keys"]):
        shown = [f"{name} is {list(held)} and must be {list(wanted)}" for name, held, wanted in other[:SHOWN]]
        raise not_together(
            place, f"{counted(len(other), 'weight has', 'weights have')} another shape: {listed(shown)}", WEIGHTS
        )


def check_whole(missing: Iterable[str], place: Any) -> None:
    """Refuses weights that are not all there: the others would be random."""
    if lacking := sorted(missing):
        raise not_together(
            place,
            f"{counted(len(lacking), 'weight of the model is', 'weights of the model are')} missing: "
            f"{listed(lacking, SHOWN)}",
            WEIGHTS,
        )
