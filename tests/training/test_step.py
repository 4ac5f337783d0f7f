"""A step of model and objective: its loss, and what wraps it or puts other weights in its place."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mann_hf.episodes import EpisodeBatch, EpisodeCollator, EpisodeSampler
from mann_hf.errors import InvalidInputError
from mann_hf.memory import READINGS, Reading
from mann_hf.models.episode_keys import EpisodeKeys
from mann_hf.training import OBJECTIVES, EpisodicStep, Regularized
from mann_hf.training.step import run_wrapped

from .conftest import TRAIN

ROOT = Path(__file__).parents[2]
Build = Callable[..., Any]
RATE = 0.5


@pytest.fixture
def build(tiny_classifier: Build) -> Build:
    """Attention written out has second derivatives, which the fused one lacks."""
    return lambda **options: tiny_classifier(attn_implementation="eager", **options)


def batches(model: Any, count: int = 2) -> list[Any]:
    """Each of two episodes with label names."""
    collate = EpisodeCollator.for_model(model, model.load_tokenizer(), label_names=True)
    sampler = EpisodeSampler(TRAIN, n_way=2, k_shot=2, n_query=2)
    return [collate([next(sampler), next(sampler)]) for _ in range(count)]


class Wrapper(nn.Module):
    """What hands a call on, as DDP does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class TestLoss:
    def test_the_objective_is_given_reading_and_keys(self, build: Build) -> None:
        model = build()
        seen: list[Any] = []
        [batch] = batches(model, 1)

        def objective(reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor]:
            seen.append((reading, episodes))
            return episodes.queries.sum(), episodes.queries[..., :5]

        loss, logits = EpisodicStep(model, objective)(batch)
        [(reading, episodes)] = seen
        keys = torch.cat([model.embed(**group) for group in batch.inputs])
        assert reading is model.reading
        assert batch.name_index is not None and episodes.names is not None and episodes.named is not None
        for found, index in zip(
            (episodes.support, episodes.queries, episodes.names),
            (batch.support_index, batch.query_index, batch.name_index),
            strict=True,
        ):
            torch.testing.assert_close(found, keys[index], atol=1e-5, rtol=1e-4)
        assert torch.equal(episodes.values.argmax(-1), batch.support_labels)
        assert episodes.named.all() and episodes.mask.all() and torch.equal(episodes.seeds, batch.seeds)
        assert torch.equal(loss, episodes.queries.sum()) and logits is not None and logits.shape == (2, 4, 5)

    def test_regularizers_are_in_it(self, build: Build) -> None:
        model = build()
        [batch] = batches(model, 1)
        plain = EpisodicStep(model, OBJECTIVES["episode"]())(batch)
        more = EpisodicStep(model, Regularized(OBJECTIVES["episode"](), {"uniformity": 1.0}))(batch)
        assert more.loss < plain.loss and torch.equal(more.logits, plain.logits)

    def test_labels_are_needed(self, build: Build) -> None:
        model = build()
        [batch] = batches(model, 1)
        unknown = EpisodeBatch(batch.inputs, batch.support_index, batch.support_labels, batch.query_index)
        with pytest.raises(InvalidInputError, match=r"a step takes the queries' labels \[B, Q\]"):
            EpisodicStep(model, OBJECTIVES["episode"]())(unknown)


class TestInnerLoop:
    def test_the_gradient_through_an_inner_step(self, build: Build) -> None:
        """As by hand: with θ' = θ - αg(θ), the outer gradient is (I - αH(θ)) g'(θ')."""
        model = build(reading="attention").eval()
        inner, outer = batches(model)
        step = EpisodicStep(model, OBJECTIVES["episode"]())
        names, weights = zip(*step.named_parameters(), strict=True)

        loss = torch.func.functional_call(step, dict(zip(names, weights, strict=True)), (inner,)).loss
        grads = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        fast = [w if g is None else w - RATE * g for w, g in zip(weights, grads, strict=True)]
        adapted = torch.func.functional_call(step, dict(zip(names, fast, strict=True)), (outer,)).loss
        found: Any = torch.autograd.grad(adapted, weights, allow_unused=True)

        loss = step(inner).loss
        grads = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        before = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, grad in zip(weights, grads, strict=True):
                weight -= 0 if grad is None else RATE * grad
        there = step(outer).loss
        direction: Any = torch.autograd.grad(there, weights, allow_unused=True)
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)
        grads = torch.autograd.grad(step(inner).loss, weights, create_graph=True, allow_unused=True)
        product: Any = sum((g * d.detach()).sum() for g, d in zip(grads, direction, strict=True) if g is not None)
        curved: Any = torch.autograd.grad(product, weights, allow_unused=True)

        torch.testing.assert_close(adapted, there, atol=1e-6, rtol=1e-5)
        assert not torch.allclose(adapted, loss, atol=1e-3)
        for name, one, d, c in zip(names, found, direction, curved, strict=True):
            if d is None:
                assert one is None, name
                continue
            expected = d if c is None else d - RATE * c
            torch.testing.assert_close(one, expected, atol=1e-5, rtol=1e-3, msg=name)

    @pytest.mark.parametrize("reading", READINGS)
    def test_other_weights_give_what_a_model_of_them_gives(self, build: Build, reading: str) -> None:
        model = build(reading=reading).eval()
        [batch] = batches(model, 1)
        step = EpisodicStep(model, Regularized(OBJECTIVES["episode"](), {"weight_anchor": 1.0}))
        other = {name: weight + 0.01 * torch.randn_like(weight) for name, weight in step.named_parameters()}
        found = torch.func.functional_call(step, other, (batch,)).loss
        with torch.no_grad():
            for name, weight in step.named_parameters():
                weight.copy_(other[name])
        torch.testing.assert_close(found, step(batch).loss, atol=1e-5, rtol=1e-4)


class TestWrapped:
    def test_a_step_runs_through_what_wraps_its_model(self, build: Build) -> None:
        model = build()
        [batch] = batches(model, 1)
        step, wrapped = EpisodicStep(model, OBJECTIVES["episode"]()), Wrapper(model)
        calls: list[Any] = []
        wrapped.register_forward_pre_hook(lambda module, args: calls.append(args))
        model.eval()
        found = run_wrapped(wrapped, step, batch)
        assert len(calls) == 1 and torch.equal(found.loss, step(batch).loss)

    @pytest.mark.parametrize("patched", [False, True])
    def test_the_models_forward_is_back_afterwards(self, build: Build, patched: bool) -> None:
        model = build()
        [batch] = batches(model, 1)
        if patched:  # as Accelerate does
            model.forward = before = lambda **inputs: None
        step = EpisodicStep(model, OBJECTIVES["episode"]())
        run_wrapped(model, step, batch)
        with pytest.raises(InvalidInputError):
            run_wrapped(model, step, EpisodeBatch(batch.inputs, *[batch.support_index] * 3))
        assert model.forward is before if patched else "forward" not in vars(model)

    def test_another_thread_asks_the_model_meanwhile(self, build: Build) -> None:
        model = build().eval()
        [batch] = batches(model, 1)
        inputs = {name: part[:2] for name, part in batch.inputs[0].items()}
        support = {f"support_{name}": part for name, part in inputs.items()}
        ask = lambda: model(**inputs, **support, support_labels=torch.tensor([0, 1])).logits  # noqa: E731
        answers, usual = [], OBJECTIVES["episode"]()

        def objective(reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, Tensor | None]:
            with ThreadPoolExecutor(1) as other:
                answers.append(other.submit(ask).result())
            return usual(reading, episodes)

        found = run_wrapped(Wrapper(model), EpisodicStep(model, objective), batch)
        assert torch.equal(found.loss, EpisodicStep(model, usual)(batch).loss)
        torch.testing.assert_close(answers, [ask()])


@pytest.mark.slow
def test_weights_that_are_spread_over_processes_have_the_gradients_of_whole_ones(tiny_encoder: Path) -> None:
    """FSDP2 wraps the step of model and objective, and gathers its weights for it."""
    program = Path(__file__).with_name("sharded_step_program.py")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(program), str(tiny_encoder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-8000:]
    assert re.search(r"the gradients of \d\d weights, of which a process has 50% each", done.stdout)
