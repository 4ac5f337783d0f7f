"""Each objective against its equation written out in loops, in double precision."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mann_hf.episodes import UNKNOWN
from mann_hf.errors import InvalidInputError, UnknownNameError
from mann_hf.memory import READINGS, KeyValueMemory, Reading
from mann_hf.models.episode_keys import EpisodeKeys
from mann_hf.targets.kinds import SINGLE_LABEL, targets_of
from mann_hf.targets.single_label import SingleLabel
from mann_hf.training import OBJECTIVES, Objective
from mann_hf.training.objectives import merged

B, S, Q, N, K = 3, 6, 4, 3, 5
SEED = 0
Pairs = list[tuple[Tensor, int]]
every = pytest.mark.parametrize("name", OBJECTIVES)
every_but_drawn = pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "resampled"])
"""Without those that draw, and draw otherwise for other shapes."""
LEFT_OUT = [name for name, kind in READINGS.items() if kind.leaves_out_in_closed_form]


def keys_of(names: bool = True, batch: int = B, seed: int = 0) -> EpisodeKeys:
    """Episodes whose keys want a gradient, with padding, a query of no class and a label without words."""
    generator = torch.Generator().manual_seed(seed)

    def keys(count: int) -> Tensor:
        return torch.randn(batch, count, K, generator=generator, dtype=torch.float64).requires_grad_()

    support = (torch.arange(S) % N).repeat(batch, 1)
    mask = torch.ones(batch, S, dtype=torch.bool)
    mask[-1, 5:] = False
    labels = (torch.arange(Q) % N).repeat(batch, 1)
    labels[0, 1] = UNKNOWN
    named = torch.ones(batch, N, dtype=torch.bool)
    named[-1, 1] = False
    words = (keys(N), named) if names else (None, None)
    values = F.one_hot(support, N)  # of padding too, where they mean nothing
    return EpisodeKeys(KeyValueMemory(K, N), keys(S), values, mask, keys(Q), labels, *words)


def uneven() -> EpisodeKeys:
    """Four episodes of other numbers of texts each; the third has nothing to ask but by its words."""
    episodes = keys_of(batch=4)
    assert episodes.labels is not None and episodes.named is not None
    mask, labels, named = episodes.mask.clone(), episodes.labels.clone(), episodes.named.clone()
    mask[2, N:] = False
    labels[1, :3] = labels[2] = UNKNOWN
    named[2] = False
    return episodes._replace(mask=mask, labels=labels, named=named)


def wanting(episodes: EpisodeKeys) -> list[Tensor]:
    return [keys for keys in (episodes.support, episodes.queries, episodes.names) if keys is not None]


def some(episodes: EpisodeKeys, start: int, end: int) -> EpisodeKeys:
    rules, *fields = episodes
    return EpisodeKeys(rules, *(None if field is None else field[start:end] for field in fields))  # type: ignore[arg-type]


def parts(episodes: EpisodeKeys, number: int) -> tuple[Pairs, Pairs, Pairs]:
    """An episode's support, its queries of known label and its words, each key with its label."""
    labels = episodes.values[number].argmax(-1).tolist()
    there = episodes.mask[number].tolist()
    support = [(key, labels[place]) for place, key in enumerate(episodes.support[number]) if there[place]]
    assert episodes.labels is not None
    asked = [
        (key, int(label))
        for key, label in zip(episodes.queries[number], episodes.labels[number], strict=True)
        if label != UNKNOWN
    ]
    words: Pairs = []
    if episodes.names is not None and episodes.named is not None:
        named = episodes.named[number].tolist()
        words = [(key, label) for label, key in enumerate(episodes.names[number]) if named[label]]
    return support, asked, words


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum() / (first.norm() * second.norm())


def by_prototypes(memory: Pairs, query: Tensor, beta: float = 20.0) -> Tensor:
    """[N] log probabilities; labels without a key have none."""
    logits = []
    for label in range(N):
        own = [key for key, told in memory if told == label]
        logits.append(beta * cosine(sum(own) / len(own), query) if own else torch.tensor(-math.inf).double())  # type: ignore[arg-type]
    return torch.stack(logits).log_softmax(0)


def by_least_squares(
    memory: Pairs, query: Tensor, beta: float = 30.0, width: float = 3.0, ridge: float = 0.1
) -> Tensor:
    kernel = torch.stack([torch.stack([torch.exp(width * (cosine(a, b) - 1)) for a, _ in memory]) for b, _ in memory])
    targets = F.one_hot(torch.tensor([label for _, label in memory]), N).double()
    coefficients = torch.linalg.solve(kernel + ridge * torch.eye(len(memory)).double(), targets)
    near = torch.stack([torch.exp(width * (cosine(key, query) - 1)) for key, _ in memory])
    return (beta * near @ coefficients).log_softmax(0)


def by_attention(memory: Pairs, query: Tensor, beta: float = 20.0) -> Tensor:
    weights = torch.stack([beta * cosine(key, query) for key, _ in memory]).softmax(0)
    return (weights @ F.one_hot(torch.tensor([label for _, label in memory]), N).double()).clamp_min(1e-9).log()


READ: dict[str, Callable[..., Tensor]] = {
    "attention": by_attention,
    "prototype": by_prototypes,
    "least_squares": by_least_squares,
}


def over_episodes(losses: list[list[Tensor]]) -> Tensor:
    """The mean of each list, 0 of an empty one, and then over the lists."""
    nothing = torch.zeros((), dtype=torch.float64)
    return torch.stack([torch.stack(each).mean() if each else nothing for each in losses]).mean()


def episode_loss(episodes: EpisodeKeys, read: Callable[..., Tensor] = by_prototypes) -> Tensor:
    losses = []
    for number in range(len(episodes.support)):
        support, asked, words = parts(episodes, number)
        losses.append([-read([*support, *words], key)[label] for key, label in asked])
    return over_episodes(losses)


def left_out_loss(episodes: EpisodeKeys, read: Callable[..., Tensor] = by_prototypes, **kwargs: float) -> Tensor:
    losses: list[list[Tensor]] = []
    for number in range(len(episodes.support)):
        losses.append([])
        support, asked, words = parts(episodes, number)
        examples = [*support, *asked]
        for place, (key, label) in enumerate(examples):
            rest = [*examples[:place], *examples[place + 1 :], *words]
            if any(told == label for _, told in rest):
                losses[-1].append(-read(rest, key, **kwargs)[label])
    return over_episodes(losses)


def contrastive_loss(episodes: EpisodeKeys, temperature: float = 0.05) -> Tensor:
    """Khosla et al. 2020, eq. 2: z_i against all others a, its positives p."""
    losses: list[list[Tensor]] = []
    for number in range(len(episodes.support)):
        losses.append([])
        texts = [pair for part in parts(episodes, number) for pair in part]
        for i, (key, label) in enumerate(texts):
            others = [pair for a, pair in enumerate(texts) if a != i]
            whole = torch.stack([cosine(key, other) / temperature for other, _ in others]).logsumexp(0)
            positives = [cosine(key, other) / temperature - whole for other, told in others if told == label]
            if positives:
                losses[-1].append(-torch.stack(positives).mean())
    return over_episodes(losses)


def resampled_loss(
    episodes: EpisodeKeys, read: Callable[..., Tensor] = by_prototypes, shots: int = 1, draws: int = 4
) -> Tensor:
    """Of each label the texts that are first in a drawn order are the support; all others are asked."""
    whole = merged(episodes, targets_of(SINGLE_LABEL))
    torch.manual_seed(SEED)
    batch, count = whole.mask.shape
    orders = torch.rand(draws * batch, count).view(draws, batch, count)
    losses: list[list[Tensor]] = []
    for order in orders:
        for number in range(batch):
            losses.append([])
            there = [place for place in range(count) if whole.mask[number, place]]
            place_of = {place: int(whole.values[number, place].argmax()) for place in there}
            words = parts(episodes, number)[2]
            shown = []
            for label in range(N):
                own = sorted((p for p in there if place_of[p] == label), key=lambda p: float(order[number, p]))
                shown += own[: min(shots, len(own) - 1)] if own else []
            memory = [(whole.support[number, place], place_of[place]) for place in shown] + words
            known = {label for _, label in memory}
            for place in there:
                if place not in shown and place_of[place] in known:
                    losses[-1].append(-read(memory, whole.support[number, place])[place_of[place]])
    return over_episodes(losses)


REFERENCES: dict[str, Callable[[EpisodeKeys], Tensor]] = {
    "episode": episode_loss,
    "leave_one_out": left_out_loss,
    "label_semantic": left_out_loss,
    "supervised_contrastive": contrastive_loss,
    "resampled": resampled_loss,
}


def prototypes() -> Reading:
    return READINGS["prototype"](K).double()


def build(name: str, **kwargs: Any) -> Objective:
    """With all words of labels, where not told otherwise."""
    return OBJECTIVES[name](**{"name_dropout": 0.0, **kwargs})


def loss_of(objective: Objective, episodes: EpisodeKeys, reading: Reading | None = None) -> Tensor:
    torch.manual_seed(SEED)
    return objective(prototypes() if reading is None else reading, episodes)[0]


def assert_same(objective: Objective, episodes: EpisodeKeys, expected: Tensor) -> None:
    """Loss and gradients."""
    found = loss_of(objective, episodes)
    assert torch.allclose(found, expected, rtol=1e-5)
    wanted = wanting(episodes)
    for mine, theirs in zip(
        torch.autograd.grad(found, wanted, retain_graph=True), torch.autograd.grad(expected, wanted), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-6, rtol=1e-5)


class TestEquations:
    @every
    def test_the_loss_and_its_gradient_are_those_of_the_equation(self, name: str) -> None:
        episodes = keys_of()
        assert_same(build(name), episodes, REFERENCES[name](episodes))

    @pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "label_semantic"])
    def test_without_words_of_labels(self, name: str) -> None:
        episodes = keys_of(names=False)
        assert_same(build(name), episodes, REFERENCES[name](episodes))

    @pytest.mark.parametrize("name", ["leave_one_out", "label_semantic"])
    @pytest.mark.parametrize("reading", LEFT_OUT)
    def test_each_text_is_read_from_all_others(self, name: str, reading: str) -> None:
        episodes = keys_of()
        assert_same(build(name, reading=reading), episodes, left_out_loss(episodes, READ[reading]))

    @pytest.mark.parametrize("reading", LEFT_OUT)
    def test_left_out_without_words(self, reading: str) -> None:
        episodes = keys_of(names=False)
        assert_same(build("leave_one_out", reading=reading), episodes, left_out_loss(episodes, READ[reading]))

    def test_settings_of_the_left_out_reading(self) -> None:
        episodes = keys_of()
        objective = build("leave_one_out", sharpness=5.0)
        assert_same(objective, episodes, left_out_loss(episodes, beta=5.0))
        options = {"reading": "least_squares", "sharpness": 7.0, "reading_options": {"width": 1.0, "ridge": 0.5}}
        expected = left_out_loss(episodes, by_least_squares, beta=7.0, width=1.0, ridge=0.5)
        assert_same(build("leave_one_out", **options), episodes, expected)

    @pytest.mark.parametrize("reading", LEFT_OUT)
    @pytest.mark.parametrize("shots, draws", [(1, 1), (2, 3), (9, 2)])
    def test_a_few_texts_drawn_from_all_are_the_support(self, reading: str, shots: int, draws: int) -> None:
        episodes = keys_of()
        objective = build("resampled", reading=reading, shots=shots, draws=draws)
        assert_same(objective, episodes, resampled_loss(episodes, READ[reading], shots, draws))

    def test_what_is_drawn_is_drawn_anew_each_time(self) -> None:
        episodes, objective = keys_of(), build("resampled", draws=1)
        assert len({objective(prototypes(), episodes)[0].item() for _ in range(10)}) > 5

    @pytest.mark.parametrize("reading", READINGS)
    def test_drawn_episodes_are_read_as_the_model_reads(self, reading: str) -> None:
        episodes, own = keys_of(), READINGS[reading](K).double()
        named = loss_of(build("resampled", reading=reading), episodes)
        assert torch.allclose(loss_of(build("resampled", reading=None), episodes, own), named)

    @pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
    def test_temperature(self, temperature: float) -> None:
        episodes = keys_of()
        objective = build("supervised_contrastive", temperature=temperature)
        assert_same(objective, episodes, contrastive_loss(episodes, temperature))

    @pytest.mark.parametrize("reading", READINGS)
    def test_an_episode_is_read_as_the_model_reads(self, reading: str) -> None:
        rules, episodes = READINGS[reading](K).double(), keys_of()
        assert episodes.labels is not None
        loss, logits = build("episode")(rules, episodes)
        assert logits is not None and logits.shape == (B, Q, N)
        alone = [F.cross_entropy(*each) for each in zip(logits, episodes.labels, strict=True)]
        assert torch.allclose(loss, torch.stack(alone).mean())
        if reading == "least_squares":
            assert torch.allclose(loss, episode_loss(episodes, by_least_squares))

    @pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "episode"])
    def test_the_other_objectives_answer_no_queries(self, name: str) -> None:
        assert build(name)(prototypes(), keys_of())[1] is None


class TestEveryObjective:
    @every
    def test_finite_and_felt_by_every_key_that_takes_part(self, name: str) -> None:
        episodes = keys_of()
        loss = loss_of(OBJECTIVES[name](), episodes)
        assert loss.shape == () and loss.isfinite()
        loss.backward()
        assert episodes.labels is not None
        for keys, there in ((episodes.support, episodes.mask), (episodes.queries, episodes.labels != UNKNOWN)):
            assert keys.grad is not None and keys.grad.isfinite().all()
            assert (keys.grad[there].abs().amax(-1) > 0).all() and (keys.grad[~there] == 0).all()

    @every
    def test_words_feel_it_too(self, name: str) -> None:
        episodes = keys_of()
        loss_of(build(name), episodes).backward()
        assert episodes.names is not None and episodes.names.grad is not None and episodes.named is not None
        felt = episodes.names.grad.abs().amax(-1) > 0
        assert torch.equal(felt, episodes.named)

    @every
    def test_gradients_are_those_of_finite_differences(self, name: str) -> None:
        episodes = keys_of(batch=1)
        wanted = wanting(episodes)
        objective = build(name, **({"temperature": 0.5} if name == "supervised_contrastive" else {}))

        def loss(support: Tensor, queries: Tensor, names: Tensor) -> Tensor:
            return loss_of(objective, episodes._replace(support=support, queries=queries, names=names))

        assert torch.autograd.gradcheck(loss, wanted, atol=1e-4, rtol=1e-3)

    @every
    def test_episodes_do_not_see_each_other(self, name: str) -> None:
        episodes, other = keys_of(), keys_of(seed=1)
        mixed = episodes._replace(
            support=torch.cat([episodes.support[:1], other.support[1:]]),
            queries=torch.cat([episodes.queries[:1], other.queries[1:]]),
            names=torch.cat([episodes.names[:1], other.names[1:]]),  # type: ignore[index]
        )
        gradients = []
        for each in (episodes, mixed):
            loss = loss_of(build(name), each)
            gradients.append([grad[0] for grad in torch.autograd.grad(loss, wanting(each))])
        for mine, theirs in zip(*gradients, strict=True):
            assert torch.allclose(mine, theirs)

    @every
    @pytest.mark.parametrize("size", [1, 2])
    @pytest.mark.parametrize("reading", READINGS)
    def test_the_batch_is_the_mean_of_its_parts(self, name: str, size: int, reading: str) -> None:
        """So that processes, or steps that are gathered, add up to one step of all of their episodes."""
        rules, episodes = READINGS[reading](K).double(), uneven()._replace(seeds=torch.arange(4))
        objective = OBJECTIVES[name](name_dropout=0.5)  # both what is drawn of names and of supports
        whole = objective(rules, episodes)[0]
        found = [objective(rules, some(episodes, start, start + size))[0] for start in range(0, 4, size)]
        expected = torch.stack(found).mean()
        assert torch.allclose(whole, expected)
        weights = [*wanting(episodes), *(each for each in rules.parameters() if each.requires_grad)]
        for mine, theirs in zip(
            torch.autograd.grad(whole, weights, allow_unused=True, materialize_grads=True),
            torch.autograd.grad(expected, weights, allow_unused=True, materialize_grads=True),
            strict=True,
        ):
            assert torch.allclose(mine, theirs, atol=1e-7)

    @every
    def test_an_episode_with_nothing_to_ask_counts_as_0(self, name: str) -> None:
        episodes = uneven()
        assert_same(build(name), episodes, REFERENCES[name](episodes))

    @every_but_drawn
    def test_padding_changes_nothing(self, name: str) -> None:
        episodes = keys_of()
        assert episodes.labels is not None and episodes.names is not None and episodes.named is not None
        padded = episodes._replace(
            memory=KeyValueMemory(K, N + 1),
            support=torch.cat([torch.randn(B, 2, K).double(), episodes.support], dim=1),
            values=F.pad(episodes.values, (0, 1, 2, 0)),
            mask=F.pad(episodes.mask, (2, 0)),
            queries=torch.cat([torch.randn(B, 2, K).double(), episodes.queries], dim=1),
            labels=F.pad(episodes.labels, (2, 0), value=UNKNOWN),
            names=torch.cat([episodes.names, torch.randn(B, 1, K).double()], dim=1),
            named=F.pad(episodes.named, (0, 1)),
        )
        plain, found = loss_of(build(name), episodes), loss_of(build(name), padded)
        assert torch.allclose(plain, found)
        for mine, theirs in zip(
            torch.autograd.grad(found, wanting(episodes)), torch.autograd.grad(plain, wanting(episodes)), strict=True
        ):
            assert torch.allclose(mine, theirs)

    @every
    @pytest.mark.parametrize("reading", READINGS)
    def test_queries_of_no_class_have_no_part_in_it(self, name: str, reading: str) -> None:
        rules, episodes = READINGS[reading](K).double(), keys_of()
        moved = episodes.queries.detach().clone()
        moved[0, 1] = torch.randn(K)
        first, second = (loss_of(build(name), each, rules) for each in (episodes, episodes._replace(queries=moved)))
        assert torch.equal(first, second)

    @every
    def test_the_numbers_of_the_labels_mean_nothing(self, name: str) -> None:
        episodes = keys_of()
        order = torch.tensor([2, 0, 1])
        assert episodes.labels is not None and episodes.names is not None and episodes.named is not None
        known = episodes.labels != UNKNOWN
        other = episodes._replace(
            values=episodes.values[..., order],
            labels=torch.where(known, order.argsort()[episodes.labels.clamp_min(0)], UNKNOWN),
            names=episodes.names[:, order],
            named=episodes.named[:, order],
        )
        assert torch.allclose(loss_of(build(name), episodes), loss_of(build(name), other))

    @every
    def test_what_was_given_is_unchanged(self, name: str) -> None:
        episodes, again = (keys_of()._replace(seeds=torch.arange(B)) for _ in range(2))
        loss_of(OBJECTIVES[name](), episodes).backward()
        for before, after in zip(again[1:], episodes[1:], strict=True):
            assert before is not None and after is not None and torch.equal(before, after)

    @every
    def test_a_capacity_does_not_stand_in_the_way(self, name: str) -> None:
        episodes = keys_of()
        limited = episodes._replace(memory=KeyValueMemory(K, N, 5, "oldest"))
        loss = loss_of(build(name), limited)
        assert loss.isfinite()
        if name != "episode":  # which is of what the memory keeps
            assert torch.equal(loss, loss_of(build(name), episodes))

    @pytest.mark.parametrize("name", [name for name, each in OBJECTIVES.items() if not each.needs_queries])
    def test_those_that_need_no_queries_do_without(self, name: str) -> None:
        episodes = keys_of()
        assert episodes.labels is not None
        without = episodes._replace(queries=episodes.queries[:, :0], labels=episodes.labels[:, :0])
        assert torch.allclose(loss_of(build(name), without), REFERENCES[name](without), rtol=1e-5)


class TestTextsByThemselves:
    def alone(self, words: bool) -> EpisodeKeys:
        """Label 2 has one text in the first episode, of the queries none."""
        episodes = keys_of(names=True)
        assert episodes.named is not None
        mask, named = episodes.mask.clone(), episodes.named.clone()
        mask[0, 2] = False
        named[0, 2] = words
        return episodes._replace(mask=mask, named=named)

    @pytest.mark.parametrize("words", [True, False])
    @pytest.mark.parametrize("reading", LEFT_OUT)
    def test_a_text_whose_label_has_no_other_is_not_asked(self, words: bool, reading: str) -> None:
        episodes = self.alone(words)
        assert_same(build("leave_one_out", reading=reading), episodes, left_out_loss(episodes, READ[reading]))

    @pytest.mark.parametrize("words", [True, False])
    def test_a_text_without_positives_draws_nothing(self, words: bool) -> None:
        episodes = self.alone(words)
        assert_same(build("supervised_contrastive"), episodes, contrastive_loss(episodes))

    @pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "episode"])
    @pytest.mark.parametrize("count", [1, N])
    def test_where_no_text_has_another_there_is_nothing_to_learn(self, name: str, count: int) -> None:
        episodes = keys_of(batch=2)
        assert episodes.labels is not None and episodes.named is not None
        support = episodes.support.detach()[:, :count].requires_grad_()
        single = episodes._replace(
            support=support, values=episodes.values[:, :count], mask=torch.ones(2, count, dtype=torch.bool),
            queries=episodes.queries[:, :0], labels=episodes.labels[:, :0], named=torch.zeros_like(episodes.named),
        )  # fmt: skip
        loss = loss_of(build(name), single)
        assert loss == 0
        loss.backward()
        assert support.grad is not None and (support.grad == 0).all()


class Telling(Objective):
    """Says how many labels have words."""

    def loss(self, reading: Reading, episodes: EpisodeKeys) -> tuple[Tensor, None]:
        assert episodes.named is not None
        return episodes.named.double().mean(), None


class TestNameDropout:
    @every
    def test_none_is_left_out(self, name: str) -> None:
        first, second = (loss_of(build(name), keys_of()) for _ in range(2))
        assert torch.equal(first, second)

    @every_but_drawn
    def test_all_are_left_out(self, name: str) -> None:
        episodes = keys_of()
        without = episodes._replace(named=torch.zeros(B, N, dtype=torch.bool))
        assert torch.equal(loss_of(build(name, name_dropout=1.0), episodes), loss_of(build(name), without))

    @pytest.mark.parametrize("share", [0.2, 0.5])
    def test_a_share_is_left_out_anew_each_time(self, share: float) -> None:
        episodes = keys_of(batch=200)._replace(named=torch.ones(200, N, dtype=torch.bool))
        first, second = (Telling(share)(prototypes(), episodes)[0] for _ in range(2))
        assert first != second
        assert (
            float(first) == pytest.approx(1 - share, abs=0.06) and episodes.named is not None and episodes.named.all()
        )

    def test_words_that_are_not_there_stay_away(self) -> None:
        episodes = keys_of(batch=1)  # a label without words
        assert all(Telling(0.01)(prototypes(), episodes)[0] <= 2 / 3 for _ in range(20))

    def test_by_default_half_for_label_semantic_and_none_for_others(self) -> None:
        shares = {name: objective().name_dropout for name, objective in OBJECTIVES.items()}
        assert shares == {**dict.fromkeys(OBJECTIVES, 0.0), "label_semantic": 0.5}

    @every_but_drawn
    def test_episodes_without_words_are_no_matter_for_it(self, name: str) -> None:
        if name != "label_semantic":
            episodes = keys_of(names=False)
            assert torch.equal(loss_of(build(name, name_dropout=0.5), episodes), loss_of(build(name), episodes))


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "supervised_contrastive"])
def test_the_loss_is_that_of_the_targets(name: str) -> None:
    class Halved(SingleLabel):
        def losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            losses, known = super().losses(logits, labels)
            return losses / 2, known

    reading, objective = prototypes(), build(name)
    whole = loss_of(objective, keys_of(), reading)
    reading.targets = Halved()
    torch.testing.assert_close(loss_of(objective, keys_of(), reading), whole / 2)


class TestMerged:
    def test_queries_of_known_label_become_support(self) -> None:
        whole = merged(keys_of(), targets_of(SINGLE_LABEL))
        assert whole.queries.shape == (B, 0, K) and whole.support.shape == (B, S + Q, K)
        assert whole.mask[0].tolist() == [True] * 6 + [True, False, True, True]
        assert whole.values[0, S:].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]

    def test_queries_of_labels_that_nobody_knows_stay(self) -> None:
        episodes = keys_of()._replace(labels=None)
        assert merged(episodes, targets_of(SINGLE_LABEL)) is episodes


class TestErrors:
    @every
    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half"])
    def test_a_share_that_is_none(self, name: str, share: Any) -> None:
        with pytest.raises(InvalidInputError, match="name_dropout is .*; it is a share from 0 to 1"):
            OBJECTIVES[name](name_dropout=share)

    @pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan"), "low"])
    def test_temperature(self, temperature: Any) -> None:
        with pytest.raises(InvalidInputError, match="temperature is .*above 0, and finite"):
            OBJECTIVES["supervised_contrastive"](temperature=temperature)  # type: ignore[call-arg]

    @pytest.mark.parametrize("reading", sorted(set(READINGS) - set(LEFT_OUT)))
    def test_a_reading_without_a_closed_form(self, reading: str) -> None:
        with pytest.raises(InvalidInputError, match=f"{reading}.*choose {' or '.join(map(repr, LEFT_OUT))}"):
            OBJECTIVES["leave_one_out"](reading=reading)  # type: ignore[call-arg]

    def test_a_reading_that_there_is_not(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown reading 'prototypes'"):
            OBJECTIVES["leave_one_out"](reading="prototypes")  # type: ignore[call-arg]

    def test_an_objective_that_there_is_not(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown objective 'contrastive'; choose one of 'episode'"):
            OBJECTIVES["contrastive"]

    def test_label_semantic_without_words(self) -> None:
        with pytest.raises(InvalidInputError, match="label_semantic needs label names.*label_names=True"):
            loss_of(OBJECTIVES["label_semantic"](), keys_of(names=False))


@pytest.mark.parametrize("name", ["resampled", "episode"])
def test_what_is_drawn_depends_on_the_episodes_seed_alone(name: str) -> None:
    def losses(seeds: list[int]) -> float:
        objective = OBJECTIVES[name](name_dropout=0.5)
        return float(loss_of(objective, keys_of()._replace(seeds=torch.tensor(seeds))))

    torch.manual_seed(0)
    first = losses([1, 2, 3])
    torch.manual_seed(1)
    assert losses([1, 2, 3]) == first
    assert len({losses([seed, 2, 3]) for seed in range(20)}) > 5
