import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.targets.kinds import TokenIds

TOKENS = TokenIds()


def reference(weights: Tensor, tokens: Tensor, vocabulary: int) -> Tensor:
    """Slot by slot: [B, Q, V]."""
    result = torch.zeros(*weights.shape[:2], vocabulary, dtype=weights.dtype)
    for b in range(len(tokens)):
        for slot, token in enumerate(tokens[b].tolist()):
            result[b, :, token] += weights[b, :, slot]
    return result


def test_read_weights_are_added_up_by_token() -> None:
    weights = torch.rand(3, 2, 6, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([[0, 4, 4, 4, 1, 0], [2, 2, 2, 2, 2, 2], [0, 1, 2, 3, 4, 0]])
    torch.testing.assert_close(TOKENS.read(weights, tokens, 5), reference(weights, tokens, 5))
    assert torch.autograd.gradcheck(lambda given: TOKENS.read(given, tokens, 5), weights)


def test_a_vocabulary_is_never_one_hot() -> None:
    """One-hot rows of these slots would take 64 GiB."""
    slots, vocabulary = 500_000, 32_000
    tokens = torch.arange(slots)[None] % vocabulary
    read = TOKENS.read(torch.full((1, 1, slots), 1 / slots), tokens, vocabulary)
    assert read.shape == (1, 1, vocabulary) and read.sum().item() == pytest.approx(1, rel=1e-4)
    values, mask = TOKENS.support_values(tokens, vocabulary)
    assert values.dtype == torch.long and values.shape == tokens.shape and mask.all()


def test_the_vocabulary_must_be_told_of() -> None:
    with pytest.raises(InvalidInputError, match="give outputs, the size of the vocabulary"):
        TOKENS.read(torch.ones(1, 1, 2), torch.zeros(1, 2, dtype=torch.long))


def test_its_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(2, 3, 9), torch.tensor([[1, 8, 0], [3, 3, -100]])
    within = [F.cross_entropy(logits[0], labels[0]), F.cross_entropy(logits[1, :2], labels[1, :2])]
    torch.testing.assert_close(TOKENS.loss(logits, labels), sum(within) / 2)


@pytest.mark.parametrize(
    "token, error",
    [(-1, InvalidInputError), (1.5, InvalidTypeError), (True, InvalidTypeError), ("a", InvalidTypeError)],
)
def test_what_is_no_token_is_refused(token: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"label 0 \(counted from 0\): .* is no token"):
        TOKENS.spell([token])
    with pytest.raises(error):
        TOKENS.check([token])
    with pytest.raises(ValueError, match="token"):
        TOKENS.from_json(token)


def test_a_token_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="the token 5 came; the vocabulary has 5, counted from 0"):
        TOKENS.encode([4, 5], (), 5)


def test_a_cell_of_a_table_holds_a_number() -> None:
    spell = pytest.fail
    assert (TOKENS.spell_cell("12", spell), TOKENS.spell_cell(3, spell)) == (12, 3)
    with pytest.raises(InvalidTypeError, match="'card' is no token"):
        TOKENS.spell_cell("card", spell)
