"""A recurrent encoder-decoder (LSTM with attention) as a transformers model that generates."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from ..errors import InvalidInputError
from ..targets.label_tensors import IGNORED
from ..wording import at_least
from .recurrent_cache import RecurrentCache, States, recurrent_cache


class RecurrentSeq2SeqConfig(PreTrainedConfig):
    """Configuration of a recurrent encoder-decoder.

    Args:
        vocab_size: V, tokens of sources and targets together; they share their embeddings.
        hidden_size: H, of embeddings and of the states of encoder and decoder.
        num_layers: N, LSTM layers of the encoder, and of the decoder.
        bidirectional: whether the encoder reads a source in both directions; its two states of a token are added up.
        dropout: share of the embeddings, and of what goes between layers, that is left out in training.
        pad_token_id: fills up sequences.
        bos_token_id: begins sequences, for tokenizers that have one.
        eos_token_id: ends targets.
        decoder_start_token_id: what the decoder reads first; by default `pad_token_id`.

    Raises:
        InvalidInputError: a field of a type or range that cannot be meant.
    """

    model_type = "mann_recurrent_seq2seq"
    attribute_map = {"d_model": "hidden_size", "num_hidden_layers": "num_layers"}
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size: int = 64,
        hidden_size: int = 200,
        num_layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.1,
        pad_token_id: int = 0,
        bos_token_id: int | None = None,
        eos_token_id: int = 1,
        decoder_start_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = at_least("vocab_size", vocab_size)
        self.hidden_size = at_least("hidden_size", hidden_size)
        self.num_layers = at_least("num_layers", num_layers)
        if not isinstance(bidirectional, bool):
            raise InvalidInputError(f"bidirectional is {bidirectional!r}; give True or False.")
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise InvalidInputError(f"dropout is {dropout!r}; give a share from 0 to below 1.")
        self.bidirectional, self.dropout = bidirectional, float(dropout)
        kwargs["is_encoder_decoder"] = True
        tokens: dict[str, Any] = {
            "pad_token_id": pad_token_id,
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
            "decoder_start_token_id": pad_token_id if decoder_start_token_id is None else decoder_start_token_id,
        }
        super().__init__(
            **tokens,
            **kwargs,
        )


def run_masked(
    lstm: nn.LSTM, inputs: Tensor, mask: Tensor | None, states: States | None = None
) -> tuple[Tensor, States]:
    """Runs an LSTM over the positions of a mask, as if there were no others.

    Args:
        lstm: batch first.
        inputs: [B, L, E].
        mask: [B, L], 1 for what is read, wherever the padding lies; None for all. A row without any reads its first
            position.
        states: before the first position; zero if left out.

    Returns:
        Outputs [B, L, ·], 0 at other positions, and the states behind the last position read.
    """
    if mask is None:
        outputs, after = lstm(inputs, states)
        return outputs, after
    read = mask.bool()
    order = (~read).long().argsort(dim=1, stable=True)  # what is read first, in order
    lengths = read.sum(1).clamp_min(1)
    packed = pack_padded_sequence(
        inputs.gather(1, order[..., None].expand_as(inputs)), lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    outputs, after = lstm(packed, states)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    back = order.argsort(dim=1)
    return outputs.gather(1, back[..., None].expand_as(outputs)), after


class RecurrentEncoder(nn.Module):
    """Embeddings and an LSTM over a source: token ids [B, L] to states [B, L, H]."""

    def __init__(self, config: RecurrentSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.main_input_name = "input_ids"
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = _lstm(config, config.hidden_size, config.bidirectional)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Encodes sources.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], 1 for tokens and 0 for padding; all are tokens if left out.
            inputs_embeds: [B, L, H] in place of `input_ids`.
            output_attentions: has no effect, as there is no attention within a source.
            output_hidden_states: whether to return the embeddings and the states as `hidden_states`.
            cache_position: has no effect: the state knows it. Earlier versions of transformers give it.
            return_dict: whether to return a named output; a tuple if False.

        Returns:
            `last_hidden_state` [B, L, H], 0 at padding.

        Raises:
            InvalidInputError: neither or both of `input_ids` and `inputs_embeds`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InvalidInputError("give either input_ids or inputs_embeds.")
        embedded = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        outputs, _ = run_masked(self.lstm, self.dropout(embedded), attention_mask)
        if self.config.bidirectional:
            outputs = outputs.unflatten(-1, (2, -1)).sum(-2)
        output = BaseModelOutput(
            last_hidden_state=outputs, hidden_states=(embedded, outputs) if output_hidden_states else None
        )
        return output.to_tuple() if return_dict is False else output


class RecurrentDecoder(nn.Module):
    """An LSTM over a target whose states attend to a source.

    c_t = sum_i softmax_i(h_t · s_i) s_i,   o_t = tanh(W [c_t; h_t])

    Its first states are made of those of the source's first and last token, which in a source read in both directions
    are where each direction ends.
    """

    def __init__(self, config: RecurrentSeq2SeqConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_layers = config.num_layers
        self.bridge = nn.Linear(2 * size, 2 * config.num_layers * size)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = _lstm(config, size, bidirectional=False)
        self.combine = nn.Linear(2 * size, size)

    def first_states(self, source: Tensor, source_mask: Tensor) -> States:
        """The states [N, B, H] before the first token."""
        places = torch.arange(source.shape[1], device=source.device)
        last = (places * source_mask).argmax(1)
        first = source_mask.to(torch.uint8).argmax(1)
        rows = torch.arange(len(source), device=source.device)
        ends = torch.cat([source[rows, first], source[rows, last]], dim=-1)
        hidden, cell = self.bridge(ends).unflatten(-1, (2, self.num_layers, -1)).permute(1, 2, 0, 3)
        return torch.tanh(hidden).contiguous(), cell.contiguous()

    def forward(
        self, embedded: Tensor, mask: Tensor | None, source: Tensor, source_mask: Tensor, states: States | None
    ) -> tuple[Tensor, Tensor, Tensor, States]:
        """Reads T target tokens.

        Args:
            embedded: [B, T, H].
            mask: [B, T] of the tokens that are read; None for all.
            source: [B, L, H], what is attended to.
            source_mask: [B, L], True for tokens.
            states: behind the tokens before; None at the beginning.

        Returns:
            What the output layer reads [B, T, H], the LSTM's own states [B, T, H], the attention [B, T, L], and the
            states behind the last token.
        """
        states = self.first_states(source, source_mask) if states is None else states
        hidden, states = run_masked(self.lstm, self.dropout(embedded), mask, states)
        scores = (hidden @ source.mT).masked_fill(~source_mask[:, None], torch.finfo(hidden.dtype).min)
        attention = scores.softmax(-1)
        combined = torch.tanh(self.combine(torch.cat([attention @ source, hidden], dim=-1)))
        return combined, hidden, attention, states


class RecurrentSeq2SeqModel(PreTrainedModel, GenerationMixin):
    """LSTM encoder and decoder with attention over the source, for sequences learned from scratch.

    Source: Lake 2019, [Compositional generalization through meta sequence-to-sequence
    learning](https://arxiv.org/abs/1906.05381), section 4, the baseline; attention by dot products as in Luong et al.
    2015, [Effective Approaches to Attention-based Neural Machine Translation](https://arxiv.org/abs/1508.04025),
    equations 5 and 7.
    """

    config_class = RecurrentSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _no_split_modules = ["RecurrentEncoder", "RecurrentDecoder"]
    _is_stateful = True  # a token once read cannot be taken back, as assisted generation does

    config: RecurrentSeq2SeqConfig

    def __init__(self, config: RecurrentSeq2SeqConfig) -> None:
        super().__init__(config)
        self.encoder = RecurrentEncoder(config)
        self.decoder = RecurrentDecoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own distributions, with which the published networks were trained."""
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, nn.LSTM | nn.Linear):
            size = module.hidden_size if isinstance(module, nn.LSTM) else module.in_features
            for weight in module.parameters():
                init.uniform_(weight, -1 / math.sqrt(size), 1 / math.sqrt(size))

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.embed_tokens = value  # type: ignore[assignment]

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Labels [B, T] moved right by one, the start token before them."""
        start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id)  # type: ignore[arg-type]
        moved = torch.cat([start, labels[:, :-1]], dim=1)
        return moved.masked_fill(moved == IGNORED, self.config.pad_token_id)  # type: ignore[arg-type]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutput | tuple[Any, ...] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
    ) -> Seq2SeqLMOutput | tuple[Any, ...]:
        """Predicts each next target token.

        Args:
            input_ids: [B, L], the sources.
            attention_mask: [B, L], 1 for tokens and 0 for padding, on whichever side.
            decoder_input_ids: [B, T], the target tokens so far, or with `past_key_values` those since; by default made
                of `labels`.
            decoder_attention_mask: [B, T] or longer, 0 for target tokens that are not to be read; the last T columns
                count.
            encoder_outputs: of a call of the encoder, in place of `input_ids`.
            past_key_values: a `RecurrentCache`; one of another kind counts as none while it is empty.
            inputs_embeds: [B, L, H] in place of `input_ids`.
            labels: [B, T], the target tokens; -100 leaves one out of the loss.
            use_cache: whether to return the state behind the last token as `past_key_values`; by default whenever there
                are no labels.
            output_attentions: whether to return `cross_attentions`.
            output_hidden_states: whether to return `decoder_hidden_states` and `encoder_hidden_states`.
            return_dict: whether to return a named output; a tuple if False.

        Returns:
            `logits` [B, T, V]; `loss` with labels; `encoder_last_hidden_state` [B, L, H]; `decoder_hidden_states`:
            embeddings, the LSTM's states, and what the output layer reads, [B, T, H] each; `cross_attentions`: one
            [B, 1, T, L].

        Raises:
            InvalidInputError: no target tokens.
            InvalidTypeError: a cache of another kind with something in it.
        """
        if labels is not None and decoder_input_ids is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if decoder_input_ids is None:
            raise InvalidInputError("give decoder_input_ids or labels: there are no target tokens to read.")
        attentions = self.config.output_attentions if output_attentions is None else output_attentions
        hidden_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds, output_hidden_states=hidden_states)
        elif not isinstance(encoder_outputs, BaseModelOutput):
            encoder_outputs = BaseModelOutput(*encoder_outputs[:2])
        source: Any = encoder_outputs[0]
        mask = source.new_ones(source.shape[:2]) if attention_mask is None else attention_mask
        cache = recurrent_cache(past_key_values)
        if decoder_attention_mask is not None:
            decoder_attention_mask = decoder_attention_mask[:, -decoder_input_ids.shape[1] :]
        embedded = self.encoder.embed_tokens(decoder_input_ids)
        combined, hidden, attention, states = self.decoder(
            embedded, decoder_attention_mask, source, mask.bool(), None if cache is None else cache.states
        )
        logits = self.lm_head(self.decoder.dropout(combined))
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        if labels is None if use_cache is None else use_cache:
            cache = RecurrentCache() if cache is None else cache
            cache.put(states, decoder_input_ids.shape[1])
        given_back: Any = cache  # a cache of another kind than transformers' own models have
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=given_back,
            decoder_hidden_states=(embedded, hidden, combined) if hidden_states else None,
            cross_attentions=(attention[:, None],) if attentions else None,
            encoder_last_hidden_state=source,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None) if hidden_states else None,
        )
        return output.to_tuple() if return_dict is False else output


def _lstm(config: RecurrentSeq2SeqConfig, input_size: int, bidirectional: bool) -> nn.LSTM:
    between = config.dropout if config.num_layers > 1 else 0.0
    return nn.LSTM(
        input_size,
        config.hidden_size,
        config.num_layers,
        batch_first=True,
        dropout=between,
        bidirectional=bidirectional,
    )
