import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mann_hf.errors import InvalidInputError
from mann_hf.targets.kinds import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, targets_of
from mann_hf.targets.label_tensors import IGNORED, mean_over_episodes


def support_values(labels: Tensor, problem_type: str, n_way: int | None = None) -> tuple[Tensor, Tensor]:
    return targets_of(problem_type).support_values(labels, n_way)


def query_loss(logits: Tensor, labels: Tensor, problem_type: str) -> Tensor:
    return targets_of(problem_type).loss(logits, labels)


class TestSupport:
    def test_a_row_for_each_label_and_zeros_for_padding(self) -> None:
        values, mask = support_values(torch.tensor([[0, 2, IGNORED], [1, IGNORED, 1]]), SINGLE_LABEL)
        assert values.tolist() == [[[1, 0, 0], [0, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 0, 0], [0, 1, 0]]]
        assert mask.tolist() == [[True, True, False], [True, False, True]]

    def test_as_many_labels_as_asked_for(self) -> None:
        assert support_values(torch.tensor([[0, 1]]), SINGLE_LABEL, 4)[0].shape == (1, 2, 4)

    @pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
    def test_rows_are_taken_as_they_are(self, problem_type: str) -> None:
        labels = torch.tensor([[[1.0, 0.0], [IGNORED, IGNORED], [0.0, 0.0]]])
        values, mask = support_values(labels, problem_type)
        assert values.tolist() == [[[1, 0], [0, 0], [0, 0]]] and mask.tolist() == [[True, False, True]]
        assert labels[0, 1, 0] == IGNORED, "what came is unchanged"

    def test_small_whole_numbers_will_do(self) -> None:
        values, _ = support_values(torch.tensor([[1, 0]], dtype=torch.int8), SINGLE_LABEL)
        assert values.tolist() == [[[0, 1], [1, 0]]]

    @pytest.mark.parametrize(
        "labels, n_way, says",
        [
            ([[0, 3, IGNORED]], 3, "go from 0 up to 3 and n_way is 3"),
            ([[IGNORED, -1, 1]], None, "go from -1 up to 1 and n_way is None"),
            ([[IGNORED, -200]], None, "go from -200 up to -200"),
            ([[IGNORED, IGNORED]], 3, "all -100, so there is nothing to read"),
            ([[]], None, "nothing to read"),
        ],
    )
    def test_labels_that_there_are_not(self, labels: list, n_way: int | None, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            support_values(torch.tensor(labels, dtype=torch.long), SINGLE_LABEL, n_way)

    @pytest.mark.parametrize(
        "shape, problem_type", [((4,), REGRESSION), ((2, 4), MULTI_LABEL), ((2, 4, 1, 1), REGRESSION)]
    )
    def test_labels_of_another_shape(self, shape: tuple[int, ...], problem_type: str) -> None:
        with pytest.raises(InvalidInputError, match=rf"{problem_type} takes \[B, S, C\]"):
            support_values(torch.zeros(shape), problem_type)


CASES: dict[str, tuple[Tensor, float]] = {
    SINGLE_LABEL: (torch.tensor([[0, 2, 1], [1, 1, 0]]), IGNORED),
    MULTI_LABEL: (torch.randint(0, 2, (2, 3, 4), generator=torch.Generator().manual_seed(0)), IGNORED),
    REGRESSION: (torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), float("nan")),
}


LOSSES = {
    SINGLE_LABEL: F.cross_entropy,
    MULTI_LABEL: lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float()),
    REGRESSION: F.mse_loss,
}


class TestMean:
    TERMS, MASK = (
        torch.tensor([[1.0, 2.0, 6.0], [5.0, 7.0, 9.0], [1.0, 1.0, 1.0]]),
        torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool(),
    )

    def test_episodes_weigh_the_same(self) -> None:
        assert mean_over_episodes(self.TERMS, self.MASK) == pytest.approx((3.5 + 7 + 0) / 3)
        assert mean_over_episodes(self.TERMS[0], self.MASK[0]) == 3.5

    def test_what_is_left_out_may_be_anything(self) -> None:
        terms = self.TERMS.masked_fill(~self.MASK, float("nan")).requires_grad_()
        mean_over_episodes(terms, self.MASK).backward()
        expected = torch.tensor([[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]) / 3
        assert terms.grad is not None and torch.allclose(terms.grad, expected)


class TestLoss:
    @pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
    def test_the_mean_within_each_episode_then_over_them(self, problem_type: str) -> None:
        """The divisor is their number: one without a label to learn from counts as 0."""
        logits, (labels, mark) = torch.randn(3, 3, 4, requires_grad=True), CASES[problem_type]
        labels = torch.cat([labels, torch.full_like(labels[:1], mark)])
        labels[1, 0] = labels[1, 2] = mark
        known = [(logits[number, place], labels[number, place]) for number, place in ((0, 0), (0, 1), (0, 2), (1, 1))]
        losses = [LOSSES[problem_type](*each) for each in known]
        expected = (sum(losses[:3]) / 3 + losses[3]) / 3  # type: ignore[operator]
        found = query_loss(logits, labels, problem_type)
        assert torch.allclose(found, expected)
        mine, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
        assert torch.allclose(mine, theirs, atol=1e-7)

    @pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
    def test_without_episodes_the_mean_over_queries(self, problem_type: str) -> None:
        logits, (labels, mark) = torch.randn(6, 4), CASES[problem_type]
        labels = labels.flatten(0, 1).clone()
        labels[2] = mark
        losses = [LOSSES[problem_type](logits[place], labels[place]) for place in (0, 1, 3, 4, 5)]
        found = query_loss(logits, labels, problem_type)
        assert torch.allclose(found, torch.stack(losses).mean())

    @pytest.mark.parametrize("label", [2.0, -1.0, float("nan"), float("inf")])
    def test_several_labels_are_yes_or_no(self, label: float) -> None:
        logits, labels = torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 0.5], [IGNORED, IGNORED, label]])
        query_loss(logits, labels, MULTI_LABEL)
        labels[0, 1] = label
        with pytest.raises(InvalidInputError, match=f"labels hold {label}"):
            query_loss(logits, labels, MULTI_LABEL)

    @pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
    def test_what_is_left_out_does_not_spoil_the_gradient(self, problem_type: str) -> None:
        logits, (labels, mark) = torch.randn(2, 3, 4), CASES[problem_type]
        logits[0, 1], labels = float("inf"), labels.clone()
        labels[0, 1] = mark
        logits.requires_grad_()
        loss = query_loss(logits, labels, problem_type)
        assert loss.isfinite()
        loss.backward()
        assert logits.grad is not None and logits.grad.isfinite().all() and not logits.grad[0, 1].any()

    @pytest.mark.parametrize("queries", [0, 3])
    @pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
    def test_nothing_to_learn_is_a_loss_of_zero(self, problem_type: str, queries: int) -> None:
        logits = torch.randn(2, queries, 4, requires_grad=True)
        labels, mark = CASES[problem_type]
        loss = query_loss(logits, torch.full_like(labels[:, :queries], mark), problem_type)
        assert loss.item() == 0
        loss.backward()
        assert logits.grad is not None and not logits.grad.any()

    def test_closed_labels_do_not_spoil_the_gradient(self) -> None:
        logits = torch.randn(1, 2, 3, requires_grad=True)
        closed = logits.masked_fill(torch.tensor([False, False, True]), float("-inf"))
        loss = query_loss(closed, torch.tensor([[0, IGNORED]]), SINGLE_LABEL)
        assert torch.allclose(loss, F.cross_entropy(logits[0, :1, :2], torch.tensor([0])))
        loss.backward()
        assert logits.grad is not None and logits.grad.isfinite().all()

    @pytest.mark.parametrize(
        "labels, says",
        [
            (
                torch.tensor([[0, 4, 1]]),
                "labels go up to 4, and the memory knows 4 labels; they count from 0, and -100",
            ),
            (torch.tensor([[0, -1, IGNORED]]), "labels go down to -1; they count from 0, and -100"),
            (torch.tensor([0, 1, 1]), r"labels are \(3,\); they must be \(1, 3\)"),
        ],
    )
    def test_labels_that_there_are_not(self, labels: Tensor, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            query_loss(torch.zeros(1, 3, 4), labels, SINGLE_LABEL)

    @pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
    def test_rows_of_another_length(self, problem_type: str) -> None:
        with pytest.raises(InvalidInputError, match=r"labels are \(1, 3, 5\); they must be \(1, 3, 4\)"):
            query_loss(torch.zeros(1, 3, 4), torch.zeros(1, 3, 5), problem_type)
