"""Encoder-decoders with a memory of pairs, which generate from what they were taught."""

import os
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel

from ..controllers.seq2seq_controller import SEQ2SEQ, decoder_inputs, mean_of_states
from ..memory.example_reading import ExampleReading
from ..memory.interpolation import Interpolation, mixed_logits
from ..memory.stores import STORES
from ..persistent.pairs import EncodedPairs
from ..targets.label_tensors import IGNORED
from .arguments import naming_unknown_arguments
from .configuration_seq2seq import MANNSeq2SeqConfig, check_share, check_sharpness, check_source_weight
from .embedding import evaluating
from .encoder_settings import read_wrapped
from .episode_batch import EpisodeBatch
from .generation_evidence import GenerationEvidence, evidence_of
from .generation_memories import GENERATION_MEMORIES, NOTHING, PairStates, StoredExamples
from .modeling_mann import MANNPreTrainedModel
from .pair_episodes import PairEpisodes, episode_pairs
from .pair_memory_mixin import PairMemoryMixin
from .seq2seq_outputs import MANNSeq2SeqOutput, MemoryEncoderOutput, SourceEncoder

Model = TypeVar("Model", bound="MANNForConditionalGeneration")


class MANNForConditionalGeneration(PairMemoryMixin, MANNPreTrainedModel, GenerationMixin):
    """An encoder-decoder with a memory of pairs of sequences: it generates from what it was taught, untrained.

    With an empty memory, `forward` and `generate` give what the wrapped model gives, to the last bit. In training mode
    the lasting memory is not read: its keys would be those of earlier weights.

    Args:
        config: the configuration.

    Attributes:
        generation_memory: how the memory is written and read.
    """

    modality = SEQ2SEQ
    episode_kind = "pairs"
    config_class = MANNSeq2SeqConfig
    main_input_name = "input_ids"

    config: MANNSeq2SeqConfig

    def __init__(self, config: MANNSeq2SeqConfig) -> None:
        super().__init__(config)
        STORES[config.store].check_installed()  # not when the memory has grown
        self.generation_memory = GENERATION_MEMORIES[config.memory](config)
        self.post_init()

    @property
    def key_parts(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the modules, besides the encoder, that have a part in keys."""
        return tuple(f"generation_memory.{name}" for name in self.generation_memory.key_parts)

    @property
    def reading_parts(self) -> tuple[str, ...]:
        return ("generation_memory",)

    @torch.no_grad()
    def _init_weights(self, module: Any) -> None:
        if isinstance(module, ExampleReading | Interpolation):
            loaded = [part for part in module.parameters() if getattr(part, "_is_hf_initialized", False)]
            kept = [part.clone() for part in loaded]
            module.reset_parameters()
            for part, values in zip(loaded, kept, strict=True):
                part.copy_(values)

    @classmethod
    def from_seq2seq_pretrained(
        cls: type[Model],
        seq2seq_name: str | os.PathLike,
        *,
        memory: str = "token",
        interpolation: float | str = 0.5,
        **kwargs: Any,
    ) -> Model:
        """Makes a model with an empty memory from a pretrained encoder-decoder.

        Args:
            seq2seq_name: a folder or a Hub id of a model of `AutoModelForSeq2SeqLM`.
            memory: `"token"` or `"example"`; see `MANNSeq2SeqConfig`.
            interpolation: the share of a memory of tokens in the next-token distribution.
            kwargs: further fields of `MANNSeq2SeqConfig`; any others are arguments of the wrapped model's
                `from_pretrained` (`dtype`, `attn_implementation`, `revision`, `token`, `cache_dir`, ...).

        Raises:
            EncoderNotFoundError: no model of this name was found.
            UnsafeFileError: its weights are a pickle, or lie outside of the folder or repository.
            UnknownNameError: there is no such memory or store.
            InvalidInputError: a field that cannot be meant, or the model generates no sequence from another one.
            InvalidTypeError: an argument that there is not, or of a type that it does not have.
        """
        given = {"memory": memory, "interpolation": interpolation, **kwargs}
        with naming_unknown_arguments("from_seq2seq_pretrained", kwargs, cls.config_class):
            return cls.from_encoder(*read_wrapped(seq2seq_name, cls.config_class, SEQ2SEQ, given))

    @classmethod
    def from_seq2seq_config(cls: type[Model], seq2seq: str | PreTrainedConfig, **kwargs: Any) -> Model:
        """Makes a model with an empty memory around an encoder-decoder with random weights, to be trained from scratch.

        Args:
            seq2seq: the type of an encoder-decoder in transformers, such as `"t5"`; or its configuration.
            kwargs: fields of `MANNSeq2SeqConfig`; any others are fields of the encoder-decoder's configuration.

        Raises:
            UnknownNameError: there is no such type, memory or store.
            InvalidInputError: a field that cannot be meant.
            InvalidTypeError: a field that there is not.
        """
        model = cls.from_encoder_config(seq2seq, **kwargs)
        model.generation_config = GenerationConfig.from_dict(model.encoder.generation_config.to_dict())
        return model

    @classmethod
    def from_encoder(cls: type[Model], encoder: PreTrainedModel, config: Any) -> Model:
        """Makes a model with an empty memory around an encoder-decoder that is loaded already.

        Args:
            encoder: the encoder-decoder.
            config: of the model; its `encoder_config` becomes that of the encoder-decoder.
        """
        model = super().from_encoder(encoder, config)
        model.generation_config = GenerationConfig.from_dict(encoder.generation_config.to_dict())
        return model

    def set_interpolation(
        self, share: float, sharpness: float | None = None, source_weight: float | None = None
    ) -> None:
        """Changes λ, β and the weight of sources of a memory of tokens from the next call on, also in what is saved.

        Models that share these weights, as those of `with_own_memory` do, keep theirs.

        Args:
            share: λ, from 0 (as if nothing were stored) to 1.
            sharpness: β; by default it stays.
            source_weight: how much it counts that sources are unlike; by default it stays.

        Raises:
            InvalidInputError: a number out of its range, or a model that predicts λ or has a memory of examples. All
                stay as they were.
        """
        config = self.config
        sharpness = config.sharpness if sharpness is None else sharpness
        source_weight = config.source_weight if source_weight is None else source_weight
        check_share(share)
        check_sharpness(sharpness)
        check_source_weight(source_weight)
        numbers = float(share), float(sharpness), float(source_weight)
        with self.unchanged_memory():  # a copy made meanwhile has all or none
            self.generation_memory = self.generation_memory.with_interpolation(*numbers)
            config.interpolation, config.sharpness, config.source_weight = numbers

    def get_encoder(self, modality: str | None = None) -> Any:
        """What turns sources into states and reads the memory for them; `model.encoder` is the wrapped model."""
        return SourceEncoder(self)

    def get_input_embeddings(self) -> Any:
        """The table of the source's tokens."""
        return self.encoder.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The layer that gives logits."""
        return self.encoder.get_output_embeddings()

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Inputs of a step of generation, as the wrapped model prepares them."""
        return self.encoder.prepare_inputs_for_generation(*args, **kwargs)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder is given so that it is to say `labels` [B, T] next."""
        return decoder_inputs(self.encoder, labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MANNSeq2SeqOutput | tuple:
        """Logits of next tokens, of model and memory.

        Args:
            input_ids: [B, L], sources.
            attention_mask: of the same shape, 0 on padding.
            decoder_input_ids: [B, T]; by default `labels` moved by one.
            decoder_attention_mask: of the same shape.
            encoder_outputs: of `get_encoder()`, in place of `input_ids`; others are taken as they are, and the memory
                is not read.
            past_key_values: a cache.
            inputs_embeds: [B, L, H], in place of `input_ids`.
            decoder_inputs_embeds: [B, T, D], in place of `decoder_input_ids`.
            labels: [B, T], for the loss; -100 leaves a token out.
            use_cache: whether to give a cache.
            output_attentions: whether to give attentions.
            output_hidden_states: whether to give hidden states.
            return_dict: whether the output is a `MANNSeq2SeqOutput` (the default) or a tuple.
            kwargs: further inputs of the wrapped model.

        Raises:
            EncoderMismatchError: the memory has keys of other weights or adapters.
            InvalidInputError: the wrapped model does not know with which token a target begins.
        """
        shown = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        options: dict[str, Any] = {name: flag for name, flag in shown.items() if flag is not None}
        if encoder_outputs is None:
            given = {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": inputs_embeds}
            given = {name: tensor for name, tensor in given.items() if tensor is not None}
            encoder_outputs = self.encode_sources(**given, **options)
        retrieval = getattr(encoder_outputs, "retrieval", None)
        if retrieval is not None:
            options["output_hidden_states"] = True
        inputs = {
            "attention_mask": attention_mask,
            "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": decoder_attention_mask,
            "past_key_values": past_key_values,
            "decoder_inputs_embeds": decoder_inputs_embeds,
            "use_cache": use_cache,
            "labels": labels,  # of which some families make more than what the decoder is given
        }
        inputs = {name: value for name, value in inputs.items() if value is not None}
        step = 0 if past_key_values is None else past_key_values.get_seq_length()
        outputs = self.encoder(encoder_outputs=encoder_outputs, return_dict=True, **inputs, **options, **kwargs)
        loss, logits, retrieved = outputs.loss, outputs.logits, None
        if retrieval is not None:
            previous = None if decoder_input_ids is None else decoder_input_ids[:, -1]
            states, rows = outputs.decoder_hidden_states[-1], encoder_outputs.memory_rows
            retrieved = retrieval(states, logits, rows, int(step), previous)
            logits = mixed_logits(logits, retrieved.shares, retrieved.tokens)
            loss = None if labels is None else token_loss(logits, labels)
        with_states = output_hidden_states or (output_hidden_states is None and self.config.output_hidden_states)
        result = MANNSeq2SeqOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states if with_states else None,
            decoder_attentions=outputs.decoder_attentions,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs[0],
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
            encoder_attentions=getattr(encoder_outputs, "attentions", None),
            retrieved=retrieved,
        )
        if return_dict is None:
            return_dict = getattr(self.config, "return_dict", True)
        return result if return_dict else result.to_tuple()

    def encode_sources(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        stored: Any = None,
        **kwargs: Any,
    ) -> MemoryEncoderOutput:
        """States of sources, and what the memory is read for them.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L].
            stored: what is read in place of the lasting memory, for each source: `NOTHING`; `StoredExamples`; or
                `Candidates`, the keys [B, S, E] of their S pairs' sources, and how many places each pair takes.
            kwargs: of the wrapped model's encoder.
        """
        given = {"input_ids": input_ids, "attention_mask": attention_mask, **kwargs, "return_dict": True}
        outputs = self.encoder.get_encoder()(**{name: value for name, value in given.items() if value is not None})
        states: Tensor = outputs[0]
        search = self.ready_search() if stored is None else None
        mask = states.new_ones(states.shape[:2]) if attention_mask is None else attention_mask
        read: dict[str, Any] = {}
        if search is not None or (stored is not None and stored is not NOTHING):
            own = self._tokens_for if self.generation_memory.of_tokens else self._examples_for
            read = own(states, mask, search, stored)
        return MemoryEncoderOutput(
            last_hidden_state=read.pop("states", states),
            hidden_states=getattr(outputs, "hidden_states", None),
            attentions=getattr(outputs, "attentions", None),
            memory_rows=torch.arange(len(states), device=states.device),
            **read,
        )

    def _tokens_for(self, states: Tensor, mask: Tensor, search: Any, stored: Any) -> dict[str, Any]:
        own: Any = self.generation_memory
        keys = mean_of_states(states, mask)
        if search is not None:
            return {"retrieval": own.retrieval(keys, search, self.spreads())}
        candidates, sources, tokens = stored
        alike = (sources @ keys[..., None])[..., 0].repeat_interleave(tokens, 1)
        return {"retrieval": own.among(candidates, alike, keys, self.spreads())}

    def _examples_for(self, states: Tensor, mask: Tensor, search: Any, stored: Any) -> dict[str, Any]:
        own: Any = self.generation_memory
        examples: StoredExamples = own.stored(states, mask, search) if search is not None else stored
        read, weights = own.reading(states, *examples[:3])
        return {"states": read, "read_weights": weights, "read_pairs": examples.numbers}

    def pair_states(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> PairStates:
        """What the wrapped model gives for pairs, the decoder fed with the true targets.

        Args:
            input_ids: [N, L], sources.
            attention_mask: [N, L].
            labels: [N, T], targets; -100 is padding.
        """
        encoded = self.encoder.get_encoder()(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        outputs = self.encoder(
            encoder_outputs=encoded,
            attention_mask=attention_mask,
            decoder_input_ids=self.prepare_decoder_input_ids_from_labels(labels),
            output_hidden_states=True,
            use_cache=False,
            return_dict=True,
        )
        tokens = labels.masked_fill(labels == IGNORED, 0)
        layer = self.get_output_embeddings()
        embedded = F.embedding(tokens, layer.weight)
        states = outputs.decoder_hidden_states[-1]
        return PairStates(encoded[0], attention_mask, states, labels, embedded, outputs.logits)

    def encode_pairs(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> EncodedPairs:
        """Pairs as `remember` takes them; arguments are those of `pair_states`."""
        return self.generation_memory.encoded(self.pair_states(input_ids, attention_mask, labels))

    @torch.no_grad()
    def probe_states(self) -> Tensor:
        """[P, H]: what the wrapped model by itself gives for two fixed pairs."""
        inputs = self.config.controller.probe_inputs(self.config.encoder_config, self.device)
        with evaluating(self):
            return self.generation_memory.probe_states(self.pair_states(**inputs)).float()

    @torch.no_grad()
    def probe_keys(self, states: Tensor) -> Tensor:
        """[P, K]: the keys that such states give: of the two sources first."""
        return self.generation_memory.probe_keys(states.to(self.device)).float()

    def encoder_probe(self) -> Tensor:
        """[P, K]: the keys of two fixed pairs, which identify this model."""
        return self.probe_keys(self.probe_states())

    def embed_episodes(self, batch: EpisodeBatch) -> PairEpisodes:
        """The logits of the queries of a batch of episodes, each read with its support in memory.

        Args:
            batch: B episodes, as from `PairCollator`; its inputs are pairs: `input_ids`, `attention_mask`, `labels`.

        Raises:
            InvalidInputError: positions of pairs that do not exist.
        """
        return episode_pairs(self, batch)

    def explain(self, sequences: Tensor, most: int = 8, **inputs: Any) -> GenerationEvidence:
        """Which stored pairs stand behind each token of generated sequences; see `GenerationEvidence`.

        Args:
            sequences: [B, 1 + T], as `generate` gives them, with the token that they begin with.
            most: M, the largest number of stored pairs to name for a token.
            inputs: the sources: `input_ids` [B, L] and `attention_mask`.
        """
        return evidence_of(self, sequences, most, inputs)


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross entropy of labels [..., T] under logits [..., T, V]; those of -100 are left out."""
    return F.cross_entropy(logits.flatten(0, -2).float(), labels.flatten().to(logits.device), ignore_index=IGNORED)
