"""Loading all weights of a saved model, or refusing them: none of a loaded model's are random."""

from collections.abc import Callable
from typing import Any

from transformers.utils import logging

from ..hub.files import WEIGHTS
from ..hub.load_reports import SHOWN, check_shapes, check_whole, deeper_parts, quiet_load_report
from ..hub.source import Source
from ..hub.weight_sizes import not_together
from ..persistent.memory_sources import check_with_model
from ..wording import listed

logger = logging.get_logger(f"transformers.{__name__}")


def load_whole(load: Callable[..., Any], source: Source, *args: Any, **kwargs: Any) -> Any:
    """What transformers' `from_pretrained` gives, if the weights and the configuration are those of one model.

    Raises:
        FolderError: weights are missing (those of parts with start values aside, such as the reading), of another shape
            (without `ignore_mismatched_sizes`), or of more layers than the configuration names.
        MemoryFileError: there is a memory without a model.
    """
    place = str(source.place)
    other_shapes, with_report = (kwargs.pop(name, False) for name in ("ignore_mismatched_sizes", "output_loading_info"))
    with quiet_load_report():
        try:
            model, report = load(place, *args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs)
        except OSError:
            check_with_model(source)
            raise
    if not other_shapes:
        check_shapes(report, place)
    starting = tuple(f"{part}." for part in model.start_values)
    left_out = {name for name in report["missing_keys"] if name.startswith(starting)}
    check_whole(set(report["missing_keys"]) - left_out, place)
    if left_out:  # nothing random
        parts = [part for part in model.start_values if any(name.startswith(f"{part}.") for name in left_out)]
        named = " and ".join(f"the {part} {getattr(model.config, part, '')!r}".removesuffix(" ''") for part in parts)
        logger.warning(
            f"The weights in {place!r} have no {listed(sorted(left_out))}: {named} starts with its usual values there, "
            "not with learned ones."
        )
    fixed = tuple(f"{part}." for part in (*model.key_parts, *model.reading_parts) if part not in model.start_values)
    unexpected = [name for name in sorted(report["unexpected_keys"]) if name.startswith(fixed)]
    if left_over := deeper_parts(report, model.state_dict()) or unexpected:
        shown = listed(left_over, SHOWN)
        raise not_together(place, f"the weights have further layers than the configuration names: {shown}", WEIGHTS)
    return (model, report) if with_report else model
