"""Each regularizer against its equation written out in loops, in double precision."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.memory import READINGS, KeyValueMemory, Reading
from mann_hf.models.episode_keys import EpisodeKeys
from mann_hf.training import OBJECTIVES, REGULARIZERS
from mann_hf.training.regularizers import Regularized

B, S, Q, N, K = 2, 5, 3, 3, 4
of_keys = pytest.mark.parametrize("name", ["uniformity", "read_entropy"])


def keys_of(seed: int = 0) -> EpisodeKeys:
    """Episodes with padding, a query of no class and a label without words."""
    generator = torch.Generator().manual_seed(seed)

    def keys(count: int) -> Tensor:
        return torch.randn(B, count, K, generator=generator, dtype=torch.float64).requires_grad_()

    values = nn.functional.one_hot((torch.arange(S) % N).repeat(B, 1), N)
    mask, named = torch.ones(B, S, dtype=torch.bool), torch.ones(B, N, dtype=torch.bool)
    mask[0, 4], named[1, 2] = False, False
    labels = (torch.arange(Q) % N).repeat(B, 1)
    labels[1, 0] = -100
    return EpisodeKeys(KeyValueMemory(K, N), keys(S), values, mask, keys(Q), labels, keys(N), named)


def with_one_alone() -> EpisodeKeys:
    """The same with a third episode behind them, which has but one key."""
    rules, *fields = keys_of()
    support, values, mask, queries, labels, names, named = (torch.cat([field, field[:1]]) for field in fields[:-1])  # type: ignore[index,list-item]
    mask[2, 1:], labels[2], named[2] = False, -100, False
    keys = (each.detach().requires_grad_() for each in (support, queries, names))
    support, queries, names = keys
    return EpisodeKeys(rules, support, values, mask, queries, labels, names, named)


def unit_keys(episodes: EpisodeKeys, number: int) -> list[Tensor]:
    assert episodes.labels is not None and episodes.names is not None and episodes.named is not None
    keys = [key for key, there in zip(episodes.support[number], episodes.mask[number], strict=True) if there]
    keys += [key for key, label in zip(episodes.queries[number], episodes.labels[number], strict=True) if label >= 0]
    keys += [key for key, there in zip(episodes.names[number], episodes.named[number], strict=True) if there]
    return [key / key.norm() for key in keys]


def uniformity(episodes: EpisodeKeys, t: float = 2.0) -> Tensor:
    """Wang & Isola 2020, eq. 2."""
    terms = []
    for number in range(len(episodes.support)):
        keys = unit_keys(episodes, number)
        pairs = [(a, b) for i, a in enumerate(keys) for j, b in enumerate(keys) if i != j]
        closeness = [torch.exp(-t * (a - b).square().sum()) for a, b in pairs]
        terms.append(torch.stack(closeness).mean().log() if pairs else torch.zeros(()).double())
    return torch.stack(terms).mean()


def read_entropy(episodes: EpisodeKeys, sharpness: float = 20.0) -> Tensor:
    means = []
    for number in range(len(episodes.support)):
        keys, entropies = unit_keys(episodes, number), [torch.zeros(()).double()]
        for i, query in enumerate(keys if len(keys) > 1 else []):
            weights = torch.stack([sharpness * (query * key).sum() for j, key in enumerate(keys) if j != i]).softmax(0)
            entropies.append(-(weights * weights.log()).sum())
        means.append(torch.stack(entropies).sum() / max(1, len(entropies) - 1))
    return torch.stack(means).mean()


REFERENCES: dict[str, Any] = {"uniformity": uniformity, "read_entropy": read_entropy}


def reading() -> Reading:
    return READINGS["prototype"](K).double()


def term(name: str, episodes: EpisodeKeys, **kwargs: Any) -> Tensor:
    return REGULARIZERS[name](**kwargs)(reading(), episodes)


class TestOfKeys:
    @of_keys
    def test_the_term_and_its_gradient_are_those_of_the_equation(self, name: str) -> None:
        episodes = keys_of()
        wanted = [episodes.support, episodes.queries, episodes.names]
        found, expected = term(name, episodes), REFERENCES[name](episodes)
        torch.testing.assert_close(found, expected)
        mine, theirs = (torch.autograd.grad(value, wanted, retain_graph=True) for value in (found, expected))  # type: ignore[arg-type]
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-6)

    def test_settings(self) -> None:
        episodes = keys_of()
        torch.testing.assert_close(term("uniformity", episodes, t=0.5), uniformity(episodes, 0.5))
        torch.testing.assert_close(term("read_entropy", episodes, sharpness=3.0), read_entropy(episodes, 3.0))

    def test_keys_that_are_one(self) -> None:
        episodes = keys_of()
        same = episodes._replace(
            support=torch.ones_like(episodes.support), queries=torch.ones_like(episodes.queries),
            names=torch.ones_like(episodes.support[:, :N]),
        )  # fmt: skip
        assert float(term("uniformity", same)) == pytest.approx(0)
        counts = [len(unit_keys(episodes, number)) for number in range(B)]
        expected = sum(math.log(count - 1) for count in counts) / B
        assert float(term("read_entropy", same)) == pytest.approx(expected)

    @of_keys
    def test_the_batch_is_the_mean_of_its_episodes(self, name: str) -> None:
        """So that processes, or steps that are gathered, add up to one step of all of their episodes."""
        rules, *fields = with_one_alone()
        episodes = EpisodeKeys(rules, *fields)  # type: ignore[arg-type]
        wanted = [episodes.support, episodes.queries, episodes.names]
        alone = [
            term(name, EpisodeKeys(rules, *(None if field is None else field[number : number + 1] for field in fields)))  # type: ignore[index,arg-type]
            for number in range(B + 1)
        ]
        found, expected = term(name, episodes), torch.stack(alone).mean()
        assert alone[B] == 0
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found, REFERENCES[name](episodes))
        for one, other in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted), strict=True):  # type: ignore[arg-type]
            torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-6)

    @of_keys
    def test_a_key_alone_has_no_pair(self, name: str) -> None:
        episodes = keys_of()._replace(names=None, named=None)
        assert episodes.labels is not None
        mask = torch.zeros_like(episodes.mask)
        mask[:, 0] = True
        alone = episodes._replace(mask=mask, labels=torch.full_like(episodes.labels, -100))
        found = term(name, alone)
        assert found == 0
        found.backward()
        assert episodes.support.grad is not None and (episodes.support.grad == 0).all()


class TestWeightAnchor:
    def test_the_squared_way_from_the_start(self) -> None:
        model = nn.Linear(2, 2).double()
        model.bias.requires_grad_(False)
        anchor = REGULARIZERS["weight_anchor"]()
        anchor.start(model)
        assert anchor(reading(), keys_of()) == 0
        with torch.no_grad():
            model.weight += torch.tensor([[1.0, 2.0], [0.0, -3.0]])
            model.bias.add_(5)
        found = anchor(reading(), keys_of())
        assert float(found.detach()) == pytest.approx(14)
        found.backward()
        torch.testing.assert_close(model.weight.grad, torch.tensor([[2.0, 4.0], [0.0, -6.0]]).double())

    def test_it_follows_a_model_to_another_precision(self) -> None:
        model = nn.Linear(2, 2)
        anchor = REGULARIZERS["weight_anchor"]()
        anchor.start(model)
        model.to(torch.bfloat16)
        assert float(anchor(reading(), keys_of()).detach()) < 1e-3

    def test_the_start_follows_once(self) -> None:
        model = nn.Linear(2, 2)
        anchor = REGULARIZERS["weight_anchor"]()
        anchor.start(model)
        model.to(torch.float64)
        rules, episodes, copies = reading(), keys_of(), []
        for _ in range(2):
            with torch.profiler.profile() as seen:
                anchor(rules, episodes)
            copies.append([event.name for event in seen.events()].count("aten::_to_copy"))
        assert copies == [2, 0]

    def test_nothing_is_trained(self) -> None:
        anchor = REGULARIZERS["weight_anchor"]()
        anchor.start(nn.Linear(2, 2).requires_grad_(False))
        assert anchor(reading(), keys_of()) == 0


class TestRegularized:
    def test_terms_are_weighted_and_added(self) -> None:
        episodes, objective = keys_of(), OBJECTIVES["episode"]()
        plain, logits = objective(reading(), episodes)
        told = {"uniformity": 0.5, "read_entropy": {"weight": 2, "sharpness": 3.0}, "weight_anchor": 0}
        found, answers = Regularized(objective, told)(reading(), episodes)
        expected = plain + 0.5 * uniformity(episodes) + 2 * read_entropy(episodes, 3.0)
        torch.testing.assert_close(found, expected)
        assert logits is not None and answers is not None and torch.equal(logits, answers)

    def test_without_terms_it_is_the_objective(self) -> None:
        episodes, objective = keys_of(), OBJECTIVES["leave_one_out"]()
        assert torch.equal(Regularized(objective, {})(reading(), episodes)[0], objective(reading(), episodes)[0])

    @pytest.mark.parametrize(
        "told, says",
        [
            ({"uniformity": -1}, "'uniformity' has weight -1"),
            ({"uniformity": "much"}, "'uniformity' has weight 'much'"),
            ({"uniformity": {"t": 1.0}}, "'uniformity' has weight None"),
            ({"uniformity": float("nan")}, "has weight nan"),
            ({"uniformity": {"weight": 1, "t": 0}}, "t is 0"),
            ({"read_entropy": {"weight": 1, "sharpness": -1}}, "sharpness is -1"),
        ],
        ids=str,
    )
    def test_settings_that_mean_nothing(self, told: dict, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            Regularized(OBJECTIVES["episode"](), told)

    def test_an_unknown_name(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown regularizer 'sparsity'.*'uniformity'"):
            Regularized(OBJECTIVES["episode"](), {"sparsity": 1})
