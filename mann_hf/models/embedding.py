"""Keys for inputs as users give them, and for the fixed inputs that identify an encoder."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..controllers.inputs import is_of_device
from ..controllers.processor import InputProcessor
from ..errors import InvalidInputError, MannError
from ..hub.guard import as_folder_error
from ..memory.precision import LARGEST, strange
from ..wording import counted, shown
from .adapter_switches import active_adapters_on
from .base_weights import Mark, mark


class Probe(NamedTuple):
    """The keys that identify an encoder, with what tells whether they still hold.

    Attributes:
        mark: of the encoder's weights.
        settings: the names of the adapters that were on, and how states become keys.
        keys: [P, K], `encoder_probe` of these weights.
    """

    mark: Mark
    settings: tuple[Any, ...]
    keys: Tensor


@torch.no_grad()
def embed_checked(
    model: Any,
    processor: InputProcessor,
    inputs: Sequence[Any],
    batch_size: int | None = None,
    advance: Callable[[int], Any] | None = None,
) -> Tensor:
    """Keys for inputs, [N, K], without gradients.

    Args:
        inputs: N inputs, as `processor.check` gives them.
        advance: called with the number of inputs done after each batch.

    Raises:
        InvalidInputError: a key that is not finite, and it names the input; or the encoder failed.
    """
    read_from = model.name_or_path or None
    with as_folder_error(read_from, processor.file):
        encodings = processor.encode(inputs)
        options = processor.embed_options
    keys = torch.empty(len(inputs), model.key_size, dtype=torch.float32)
    with evaluating(model):
        for rows in processor.batches(encodings, batch_size):
            with as_folder_error(read_from, processor.file):
                batch = {name: part.to(model.device) for name, part in processor.collate(encodings, rows).items()}
            with _in_words_of(model.encoder, processor.noun):
                keys[rows] = model.embed(**batch, **options).to("cpu", torch.float32)
            if advance is not None:
                advance(len(rows))
    if (unlike := strange(keys)).any():
        first = int(unlike.nonzero()[0])
        raise InvalidInputError(
            f"the encoder gave NaN, infinity or a number above {LARGEST:g} for "
            f"{counted(int(unlike.sum()), processor.noun)} of {len(inputs):,}, first for {processor.noun} {first} "
            f"(counted from 0), {shown(inputs[first], 42)}. Its weights may hold such numbers, or half precision "
            "overflowed: load it with dtype=torch.float32."
        )
    return keys.to(model.device)


def last_probe(model: Any, last: Probe | None) -> Probe:
    """The probe of a model's encoder: the last one, unless weights or adapters have changed since."""
    now = mark(model.encoder, *map(model.get_submodule, model.key_parts))
    settings = active_adapters_on(model), *model.key_settings
    if last is not None and last.settings == settings and last.mark.same(now):
        return last
    return Probe(now, settings, model.encoder_probe())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Turns dropout off, and leaves every module in the mode in which it was."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _in_words_of(encoder: nn.Module, noun: str) -> Iterator[None]:
    """Says of an encoder that cannot compute that it is the encoder, and of one that lacks a precision what helps."""
    try:
        yield
    except MannError:
        raise
    except (RuntimeError, ArithmeticError, AssertionError, LookupError) as error:
        if is_of_device(error):
            raise
        used = {parameter.dtype for parameter in encoder.parameters() if parameter.is_floating_point()}
        if used <= {torch.float32, torch.float64} or not re.search(r"dtype|BFloat16|Half", str(error)):
            raise InvalidInputError(
                f"{type(encoder).__name__} failed as it encoded the {noun}s ({type(error).__name__}: "
                f"{str(error)[:200]}). The {noun}s may not have the size that it reads, or the settings in its "
                "configuration not go together."
            ) from error
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in used))
        raise InvalidInputError(
            f"{type(encoder).__name__} cannot compute in {names} ({str(error)[:100]}); load it with "
            "dtype=torch.float32."
        ) from error
