"""The configuration of encoder-decoders with a memory."""

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from ..controllers.seq2seq_controller import SEQ2SEQ, half_of
from ..errors import InvalidInputError
from ..memory.interpolation import INTERPOLATIONS, LearnedInterpolation
from ..wording import shown, whole_number
from .configuration_base import MANNBaseConfig
from .generation_memories import GENERATION_MEMORIES

KEY_DTYPES = ("bfloat16", "float32")
LEARNED = [name for name, kind in INTERPOLATIONS.items() if issubclass(kind, LearnedInterpolation)]
"""In place of a number as `interpolation`: λ is predicted at each token."""


class MANNSeq2SeqConfig(MANNBaseConfig):
    r"""Configuration of an encoder-decoder with a memory of pairs: what it remembers of them, and how it is read.

    Args:
        encoder_config: the configuration of the wrapped encoder-decoder, as an object or a dict with its `model_type`.
        encoder_name: the name it was loaded by; messages and memory files show it.
        memory: what is remembered of a pair: `"token"`, the decoder's state before each token of the target and that
            token; or `"example"`, the pair as a whole, which takes training.
        interpolation: λ, the share of a memory of tokens in the next-token distribution, from 0 to 1. Or it is
            predicted at each token, which takes training: `"adaptive"` by what was retrieved, `"robust"` also by how
            sure the model is, and was of these tokens as they were stored.
        nearest: how many tokens of the memory are used for each next token.
        sharpness: β, by which scores are multiplied before their softmax: 1 for the same state of the decoder, about 0
            for any other.
        source_weight: how much it counts that a stored token's source is unlike the source that is asked, beside the
            states of the decoder: at 0 those alone are compared, as in the paper.
        neighbours: the pairs whose tokens are compared: those whose sources are nearest to the source that is asked.
            None for the tokens of all pairs. A memory of examples that holds more than 1,024 pairs reads the nearest
            alone, too: so many, and at least 128.
        chunk_size: where the tokens of all pairs are compared: for how many tokens what one search found is used, with
            what follows it in its pairs.
        min_knns: where the tokens of all pairs are compared: how many of the tokens behind those that were used last
            have to go on with what was generated for these to be compared in place of a new search; at most `nearest`.
            None searches each time.
        store: the name in `STORES` of what searches a large memory.
        key_dtype: `"bfloat16"` or `"float32"`, in which keys of tokens are stored.
        memory_size: K, the size of the keys and values of a memory of examples; by default that of the states.
        gate: how far a memory of examples is open before training: what is read is multiplied by tanh(gate).
        key_scale: by what a memory of examples multiplies states to make queries and keys of them, before training:
            the larger, the more a state reads of the pair that is most like it alone. States of a model from scratch
            are short and need more, such as 5.
        source_prefix: put in front of each source, as T5 takes it ("translate English to German: ").
        max_source_length: the largest number of tokens of a source; by default that of the model or its tokenizer, and
            1,024 where they have none.
        max_target_length: likewise of a target.
        store_texts: whether the memory keeps and saves the texts it was taught.
        adapter: as for `MANNConfig`.

    Source: Khandelwal et al. 2021, [Nearest Neighbor Machine Translation](https://arxiv.org/abs/2010.00710); Meng et
    al. 2022, [Fast Nearest Neighbor Machine Translation](https://arxiv.org/abs/2105.14528), for `neighbours`; Martins
    et al. 2022, [Chunk-based Nearest Neighbor Machine Translation](https://arxiv.org/abs/2205.12230), for `chunk_size`;
    Alon et al. 2022, [Neuro-Symbolic Language Modeling with Automaton-augmented
    Retrieval](https://arxiv.org/abs/2201.12431), for `min_knns`; Lake 2019, [Compositional generalization through meta
    sequence-to-sequence learning](https://arxiv.org/abs/1906.05381), for the memory of examples.

    Raises:
        UnknownNameError: there is no memory, interpolation or store of that name.
        InvalidInputError: a field of a type or range that cannot be meant, such as an interpolation above 1.
    """

    model_type = "mann_seq2seq"
    sub_configs = {"encoder_config": AutoConfig}

    def __init__(
        self,
        encoder_config: PreTrainedConfig | dict[str, Any] | None = None,
        encoder_name: str | None = None,
        memory: str = "token",
        interpolation: float | str = 0.5,
        nearest: int = 8,
        sharpness: float = 20.0,
        source_weight: float = 0.25,
        neighbours: int | None = 16,
        chunk_size: int = 1,
        min_knns: int | None = None,
        store: str = "exact",
        key_dtype: str = "bfloat16",
        memory_size: int | None = None,
        gate: float = 0.0,
        key_scale: float = 1.0,
        source_prefix: str = "",
        max_source_length: int | None = None,
        max_target_length: int | None = None,
        store_texts: bool = True,
        adapter: dict[str, Any] | None = None,
        modality: str = SEQ2SEQ,
        **kwargs: Any,
    ) -> None:
        if not isinstance(memory, str):
            raise _wrong("memory", memory, "give a name")
        GENERATION_MEMORIES[memory]  # refuses another name
        if not isinstance(interpolation, str) or interpolation not in LEARNED:
            check_share(interpolation, "".join(f" or {name!r}" for name in LEARNED))
        for name, number in (("nearest", nearest), ("chunk_size", chunk_size)):
            _check_whole(name, number)
        for name, optional in (
            ("neighbours", neighbours),
            ("min_knns", min_knns),
            ("memory_size", memory_size),
            ("max_source_length", max_source_length),
            ("max_target_length", max_target_length),
        ):
            if optional is not None:
                _check_whole(name, optional, " or None")
        if min_knns is not None and min_knns > nearest:
            raise _wrong("min_knns", min_knns, f"give at most nearest ({nearest}), or None to search each time")
        check_sharpness(sharpness)
        check_source_weight(source_weight)
        if not _is_number(gate) or abs(gate) == float("inf"):
            raise _wrong("gate", gate, "give a number; 0 is closed")
        if not _is_number(key_scale) or not 0 < key_scale < float("inf"):
            raise _wrong("key_scale", key_scale, "give a number above 0")
        if key_dtype not in KEY_DTYPES:
            raise _wrong("key_dtype", key_dtype, f"choose one of {', '.join(map(repr, KEY_DTYPES))}")
        if not isinstance(source_prefix, str):
            raise _wrong("source_prefix", source_prefix, "give a text")
        self.memory, self.interpolation = memory, interpolation
        self.nearest, self.sharpness = int(nearest), float(sharpness)
        self.source_weight = float(source_weight)
        self.neighbours = None if neighbours is None else int(neighbours)
        self.chunk_size, self.min_knns = int(chunk_size), None if min_knns is None else int(min_knns)
        self.key_dtype = key_dtype
        self.memory_size = None if memory_size is None else int(memory_size)
        self.gate, self.key_scale, self.source_prefix = float(gate), float(key_scale), source_prefix
        self.max_source_length = None if max_source_length is None else int(max_source_length)
        self.max_target_length = None if max_target_length is None else int(max_target_length)
        super().__init__(
            encoder_config=AutoConfig.for_model("t5") if encoder_config is None else encoder_config,
            encoder_name=encoder_name,
            modality=modality,
            store=store,
            store_texts=store_texts,
            adapter=adapter,
            **{**kwargs, "is_encoder_decoder": True},
        )

    @property
    def interpolation_kind(self) -> str:
        """The name in `INTERPOLATIONS`."""
        return self.interpolation if isinstance(self.interpolation, str) else next(iter(INTERPOLATIONS))

    @property
    def hidden_size(self) -> int:
        """The size of the decoder's states, by the name that trainers look for."""
        return half_of(self.encoder_config, "decoder").hidden_size

    @property
    def key_size(self) -> int:
        """K, the size of what a memory's keys are: of a memory of tokens the decoder's states, else `memory_size`."""
        return GENERATION_MEMORIES[self.memory].key_size_of(self)

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the defaults; all, around a model whose configuration has no defaults to compare with.

        Earlier versions of transformers say so of it, and fail as they compare.
        """
        alone = getattr(self.encoder_config, "has_no_defaults_at_init", False)
        return self.to_dict() if alone else super().to_diff_dict()

    def get_text_config(self, decoder: Any = None, encoder: Any = None) -> PreTrainedConfig:
        """The configuration of the wrapped model, or of its decoder or encoder; see transformers."""
        return self.encoder_config.get_text_config(decoder=decoder, encoder=encoder)


def check_share(interpolation: Any, other: str = "") -> None:
    """Refuses what is no share λ; `other` says what else may come."""
    if not _is_number(interpolation) or not 0 <= interpolation <= 1:
        raise _wrong("interpolation", interpolation, f"give a number from 0 to 1{other}")


def check_sharpness(sharpness: Any) -> None:
    """Refuses what is no β."""
    if not _is_number(sharpness) or not 0 < sharpness < float("inf"):
        raise _wrong("sharpness", sharpness, "give a number above 0")


def check_source_weight(source_weight: Any) -> None:
    """Refuses what is no weight of sources."""
    if not _is_number(source_weight) or not 0 <= source_weight < float("inf"):
        raise _wrong("source_weight", source_weight, "give a number from 0 on")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _check_whole(name: str, value: Any, other: str = "") -> None:
    number = whole_number(value)
    if number is None or number < 1:
        raise _wrong(name, value, f"give a whole number from 1 on{other}")


def _wrong(name: str, value: Any, cure: str) -> InvalidInputError:
    return InvalidInputError(f"{name} is {shown(value)}; {cure}.")
