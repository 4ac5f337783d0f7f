"""Packed episodes against the same episodes unpacked, one by one and written out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mann_hf.episodes import EpisodeBatch
from mann_hf.errors import InvalidInputError
from mann_hf.memory import READINGS, KeyValueMemory
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.models.episode_keys import EpisodeKeys, read_episodes, strongest
from tests.packed_answers import answer_packed

Build = Callable[..., Any]
PAIRS = [(name, problem) for name, reading in READINGS.items() for problem in reading.problem_types]
B, S, Q, L, N, K = 2, 6, 4, 9, 3, 32
IGNORED = -100
PER_TEXT = ("input_ids", "attention_mask")
FIELDS = ("logits", "loss", "memory_weights", "slot_ids", "read_keys")


def packed(problem_type: str = SINGLE_LABEL, seed: int = 0) -> dict[str, Any]:
    """Episodes that share texts: 10 for 2 · (6 + 4) places."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.arange(L) < torch.randint(3, L + 1, (10, 1), generator=generator)
    places = [torch.randperm(10, generator=generator) for _ in range(B)]
    found: dict[str, Any] = {
        "input_ids": torch.randint(5, 200, (10, L), generator=generator) * present,
        "attention_mask": present.long(),
        "support_index": torch.stack([order[:S] for order in places]),
        "query_index": torch.stack([order[S:] for order in places]),
    }
    for name, count in (("support_labels", S), ("labels", Q)):
        if problem_type == SINGLE_LABEL:
            found[name] = (torch.arange(count) % N).repeat(B, 1)
        elif problem_type == MULTI_LABEL:
            found[name] = torch.randint(0, 2, (B, count, N), generator=generator)
        else:
            found[name] = torch.randn(B, count, 2, generator=generator)
    return found


def unpacked(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """The same episodes as inputs [B, Q, L] and [B, S, L]."""
    found = {name: inputs[name] for name in ("labels", "support_labels")}
    for name in ("input_ids", "attention_mask"):
        found[name] = inputs[name][inputs["query_index"]]
        found[f"support_{name}"] = inputs[name][inputs["support_index"]]
    return found


def batch_of(inputs: dict[str, Any]) -> EpisodeBatch:
    """What `packed` gives as a batch; texts may come in groups."""
    parts = {name: part for name, part in inputs.items() if name not in PER_TEXT}
    ids, masks = (inputs[name] if isinstance(inputs[name], list) else [inputs[name]] for name in PER_TEXT)
    groups = [dict(zip(PER_TEXT, group, strict=True)) for group in zip(ids, masks, strict=True)]
    return EpisodeBatch(groups, **parts)


def answer(model: Any, inputs: dict[str, Any], **more: Any) -> Any:
    return answer_packed(model, batch_of(inputs | more))


def one(inputs: dict[str, Any], number: int) -> dict[str, Any]:
    """A packed episode alone, with all texts."""
    return {name: part if name in PER_TEXT else part[number : number + 1] for name, part in inputs.items()}


def problem(problem_type: str) -> dict[str, Any]:
    return {"problem_type": problem_type, **({"num_labels": 2} if problem_type == REGRESSION else {})}


def assert_same(found: Any, expected: Any, fields: tuple[str, ...] = FIELDS) -> None:
    for name in fields:
        assert torch.allclose(found[name], expected[name], atol=1e-5, rtol=1e-5), name


class TestPacked:
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_the_same_as_unpacked(self, build: Build, reading: str, problem_type: str) -> None:
        model, inputs = build(reading=reading, **problem(problem_type)), packed(problem_type)
        assert_same(answer(model, inputs), model(**unpacked(inputs)))

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_the_same_as_one_by_one(self, build: Build, reading: str, problem_type: str) -> None:
        model, inputs = build(reading=reading, **problem(problem_type)), packed(problem_type)
        output = answer(model, inputs)
        alone = [answer(model, one(inputs, number)) for number in range(B)]
        for name in ("logits", "memory_weights", "slot_ids", "read_keys"):
            expected = torch.cat([each[name] for each in alone])
            assert torch.allclose(output[name], expected, atol=1e-5, rtol=1e-5), name
        assert torch.allclose(output.loss, torch.stack([each.loss for each in alone]).mean(), atol=1e-5)

    @pytest.mark.parametrize("reading", READINGS)
    def test_gradients_are_those_of_unpacked(self, build: Build, reading: str) -> None:
        gradients = []
        for ask in (answer, lambda model, inputs: model(**unpacked(inputs))):
            model = build(reading=reading)
            ask(model, packed()).loss.backward()
            gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        for name, expected in gradients[1].items():
            assert torch.allclose(gradients[0][name], expected, atol=1e-5, rtol=1e-3), name
        assert gradients[0]["reading.log_sharpness"] != 0

    def test_texts_may_come_in_groups_of_like_length(self, build: Build) -> None:
        model, inputs = build(), packed()
        lengths = inputs["attention_mask"].sum(-1)
        order = lengths.argsort(descending=True)
        cut: dict[str, Any] = {
            name: [inputs[name][rows, : lengths[rows].max()] for rows in (order[:1], order[1:4], order[4:])]
            for name in ("input_ids", "attention_mask")
        }
        assert cut["input_ids"][2].shape[1] < L
        place = order.argsort()
        indices = {name: place[inputs[name]] for name in ("support_index", "query_index")}
        assert_same(answer(model, inputs | cut | indices), answer(model, inputs))

    def test_a_text_is_encoded_once(self, build: Build) -> None:
        model, rows = build(), []
        model.encoder.register_forward_pre_hook(
            lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        answer(model, packed())
        assert rows == [10]

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_padding_changes_nothing(self, build: Build, reading: str, problem_type: str) -> None:
        model, inputs = build(reading=reading, **problem(problem_type)), packed(problem_type)
        padded = dict(inputs)
        for index, labels in (("support_index", "support_labels"), ("query_index", "labels")):
            padded[index] = F.pad(inputs[index], (0, 2), value=-1)
            marks = float("nan") if problem_type == REGRESSION and labels == "labels" else IGNORED
            padded[labels] = torch.cat([inputs[labels], torch.full_like(inputs[labels][:, :2], marks)], dim=1)
        found, plain = answer(model, padded), answer(model, inputs)
        assert torch.allclose(found.loss, plain.loss, atol=1e-5)
        for name in ("logits", "memory_weights", "slot_ids", "read_keys"):
            assert torch.allclose(found[name][:, :Q], plain[name], atol=1e-5, rtol=1e-5), name

    def test_a_support_without_a_text_is_no_example(self, build: Build) -> None:
        model, inputs = build(), packed()
        less = {name: inputs[name][:, :5] for name in ("support_index", "support_labels")}
        gone = inputs["support_index"].clone()
        gone[:, 5] = -1
        assert_same(answer(model, inputs | {"support_index": gone}), answer(model, inputs | less))

    def test_a_query_without_a_label_has_no_part_in_the_loss(self, build: Build) -> None:
        model, inputs = build(), packed()
        inputs["labels"][0, :3] = IGNORED
        output = answer(model, inputs)
        expected = [F.cross_entropy(*each) for each in zip(output.logits, inputs["labels"], strict=True)]
        assert torch.allclose(output.loss, torch.stack(expected).mean())

    @pytest.mark.parametrize("problem_type", [SINGLE_LABEL, MULTI_LABEL, REGRESSION])
    def test_a_query_that_is_not_there_has_no_part_in_the_loss(self, build: Build, problem_type: str) -> None:
        model, inputs = build(reading="attention", **problem(problem_type)), packed(problem_type)
        less = {name: inputs[name][:, :3] for name in ("query_index", "labels")}
        gone = inputs["query_index"].clone()
        gone[:, 3] = -1
        assert torch.allclose(answer(model, inputs | {"query_index": gone}).loss, answer(model, inputs | less).loss)

    def test_without_labels_there_is_no_loss(self, build: Build) -> None:
        inputs = packed()
        del inputs["labels"]
        assert answer(build(), inputs).loss is None

    def test_the_own_memory_is_left_alone(self, build: Build) -> None:
        model = build()
        model.remember(torch.eye(2, K), ["a", "b"])
        before = model.memory
        answer(model, packed())
        assert model.memory is before


class TestNames:
    NAMES = torch.tensor([[0, 7, 3], [-1, 2, 9]])

    def as_examples(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The words of labels as so many more examples."""
        labels = torch.arange(N).repeat(B, 1).masked_fill(self.NAMES < 0, IGNORED)
        return inputs | {
            "support_index": torch.cat([inputs["support_index"], self.NAMES], dim=1),
            "support_labels": torch.cat([inputs["support_labels"], labels], dim=1),
        }

    @pytest.mark.parametrize("reading", READINGS)
    def test_words_are_one_more_example_of_their_label(self, build: Build, reading: str) -> None:
        model, inputs = build(reading=reading), packed()
        found = answer(model, inputs, name_index=self.NAMES)
        assert_same(found, answer(model, self.as_examples(inputs)))
        assert not torch.allclose(found.logits, answer(model, inputs).logits, atol=1e-3)

    def test_labels_without_words(self, build: Build) -> None:
        model, inputs = build(), packed()
        assert_same(answer(model, inputs, name_index=torch.full((B, N), -1)), answer(model, inputs))

    def test_words_of_fewer_labels_than_there_are(self, build: Build) -> None:
        model, inputs = build(), packed()
        wide = torch.tensor([[5, 4, -1], [1, 0, -1]])
        assert_same(answer(model, inputs, name_index=wide[:, :2]), answer(model, inputs, name_index=wide))

    def test_words_take_no_room_from_examples(self, build: Build) -> None:
        """As in the model's own memory, a capacity counts examples alone."""
        inputs = packed()
        last = inputs | {name: inputs[name][:, -4:] for name in ("support_index", "support_labels")}
        limited = answer(build(capacity=4, eviction="oldest"), inputs, name_index=self.NAMES, n_way=N)
        assert_same(limited, answer(build(), last, name_index=self.NAMES, n_way=N), ("logits", "loss"))

    def test_gradients_reach_them(self, build: Build) -> None:
        model, inputs = build(), packed()
        inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == 7, 8)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.full((1, L), 7)])
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones(1, L, dtype=torch.long)])
        answer(model, inputs, name_index=torch.tensor([[10, -1, -1], [-1, -1, -1]])).loss.backward()
        assert model.get_input_embeddings().weight.grad[7].abs().max() > 0

    @pytest.mark.parametrize("reading", READINGS)
    def test_an_episode_is_as_taught_to_the_own_memory(self, build: Build, reading: str) -> None:
        model, inputs = build(reading=reading), packed()
        keys = model.embed(inputs["input_ids"], inputs["attention_mask"]).detach()
        alone = answer(model, one(inputs, 0), name_index=self.NAMES[:1])
        words = {f"label {label}": keys[text] for label, text in enumerate(self.NAMES[0].tolist())}
        labels = [f"label {label}" for label in inputs["support_labels"][0].tolist()]
        model.remember(keys[inputs["support_index"][0]], labels, names=words)
        solution = model.ready_memory().solution  # whose sharpness is fitted to it, which an episode's is not
        own = model.reading(solution, keys[inputs["query_index"]][:1])
        assert torch.allclose(alone.logits, own, atol=1e-4)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"support_labels": torch.zeros(B, S - 1, dtype=torch.long)}, r"is \(2, 6\), support_labels \(2, 5\)"),
        ({"query_index": torch.zeros(B + 1, Q, dtype=torch.long)}, r"query_index \(3, 4\): they must be"),
        ({"query_index": torch.zeros(B, dtype=torch.long)}, r"query_index \(2,\): they must be"),
        ({"support_index": torch.full((B, S), 10)}, "support_index names the input 10; the batch holds 10, counted"),
        ({"query_index": torch.full((B, Q), 12)}, "query_index names the input 12; the batch holds 10"),
        ({"name_index": torch.full((B, N), 10)}, "name_index names the input 10; the batch holds 10"),
        ({"support_index": torch.full((B, S), -2)}, "support_index names the input -2; .* and -1 stands for none"),
        ({"query_index": torch.full((B, Q), -100)}, "query_index names the input -100; .* and -1 stands for none"),
        ({"name_index": torch.tensor([[0, 1, 2], [0, -3, 2]])}, "name_index names the input -3; .* and -1 stands for"),
        ({"name_index": torch.zeros(B + 1, N, dtype=torch.long)}, r"name_index is \(3, 3\); .*\[B, N\] with B = 2"),
        ({"name_index": torch.zeros(1, N, dtype=torch.long)}, r"name_index is \(1, 3\); .*\[B, N\] with B = 2"),
        ({"name_index": torch.zeros(B, N + 1, dtype=torch.long)}, r"name_index is \(2, 4\); .*B = 2 and N at most 3"),
        ({"name_index": torch.zeros(N, dtype=torch.long)}, r"name_index is \(3,\); .*\[B, N\] with B = 2"),
        ({"support_labels": torch.full((B, S), IGNORED)}, "nothing to read"),
        ({"n_way": 2}, "up to 2 and n_way is 2"),
        ({"labels": torch.zeros(B, Q - 1, dtype=torch.long)}, r"labels are \(2, 3\); they must be \(2, 4\)"),
        ({"labels": torch.zeros(B * Q, dtype=torch.long)}, r"labels are \(8,\); they must be \(2, 4\)"),
        ({"labels": torch.full((B, Q), N)}, "labels go up to 3, and the memory knows 3 labels; they count from 0"),
        ({"labels": torch.full((B, Q), 5), "n_way": 5}, "labels go up to 5, and the memory knows 5 labels"),
        ({"labels": torch.full((B, Q), -1)}, "labels go down to -1; they count from 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build: Build, change: dict[str, Any], says: str) -> None:
    """Before any text is encoded."""
    model = build()
    model.embed = None  # type: ignore[assignment]  # nothing is to be encoded
    with pytest.raises(InvalidInputError, match=says):
        model.embed_episodes(batch_of(packed() | change))


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
def test_rows_of_queries_that_do_not_fit_are_refused(build: Build, problem_type: str) -> None:
    inputs = packed(problem_type)
    wide = torch.cat([inputs["labels"], inputs["labels"]], dim=-1)
    with pytest.raises(InvalidInputError, match=r"labels are \(2, 4, (4|6)\); they must be \(2, 4, (2|3)\)"):
        answer(build(**problem(problem_type)), inputs | {"labels": wide})


def test_padding_and_labels_without_words_are_let_through(build: Build) -> None:
    inputs = packed()
    for index, labels in (("support_index", "support_labels"), ("query_index", "labels")):
        inputs[index][0, 0], inputs[labels][0, 0] = -1, IGNORED
    assert answer(build(), inputs, name_index=torch.full((B, N), -1)).loss.isfinite()


def test_multi_label_support_goes_with_its_index(build: Build) -> None:
    with pytest.raises(InvalidInputError, match="multi_label_classification takes"):
        answer(build(problem_type=MULTI_LABEL), packed())


@pytest.mark.parametrize("problem_type", [SINGLE_LABEL, MULTI_LABEL, REGRESSION])
def test_a_batch_without_a_known_query_trains_nothing(build: Build, problem_type: str) -> None:
    """Its loss has a graph all the same, so that the processes of a run take their step together."""
    model, inputs = build(**problem(problem_type)), packed(problem_type)
    unknown = float("nan") if problem_type == REGRESSION else IGNORED
    loss = answer(model, inputs | {"labels": torch.full_like(inputs["labels"], unknown)}).loss
    loss.backward()
    assert float(loss.detach()) == 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
    assert model.get_input_embeddings().weight.grad is not None


def random_keys(names: bool = False, batch: int = 3) -> EpisodeKeys:
    """Episodes of different length, in double precision."""
    mask = torch.ones(batch, S, dtype=torch.bool)
    mask[1, 4:] = False
    values = F.one_hot(torch.arange(S).repeat(batch, 1) % N, N)
    named = torch.tensor([[True, True, True], [False, True, False], [True, False, True]])[:batch]
    keys = torch.randn(batch, S + Q + N, 5, dtype=torch.float64)
    support, queries, words = keys.split([S, Q, N], dim=1)
    more = (words, named) if names else (None, None)
    return EpisodeKeys(KeyValueMemory(5, N), support, values, mask, queries, None, *more)


class TestKeys:
    @pytest.mark.parametrize("reading", READINGS)
    @pytest.mark.parametrize("names", [False, True])
    def test_words_behind_the_examples_solve_alike(self, reading: str, names: bool) -> None:
        rules, episodes = READINGS[reading](5).double(), random_keys(names)
        whole = episodes.with_names()
        assert whole.names is None and (whole is episodes) is not names
        _, expected = read_episodes(rules, episodes)
        _, found = read_episodes(rules, whole)
        assert torch.allclose(found, expected, atol=1e-9)
        for number in range(3):
            kept = whole.mask[number]
            alone = EpisodeKeys(
                episodes.memory,
                whole.support[number, kept][None],
                whole.values[number, kept][None],
                kept[kept][None],
                whole.queries[number][None],
            )
            assert torch.allclose(read_episodes(rules, alone)[1][0], expected[number], atol=1e-6)

    @pytest.mark.parametrize("most", [1, 2, 20])
    def test_the_strongest_slots_of_the_best_label(self, most: int) -> None:
        rules, episodes = READINGS["attention"](5).double(), random_keys(names=True)
        solution, logits = read_episodes(rules, episodes)
        weights, ids = strongest(rules, solution, episodes.queries, logits, most)
        assert weights.shape == ids.shape == (3, Q, most)
        state, read = solution.state, rules.weights(solution, rules.scores(solution, episodes.queries))  # type: ignore[operator]
        for b, q in [(b, q) for b in range(3) for q in range(Q)]:
            own = [
                (float(read[b, q, slot]), int(state.ids[b, slot]))
                for slot in range(state.slots)
                if state.mask[b, slot] and state.values[b, slot, logits[b, q].argmax()]
            ]
            own = (sorted(own, reverse=True) + [(0, -1)] * most)[:most]
            assert ids[b, q].tolist() == [id_ for _, id_ in own]
            assert weights[b, q].tolist() == pytest.approx([weight for weight, _ in own])
