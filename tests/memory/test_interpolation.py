"""Next-token distributions of model and memory, against the papers' equations in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann_hf.memory.interpolation import (
    INTERPOLATIONS,
    AdaptiveInterpolation,
    FixedInterpolation,
    RobustInterpolation,
    different_tokens,
    mixed_logits,
    slot_weights,
)

NONE = -math.inf


def retrieved(rows=3, slots=4, vocabulary=7, seed=0):
    draw = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, slots, generator=draw, dtype=torch.float64).sort(-1, descending=True).values
    tokens = torch.randint(vocabulary, (rows, slots), generator=draw)
    logits = torch.randn(rows, vocabulary, generator=draw, dtype=torch.float64)
    stored = torch.randn(rows, slots, generator=draw, dtype=torch.float64).exp().neg()
    return scores, tokens, logits, stored


@given(st.floats(0, 1), st.floats(0.1, 50), st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_the_mixture_is_that_of_the_paper(share, sharpness, seed):
    scores, tokens, logits, stored = retrieved(seed=seed)
    shares = FixedInterpolation(share, sharpness)(scores, tokens, logits, stored)
    given_by = mixed_logits(logits.float(), shares, tokens).double().softmax(-1)
    distances = 1 - scores
    memory = torch.zeros_like(logits)
    for row in range(len(scores)):
        total = sum(math.exp(-d * sharpness) for d in distances[row].tolist())
        for distance, token in zip(distances[row].tolist(), tokens[row].tolist(), strict=True):
            memory[row, token] += math.exp(-distance * sharpness) / total
    expected = share * memory + (1 - share) * logits.softmax(-1)
    assert torch.allclose(given_by, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [name for name, _ in INTERPOLATIONS.items()])
class TestEveryInterpolation:
    def made(self, kind, nearest=4):
        torch.manual_seed(0)
        return INTERPOLATIONS[kind](0.4, 10.0, nearest).double()

    def test_shares_sum_to_at_most_one_and_are_0_for_slots_that_are_not_there(self, kind):
        scores, tokens, logits, stored = retrieved()
        scores[0, 2:] = NONE
        scores[1] = NONE
        shares = self.made(kind)(scores, tokens, logits, stored)
        assert (shares >= 0).all() and (shares.sum(-1) <= 1 + 1e-9).all()
        assert (shares[0, 2:] == 0).all() and (shares[1] == 0).all()

    def test_begins_with_the_share_asked_for(self, kind):
        scores, tokens, logits, stored = retrieved()
        assert torch.allclose(
            self.made(kind)(scores, tokens, logits, stored).sum(-1), torch.tensor(0.4).double(), atol=1e-6
        )

    def test_gradients(self, kind):
        scores, tokens, logits, stored = retrieved()
        interpolation = self.made(kind)
        torch.autograd.gradcheck(lambda given: interpolation(given, tokens, logits, stored), scores.requires_grad_())

    def test_gradients_of_what_is_learned_where_slots_are_missing(self, kind):
        scores, tokens, logits, stored = retrieved()
        scores[0, 2:], scores[1] = NONE, NONE
        interpolation = self.made(kind, nearest=6)
        shares = interpolation(scores.requires_grad_(), tokens, logits, stored)
        shares.square().sum().backward()
        assert scores.grad.isfinite().all()
        assert all(part.grad is not None and part.grad.isfinite().all() for part in interpolation.parameters())

    def test_fewer_slots_than_the_usual_number(self, kind):
        scores, tokens, logits, stored = retrieved(slots=2)
        shares = self.made(kind)(scores, tokens, logits, stored)
        assert shares.shape == scores.shape and (shares.sum(-1) <= 1 + 1e-9).all()


def test_adaptive_learns_to_trust_near_slots_alone():
    torch.manual_seed(0)
    interpolation = AdaptiveInterpolation(0.5, 10.0, 4)
    optimizer = torch.optim.Adam(interpolation.parameters(), 0.02)
    near = torch.tensor([[0.99, 0.98, 0.97, 0.96], [0.3, 0.2, 0.1, 0.05]])
    tokens = torch.tensor([[5, 5, 5, 5], [1, 2, 3, 4]])
    logits, right = torch.zeros(2, 7).index_fill_(1, torch.tensor([0]), 3.0), torch.tensor([5, 0])
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(
            mixed_logits(logits, interpolation(near, tokens, logits, torch.zeros_like(near)), tokens), right
        ).backward()
        optimizer.step()
    trusted = interpolation(near, tokens, logits, torch.zeros_like(near)).sum(-1)
    assert trusted[0] > 0.9 and trusted[1] < 0.1


def test_robust_learns_to_trust_the_memory_where_the_model_is_not_sure():
    torch.manual_seed(0)
    interpolation = RobustInterpolation(0.5, 10.0, 2)
    optimizer = torch.optim.Adam(interpolation.parameters(), 0.02)
    scores, tokens = torch.tensor([[0.5, 0.2]]).expand(2, -1), torch.tensor([[5, 3]]).expand(2, -1)
    logits, right, stored = torch.zeros(2, 7), torch.tensor([5, 0]), torch.zeros(2, 2)
    logits[1, 0] = 9.0
    for _ in range(200):
        optimizer.zero_grad()
        mixed = mixed_logits(logits, interpolation(scores, tokens, logits, stored), tokens)
        torch.nn.functional.cross_entropy(mixed, right).backward()
        optimizer.step()
    trusted = interpolation(scores, tokens, logits, stored).sum(-1)
    assert trusted[0] > 0.9 and trusted[1] < 0.1


def test_robust_learns_to_trust_what_was_news_to_the_model():
    torch.manual_seed(0)
    interpolation = RobustInterpolation(0.5, 10.0, 2)
    optimizer = torch.optim.Adam(interpolation.parameters(), 0.02)
    scores, tokens = torch.tensor([[0.5, 0.5]]).expand(3, -1), torch.tensor([[5, 3], [5, 3], [3, 4]])
    logits, right = torch.zeros(3, 7), torch.tensor([5, 3, 0])
    logits[2, 0] = 3.0
    stored = torch.tensor([[-8.0, -0.1], [-0.1, -8.0], [-0.1, -0.1]])
    for _ in range(200):
        optimizer.zero_grad()
        mixed = mixed_logits(logits, interpolation(scores, tokens, logits, stored), tokens)
        torch.nn.functional.cross_entropy(mixed, right).backward()
        optimizer.step()
    trusted = interpolation(scores, tokens, logits, stored)
    assert trusted[0, 0] > 0.8 and trusted[1, 1] > 0.8 and trusted[2].sum() < 0.1


def test_robust_weighs_a_slot_by_the_models_probabilities_of_its_token():
    interpolation = RobustInterpolation(0.5, 10.0, 2).double()
    torch.manual_seed(0)
    with torch.no_grad():
        for part in interpolation.parameters():
            part.copy_(torch.randn_like(part))
    scores, tokens, logits, stored = retrieved(slots=2)
    shares = interpolation(scores, tokens, logits, stored)
    probabilities = logits.softmax(-1)
    for row in range(len(scores)):
        products = []
        for score, token, before in zip(scores[row], tokens[row].tolist(), stored[row].tolist(), strict=True):
            own = 1 + max(math.log(probabilities[row, token]), -16) / 16
            hidden = interpolation.slot_hidden.weight @ torch.tensor([score, own, 1 + max(before, -16) / 16]).double()
            confidence = interpolation.slot(torch.tanh(hidden + interpolation.slot_hidden.bias))
            products.append(float(interpolation.log_sharpness.exp() * score + confidence))
        expected = torch.tensor(products).double().softmax(-1)
        assert torch.allclose(shares[row] / shares[row].sum(), expected, atol=1e-6)


def test_different_tokens_are_counted_up_to_each_slot():
    tokens = torch.tensor([[3, 3, 1, 3, 2]])
    held = torch.tensor([[True, True, True, True, False]])
    assert different_tokens(tokens, held).tolist() == [[1, 1, 2, 2, 2]]


def test_no_share_leaves_logits_as_they_are():
    scores, tokens, logits, _ = retrieved()
    shares = torch.zeros_like(scores)
    shares[1] = 0.1
    mixed = mixed_logits(logits.float(), shares, tokens)
    assert torch.equal(mixed[[0, 2]], logits.float()[[0, 2]]) and not torch.equal(mixed[1], logits.float()[1])


def test_mixed_logits_have_the_scale_of_the_models_own():
    scores, tokens, logits, _ = retrieved()
    mixed = mixed_logits(logits.float() + 7, torch.full_like(scores, 0.1), tokens)
    assert torch.allclose(mixed.logsumexp(-1), (logits.float() + 7).logsumexp(-1), atol=1e-5)


def test_gradients_of_the_mixture_are_those_of_the_equation():
    for seed in range(5):
        scores, tokens, logits, _ = retrieved(vocabulary=4, seed=seed)
        tokens[0, :2], tokens[1] = 0, tokens[1, 0]
        gradients = []
        for mixed in (mixed_logits, plain_mixture):
            parts = logits.float().requires_grad_(), (0.2 * scores.softmax(-1).float()).requires_grad_()
            mixed(*parts, tokens).log_softmax(-1).square().sum().backward()
            gradients.append([part.grad for part in parts])
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def plain_mixture(logits, shares, tokens):
    known = logits.softmax(-1) * (1 - shares.sum(-1, keepdim=True))
    return known.scatter_add(-1, tokens, shares).log()


def test_a_slot_that_is_not_there_takes_nothing_from_the_first_token():
    shares, tokens = torch.tensor([[0.5, 0.0]]), torch.tensor([[0, -1]])
    mixed = mixed_logits(torch.zeros(1, 4), shares, tokens).softmax(-1)
    assert torch.allclose(mixed, torch.tensor([[0.625, 0.125, 0.125, 0.125]]))


def test_what_the_model_never_says_can_be_said_by_the_memory():
    mixed = mixed_logits(torch.tensor([[NONE, 0.0, 0.0]]), torch.tensor([[0.5]]), torch.tensor([[0]]))
    assert torch.allclose(mixed.softmax(-1), torch.tensor([[0.5, 0.25, 0.25]]))


def test_gradients_stay_finite_where_the_memory_says_nothing_of_a_token():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    shares, tokens = torch.tensor([[0.9]], requires_grad=True), torch.tensor([[2]])
    torch.nn.functional.cross_entropy(mixed_logits(logits, shares, tokens), torch.tensor([1])).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in (logits, shares))


def test_weights_of_no_slot_are_0():
    assert slot_weights(torch.full((2, 3), NONE), 5.0).eq(0).all()
