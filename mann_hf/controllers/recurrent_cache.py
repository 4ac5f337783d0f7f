"""The state of a recurrent decoder as a cache of transformers."""

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from ..errors import InvalidInputError, InvalidTypeError

States = tuple[Tensor, Tensor]
"""Hidden and cell state of an LSTM, [N, B, H] each for N layers."""


class RecurrentLayer(CacheLayerMixin):
    """The state of a recurrent decoder behind the tokens it has read, of a size that does not grow with them.

    `keys` are the hidden states [B, N, H] of N layers, `values` the cells: the sequences come first, where beam search
    reorders them.
    """

    supports_early_init = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Replaces the state; a third argument counts the tokens read."""
        self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states, value_states
        self.length += args[0] if args else 1
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_max_cache_shape(self) -> int:
        return -1

    def reset(self) -> None:
        super().reset()
        self.length = 0

    def crop(self, tokens_to_remove: int) -> None:
        """Takes back nothing.

        Raises:
            InvalidInputError: it is asked to, and the earlier states are gone.
        """
        if tokens_to_remove:
            raise InvalidInputError("a recurrent decoder cannot take back tokens: it keeps only its last state.")

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._map(lambda state: state.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._map(lambda state: state[indices])

    def _map(self, function: Any) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = function(self.keys), function(self.values)


class RecurrentCache(Cache):
    """The state of a recurrent decoder between two steps of generation, which beam search reorders."""

    def __init__(self) -> None:
        super().__init__(layers=[RecurrentLayer()])

    @property
    def states(self) -> States | None:
        """Hidden and cell states [N, B, H]; None before the first token."""
        layer: Any = self.layers[0]
        if not layer.get_seq_length():
            return None
        return layer.keys.transpose(0, 1).contiguous(), layer.values.transpose(0, 1).contiguous()

    def put(self, states: States, tokens: int) -> None:
        """Replaces the state by that behind so many more tokens."""
        layer: Any = self.layers[0]
        layer.update(states[0].transpose(0, 1), states[1].transpose(0, 1), tokens)


def recurrent_cache(cache: Cache | None) -> RecurrentCache | None:
    """The cache that a call was given; None in place of an empty one of another kind, as `generate` may make it.

    Raises:
        InvalidTypeError: one of another kind with something in it.
    """
    if cache is None or isinstance(cache, RecurrentCache):
        return cache
    if cache.get_seq_length():
        raise InvalidTypeError(
            f"past_key_values is a {type(cache).__name__}; a recurrent decoder takes RecurrentCache."
        )
    return None
