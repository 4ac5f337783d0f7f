"""The configuration of memory-augmented models."""

from collections.abc import Sequence
from itertools import count, islice
from typing import Any

from transformers import PreTrainedConfig

from ..controllers.kinds import TEXT, controller_of
from ..controllers.projection import projected_size
from ..errors import InvalidInputError
from ..memory.eviction import EVICTIONS
from ..memory.similarity import SIMILARITIES
from ..targets.kinds import targets_of
from . import config_fields
from .configuration_base import MANNBaseConfig, own_encoder_config


class MANNConfig(MANNBaseConfig):
    r"""Configuration of a memory-augmented model: its encoder, and how the memory is written and read.

    `from_encoder_pretrained` takes pooling, normalisation, length limit and prompts from the sentence-transformers
    files of the encoder, if it has any.

    Args:
        encoder_config: the encoder's configuration, as an object or a dict with its `model_type`.
        encoder_name: the name the encoder was loaded by; messages and memory files show it.
        pooling: how an encoder's states become one vector. Of texts: a name of `POOLINGS`, or several joined by `+`, as
            in `"mean+max"`, whose vectors are concatenated; by default `"mean"`. Of images: a name of `IMAGE_POOLINGS`;
            by default what suits the family of the encoder.
        projection: layers after the pooling, as in sentence-transformers folders: dicts with `kind`, which is `"dense"`
            (with `size`, `bias` and `activation`), `"layer_norm"`, `"normalize"` or `"truncate"` (with `size`: the
            first numbers of a key).
        normalize: whether embeddings are scaled to unit length.
        max_seq_length: the largest number of tokens of a text; longer texts are cut. By default the encoder's limit.
            This and the next three are of texts alone, as `pool_prompt` is.
        prompts: prompts by name.
        prompt_name: the prompt that is put in front of every text; None for no prompt.
        lower_case: whether texts are lower-cased before the tokenizer.
        reading: how answers are computed from the memory: a name of `READINGS`. The default is `"logistic"`, for
            regression `"least_squares"`.
        similarity: how stored keys and queries are compared, for readings with a choice: a name of `SIMILARITIES`.
        reading_options: further arguments of the reading, for example `{"ridge": 0.1}`.
        store: the name in `STORES` of what finds the nearest entries of a large memory. Readings that compare a
            question with the nearest entries alone use it.
            `"faiss"` finds nearly all of them and stays fast at millions; with it the default reading is
            `"least_squares"`, and `"attention"` reads 128 slots unless `nearest` says otherwise.
        capacity: the largest number of examples in the memory; None for no limit.
        eviction: which example is replaced in a full memory: a name of `EVICTIONS`.
        label_names: whether the words of a label are stored beside its examples; by default they are if the encoder
            reads words: of texts, and of images and texts (CLIP, SigLIP).
        store_texts: whether the memory keeps and saves the texts it was taught.
        adapter: the PEFT configuration of an adapter on the encoder. The saved weights are then those of the adapter;
            the encoder is loaded by its name.
        pool_prompt: whether the tokens of the prompt are pooled too.
        problem_type: `"single_label_classification"` (the default), `"multi_label_classification"` or `"regression"`.
        modality: of the inputs: a name of `CONTROLLERS`, `"text"` or `"image"`.
        store_inputs: whether the memory keeps and saves small copies of its images (PNGs of the size that the encoder
            reads), so that their keys can be computed again. Of texts it is `store_texts` that says so.

    Raises:
        UnknownNameError: there is no reading, pooling, similarity, store, eviction rule or modality of that name.
        InvalidInputError: a field of a type or range that cannot be meant, such as a capacity below 1.
    """

    model_type = "mann"
    keys_to_ignore_at_inference = [  # the Trainer's predictions are logits
        *("memory_weights", "slot_ids", "read_keys", "hidden_states", "attentions")
    ]

    def __init__(
        self,
        encoder_config: PreTrainedConfig | dict[str, Any] | None = None,
        encoder_name: str | None = None,
        pooling: str | None = None,
        normalize: bool = True,
        max_seq_length: int | None = None,
        prompts: dict[str, str] | None = None,
        prompt_name: str | None = None,
        lower_case: bool = False,
        reading: str | None = None,
        similarity: str = "cosine",
        reading_options: dict[str, Any] | None = None,
        capacity: int | None = None,
        eviction: str = "least_recently_used",
        label_names: bool | None = None,
        store_texts: bool = True,
        adapter: dict[str, Any] | None = None,
        problem_type: str | None = None,
        projection: list[dict[str, Any]] | None = None,
        pool_prompt: bool = True,
        store: str = "exact",
        modality: str = TEXT,
        store_inputs: bool = False,
        **kwargs: Any,
    ) -> None:
        config_fields.check_names(reading=reading, store=store, modality=modality)
        controller = controller_of(modality)
        targets = config_fields.targets_named(problem_type)
        config_fields.check_outputs(kwargs, targets)
        chosen, reading_options = config_fields.reading_with(store, reading, reading_options, targets)
        checked = {
            "encoder_name": encoder_name,
            "pooling": pooling,
            "normalize": normalize,
            "max_seq_length": max_seq_length,
            "prompts": prompts,
            "prompt_name": prompt_name,
            "lower_case": lower_case,
            "reading": chosen,
            "reading_options": reading_options,
            "capacity": capacity,
            "label_names": label_names,
            "store_texts": store_texts,
            "projection": projection,
            "pool_prompt": pool_prompt,
            "store_inputs": store_inputs,
        }
        config_fields.check_fields(checked)
        config_fields.check_of_modality(checked, DEFAULTS, modality)
        encoder_config = own_encoder_config(encoder_config)
        pooling = controller.default_pooling(encoder_config) if pooling is None else pooling
        reads_words = controller.reads_words(encoder_config)
        if label_names and not reads_words:
            raise InvalidInputError(
                f"label_names is True, and an encoder of the type {encoder_config.model_type!r} reads no words: leave "
                "it out, or give False."
            )
        self.pooling = pooling
        self.normalize = normalize
        self.max_seq_length = None if max_seq_length is None else int(max_seq_length)  # of numpy's JSON takes none
        self.prompts = dict(prompts or {})
        self.prompt_name = prompt_name
        self.lower_case = lower_case
        self.reading = chosen
        self.similarity = similarity
        self.reading_options = dict(reading_options or {})
        self.capacity = None if capacity is None else int(capacity)
        self.eviction = eviction
        self.label_names = reads_words if label_names is None else label_names
        self.pool_prompt = pool_prompt
        self.projection = [dict(step) for step in projection] if isinstance(projection, list | tuple) else []
        self.store_inputs = store_inputs
        controller.pooled_size(encoder_config, pooling), SIMILARITIES[similarity], EVICTIONS[eviction]
        # transformers refuses the name of the usual case while a memory knows one label alone
        super().__init__(encoder_config, encoder_name, adapter, modality, store, store_texts, **kwargs)
        # not by the parent, which in older versions knows only the problem types of transformers
        self.problem_type: Any = None if targets.is_of(None) else problem_type

    def set_labels(self, labels: Sequence[str]) -> None:
        """Names the outputs after the labels of a memory."""
        names = [*labels]
        if len(names) < 2 and targets_of(self.problem_type).exclusive:
            # with one label alone transformers would take a sigmoid for the score, not a softmax
            numbered = (f"LABEL_{number}" for number in count(len(names)))
            names += islice((name for name in numbered if name not in labels), 2 - len(names))
        self.id2label = dict(enumerate(names))
        self.label2id = {label: number for number, label in enumerate(names)}

    @property
    def prompt(self) -> str:
        """The text that stands before every text, or an empty one."""
        return "" if self.prompt_name is None else self.prompts[self.prompt_name]

    @property
    def hidden_size(self) -> int:
        """The size of the encoder's states, by the name that trainers look for."""
        own = getattr(self.encoder_config, "hidden_size", None)
        return self.pooled_size if own is None else own

    @property
    def pooled_size(self) -> int:
        """The size of pooled states: of texts H for each pooling."""
        return self.controller.pooled_size(self.encoder_config, self.pooling)

    @property
    def key_size(self) -> int:
        """K, the size of keys: that of pooled states, after the projection."""
        return projected_size(self.projection, self.pooled_size)


DEFAULTS = MANNConfig.own_fields()
"""The fields of a configuration, each with what it is if it is not given."""
FIELDS = {*DEFAULTS}
