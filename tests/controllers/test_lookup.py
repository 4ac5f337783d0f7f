"""One lookup for several batches: the same keys and gradients, by fewer gradients of the table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.controllers.lookup import looked_up_once
from mann_hf.controllers.text_encoder import embed

from .test_text_encoder import FAMILIES, VOCABULARY, config_of

BATCHES = [torch.randint(3, VOCABULARY, (rows, 3 + rows)) for rows in (2, 4, 1)]


def encoder_of(family: str) -> Any:
    torch.manual_seed(0)
    return controller_of(TEXT).build(config_of(family)).eval()


def keys_of(encoder: Any, batches: list[Tensor]) -> Tensor:
    return torch.cat([embed(encoder, "mean", True, input_ids=batch) for batch in batches])


def lookups(keys: Tensor) -> int:
    """Lookups in the table of tokens that a gradient goes back through."""
    seen, ahead, found = set(), [keys.grad_fn], 0
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        ahead += [before for before, _ in node.next_functions]
        if node.name() == "EmbeddingBackward0":
            found += node.next_functions[0][0].variable.shape[0] == VOCABULARY  # type: ignore[union-attr]
    return found


def gradients(encoder: nn.Module, keys: Tensor) -> dict[str, Tensor]:
    encoder.zero_grad()
    (keys * torch.linspace(-1, 1, keys.numel()).view_as(keys)).sum().backward()
    return {name: weight.grad.clone() for name, weight in encoder.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_and_gradients_are_those_of_one_lookup_a_batch(family: str) -> None:
    encoder = encoder_of(family)
    apart = keys_of(encoder, BATCHES)
    with looked_up_once(encoder, BATCHES):
        together = keys_of(encoder, BATCHES)
    assert (lookups(apart), lookups(together)) == (3, 1)
    torch.testing.assert_close(together, apart, rtol=0, atol=0)
    expected = gradients(encoder, apart)
    torch.testing.assert_close(gradients(encoder, together), expected)
    assert not encoder.get_input_embeddings()._forward_hooks


def test_other_tokens_are_looked_up_as_ever() -> None:
    encoder = encoder_of("Bert")
    other = torch.randint(3, VOCABULARY, BATCHES[0].shape)
    expected = keys_of(encoder, [other])
    with looked_up_once(encoder, BATCHES):
        torch.testing.assert_close(keys_of(encoder, [other]), expected, rtol=0, atol=0)
        part = keys_of(encoder, [BATCHES[1][:2]])
    torch.testing.assert_close(part, keys_of(encoder, [BATCHES[1][:2]]), rtol=0, atol=0)


@contextmanager
def hooked(encoder: Any) -> Iterator[None]:
    hook = encoder.get_input_embeddings().register_forward_hook(lambda module, args, found: 2 * found)
    yield
    hook.remove()


@contextmanager
def frozen(encoder: Any) -> Iterator[None]:
    encoder.get_input_embeddings().weight.requires_grad_(False)
    yield


@contextmanager
def nameless(encoder: Any) -> Iterator[None]:
    encoder.get_input_embeddings = lambda: (_ for _ in ()).throw(NotImplementedError)
    yield


@contextmanager
def wrapped(encoder: Any) -> Iterator[None]:
    table = encoder.get_input_embeddings()
    encoder.set_input_embeddings(nn.Sequential(table))
    yield


@pytest.mark.parametrize("case", [hooked, frozen, nameless, wrapped, lambda encoder: torch.no_grad()])
def test_where_more_than_the_weights_has_a_part_nothing_changes(case: Any) -> None:
    encoder = encoder_of("Bert")
    table = encoder.embeddings.word_embeddings
    with case(encoder):
        calls = []
        counter = table.register_forward_pre_hook(lambda *_: calls.append(1))
        expected = keys_of(encoder, BATCHES)
        counter.remove()
        with looked_up_once(encoder, BATCHES):
            counter = table.register_forward_pre_hook(lambda *_: calls.append(1))
            got = keys_of(encoder, BATCHES)
        counter.remove()
    assert len(calls) == 2 * len(BATCHES)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_one_batch_is_looked_up_as_ever() -> None:
    encoder = encoder_of("Bert")
    with looked_up_once(encoder, BATCHES[:1]):
        assert not encoder.get_input_embeddings()._forward_hooks
