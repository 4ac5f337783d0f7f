"""What holds for every kind of targets: one set of tests over all entries of `TARGETS`, and one from outside."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mann_hf import targets
from mann_hf.errors import InvalidInputError, InvalidTypeError, UnknownNameError
from mann_hf.memory import READINGS, KeyValueMemory
from mann_hf.targets.kinds import (
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    TARGETS,
    TOKEN_IDS,
    Rows,
    Targets,
    problem_types,
    targets_of,
)
from mann_hf.targets.label_tensors import IGNORED
from mann_hf.targets.schema import Numbers

COUNTS = "counts"
V = 4
NAMES = ("card", "pin", "late", "top up")


class Counts(Numbers, Rows):
    """How often something happened: logits are logarithms of rates, the loss is that of Poisson."""

    name = COUNTS
    calibrated = False
    centred = True
    default_reading = "least_squares"

    def encode(self, labels: Sequence[tuple[float, ...]], names: Sequence[str], size: int) -> Tensor:
        return torch.tensor(labels).view(len(labels), size)

    def decode(self, values: Tensor, names: Sequence[str]) -> list[tuple[float, ...]]:
        return [tuple(row) for row in values.tolist()]

    def output_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.poisson_nll_loss(logits, labels, reduction="none")

    def scores(self, logits: Tensor) -> Tensor:
        return logits.exp()


class Case(NamedTuple):
    """Examples of a kind: labels as people give them, the same as they are kept, and labels of queries as tensors."""

    given: list[Any]
    kept: list[Any]
    queries: Tensor  # [2, 3] or [2, 3, V]
    ignored: float = IGNORED


CASES = {
    SINGLE_LABEL: Case(["pin ", "card"], ["pin", "card"], torch.tensor([[0, 2, 1], [1, 3, 0]])),
    MULTI_LABEL: Case(
        [["pin", "top up"], set(), ["late"]],
        [("pin", "top up"), (), ("late",)],
        torch.tensor([[[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]] * 2),
    ),
    REGRESSION: Case(
        [["1", 2, 3.5, -4], [0, 0, 0, 0]],
        [(1.0, 2.0, 3.5, -4.0), (0.0,) * 4],
        torch.linspace(-2, 2, 24).view(2, 3, V),
        float("nan"),
    ),
    TOKEN_IDS: Case([3, torch.tensor(0)], [3, 0], torch.tensor([[0, 2, 1], [1, 3, 0]])),
    COUNTS: Case([[1, 2, 3, 4]], [(1.0, 2.0, 3.0, 4.0)], torch.arange(24.0).view(2, 3, V)),
}
every_kind = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def counts_from_outside() -> Iterator[None]:
    TARGETS.register(COUNTS)(Counts)
    yield
    del TARGETS._parts[COUNTS]


def logits_like(labels: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def test_every_kind_has_a_case() -> None:
    assert set(TARGETS) == set(CASES)


@every_kind
def test_there_is_one_value_of_each_kind_with_the_name_it_is_registered_under(name: str) -> None:
    kind = targets_of(name)
    assert kind is targets_of(name) is copy.deepcopy(kind) and type(kind) is TARGETS[name]
    assert (kind.name, kind.__doc__ is None) == (name, False)
    assert targets.targets_of(None) is targets_of(SINGLE_LABEL)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="unknown problem type 'boxes'; choose one of 'single_label_classificat"):
        targets_of("boxes")


@every_kind
def test_what_people_give_is_kept_and_comes_back(name: str) -> None:
    kind, case = targets_of(name), CASES[name]
    assert kind.spell(case.given) == case.kept
    kind.check(case.kept)
    written = json.loads(json.dumps([kind.to_json(label) for label in case.kept]))
    assert [kind.from_json(label) for label in written] == case.kept
    values = kind.encode(case.kept, NAMES, V)
    assert values.shape == (len(case.kept), V)[: 2 if kind.dense else 1]
    assert kind.decode(values, NAMES) == case.kept
    assert kind.encode([], NAMES, V).shape == (0, *values.shape[1:])


@every_kind
def test_what_is_no_label_of_a_kind_is_refused(name: str) -> None:
    kind = targets_of(name)
    with pytest.raises((InvalidInputError, InvalidTypeError), match=r"label 1 \(counted from 0\): "):
        kind.spell([CASES[name].given[0], {"a": 1}])
    with pytest.raises(ValueError, match="label"):
        kind.from_json({"a": 1})


@every_kind
def test_labels_of_queries_are_written_and_asked_again(name: str) -> None:
    kind, case = targets_of(name), CASES[name]
    labels = case.queries.clone()
    labels[0, 1] = case.ignored
    values, known = kind.values_of(labels, V), kind.has_label(labels, 3)
    assert known.tolist() == [[True, False, True], [True] * 3]
    assert values.shape == ((2, 3, V) if kind.dense else (2, 3))
    written, _ = kind.support_values(labels.nan_to_num(IGNORED), V if labels.dim() == 2 else None)
    torch.testing.assert_close(values.to(written.dtype), written)
    again = kind.labels_of(values, known)
    torch.testing.assert_close(again, labels.to(again.dtype), equal_nan=True)


@every_kind
def test_support_writes_values_and_padding_writes_none(name: str) -> None:
    kind, labels = targets_of(name), CASES[name].queries.clone()
    labels[0, 1] = IGNORED
    before = labels.clone()
    values, mask = kind.support_values(labels, V if labels.dim() == 2 else None)
    assert values.shape == ((2, 3, V) if kind.dense else (2, 3))
    assert mask.tolist() == [[True, False, True], [True, True, True]]
    assert not values[0, 1].any() and torch.equal(labels, before)
    encoded = kind.encode(kind.decode(values[1], NAMES), NAMES, V)
    assert torch.equal(encoded.to(values.dtype), values[1]), "support and what is taught are written alike"
    if kind.dense:  # as a memory does
        rules = KeyValueMemory(2, V)
        rules.write(rules.initial_state(2), torch.ones(2, 3, 2), values.float(), mask=mask)


@every_kind
def test_the_loss_is_finite_and_has_a_gradient(name: str) -> None:
    kind, labels = targets_of(name), CASES[name].queries
    logits = logits_like(labels)
    loss = kind.loss(logits, labels)
    loss.backward()
    assert loss.shape == () and loss.isfinite()
    assert logits.grad is not None and logits.grad.isfinite().all() and logits.grad.any(-1).all()
    assert torch.autograd.gradcheck(lambda given: kind.loss(given, labels), logits)


@every_kind
def test_queries_that_are_left_out_do_not_count(name: str) -> None:
    kind, case = targets_of(name), CASES[name]
    absent = torch.tensor([[False, True, False], [True, False, False]])
    labels = kind.without_queries(case.queries, absent)
    assert kind.has_label(case.queries, 3).all()
    assert torch.equal(kind.has_label(labels, 3), ~absent)
    logits, others = logits_like(labels), logits_like(labels, seed=1).detach()
    loss = kind.loss(logits, labels)
    with torch.no_grad():
        others = torch.where(absent[..., None], others, logits)
    torch.testing.assert_close(kind.loss(others, labels), loss)
    loss.backward()
    assert logits.grad is not None and not logits.grad[absent].any()
    kept = [kind.loss(logits[b, ~absent[b]], case.queries[b, ~absent[b]]) for b in range(2)]
    torch.testing.assert_close(loss, torch.stack(kept).mean())


@every_kind
def test_labels_of_another_shape_are_refused(name: str) -> None:
    labels = CASES[name].queries
    with pytest.raises(InvalidInputError, match=r"labels are \(2, 2.*they must be \(2, 3"):
        targets_of(name).loss(logits_like(labels), labels[:, :2])


@every_kind
def test_scores_keep_the_order_and_lie_where_they_can(name: str) -> None:
    kind = targets_of(name)
    logits = 20 * logits_like(CASES[name].queries).detach()[0]
    scores = kind.scores(logits)
    assert scores.shape == logits.shape and scores.isfinite().all()
    assert torch.equal(scores.double().argsort(-1), logits.argsort(-1))
    if kind.calibrated:
        assert ((scores >= 0) & (scores <= 1)).all()
    if kind.exclusive:
        torch.testing.assert_close(scores.sum(-1), torch.ones(3))


@every_kind
def test_what_is_read_is_the_weighted_sum_and_its_logits_give_it_back(name: str) -> None:
    kind, case = targets_of(name), CASES[name]
    values, _ = kind.support_values(case.queries, V if case.queries.dim() == 2 else None)
    weights = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    rows = values if kind.dense else F.one_hot(values, V)
    expected = weights @ rows.double()
    torch.testing.assert_close(kind.read(weights, values, V), expected)
    logits = kind.read_logits(weights, values, 1e-9, V)
    torch.testing.assert_close(kind.read_of_logits(logits), expected, atol=1e-8, rtol=0)


@every_kind
def test_the_default_reading_serves_it_where_one_can(name: str) -> None:
    kind = targets_of(name)
    served = [each for each, reading in READINGS.items() if name in reading.problem_types]
    assert kind.default_reading in READINGS and (kind.default_reading in served) == kind.dense
    assert (name in problem_types()) == kind.dense
    for each in served:
        reading = READINGS[each](2, name)
        rules = KeyValueMemory(2, V)
        values = kind.encode(CASES[name].kept, NAMES, V)
        state = rules.write(rules.initial_state(), torch.rand(1, len(values), 2), values[None])
        assert reading(reading.solve(state), torch.rand(1, 3, 2)).shape == (1, 3, V)


@every_kind
def test_outputs_are_chosen_and_put_as_they_are_taught(name: str) -> None:
    kind = targets_of(name)
    ranked = [
        {"label": label, "score": score, "evidence": [], "rest": 0.0} for label, score in (("b", 0.75), ("a", 0.25))
    ]
    picked = kind.chosen(ranked, {"a": 0, "b": 1})
    taught = kind.as_taught(picked)
    expected: dict[str, tuple[list[str], Any]] = {
        SINGLE_LABEL: (["b"], "b"),
        TOKEN_IDS: (["b"], "b"),
        MULTI_LABEL: (["b"], ["b"]),
    }
    labels, label = expected.get(name, (["a", "b"], [0.25, 0.75]))
    assert [answer["label"] for answer in picked] == labels and taught["label"] == label
    assert ("score" in taught) == (kind.named or kind.exclusive)


def test_scores_are_those_of_the_stock_pipeline_to_the_last_bit() -> None:
    from transformers.pipelines.text_classification import sigmoid, softmax

    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 9
    assert torch.equal(targets_of(SINGLE_LABEL).scores(logits), torch.from_numpy(softmax(logits.numpy())))
    assert torch.equal(targets_of(MULTI_LABEL).scores(logits), torch.from_numpy(sigmoid(logits.numpy())))
    assert targets_of(REGRESSION).scores(logits) is logits


def test_the_kinds_are_told_apart_by_what_they_are() -> None:
    kinds = [targets_of(name) for name in (SINGLE_LABEL, MULTI_LABEL, REGRESSION, TOKEN_IDS)]
    assert [kind.named for kind in kinds] == [True, True, False, False]
    assert [kind.exclusive for kind in kinds] == [True, False, False, True]
    assert [kind.several for kind in kinds] == [False, True, False, False]
    assert [kind.value_size(3) for kind in kinds] == [0, 0, 3, 3]


def test_a_kind_that_leaves_something_out_cannot_be_used() -> None:
    class Half(Targets):
        name = "half"

    TARGETS.register("half")(Half)  # type: ignore[type-abstract]
    try:
        with pytest.raises(TypeError, match="abstract"):
            targets_of("half")
    finally:
        del TARGETS._parts["half"]
