"""A model whose encoder turns texts into keys (embeddings)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..controllers.encoder import embed, max_positions, to_unit_length
from ..controllers.inputs import is_of_device
from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress, following
from ..controllers.text_processor import TextProcessor
from ..errors import InvalidInputError, MannError
from ..hub.files import check_hub_arguments
from ..hub.guard import as_folder_error
from ..hub.resolve import resolve_encoder
from ..hub.tokenizers import TOKENIZER, load_tokenizer, was_refused
from ..memory.precision import LARGEST, strange
from ..memory.reading import Reading
from ..wording import counted, shown
from .base_weights import Sample
from .configuration_mann import MANNConfig

PROBE_LENGTH, PROBES, PROBED_TOKENS = 16, 1, 4096
SAME_ENCODER = 0.05
"""The most that keys of one encoder for the same input differ between precisions, as a share of their length."""


class EncodingModel(PreTrainedModel):
    """The encoder's part of a memory-augmented model.

    Attributes:
        encoder: the pretrained text encoder.
        projection: what turns its pooled states into keys.
        loaded_weights: a sample of the encoder's weights as they were loaded, or last saved to the place they were
            loaded from; None of an encoder that was not loaded.
        loaded_states: `probe_states` of these weights, once an adapter was added.
        changed_by_adapters: by the name of an adapter, a sample of the weights that adding it changed.
        gathered_probe: the keys without an adapter, while the weights are spread over processes.
    """

    config_class = MANNConfig
    config: MANNConfig
    encoder: Any
    projection: nn.Module
    reading: Reading
    loaded_weights: Sample | None = None
    loaded_states: Tensor | None = None
    changed_by_adapters: dict[str, Sample]
    gathered_probe: Tensor | None = None

    def embed(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Keys for tokens: `input_ids` and `attention_mask` [B, L] -> [B, K] in float32."""
        return embed(
            self.encoder,
            self.config.pooling,
            self.config.normalize,
            input_ids=input_ids,
            attention_mask=attention_mask,
            projection=self.projection,
            **kwargs,
        )

    @torch.no_grad()
    def embed_texts(
        self, tokenizer: Any, texts: list[str], batch_size: int | None = None, progress: Progress = None
    ) -> Tensor:
        """Keys for texts, [N, K], without gradients.

        Args:
            tokenizer: the encoder's tokenizer.
            texts: N texts.
            batch_size: texts in a batch; by default batches have about the same number of tokens.
            progress: True for a bar, or a function that is called with the number of texts done after each batch.

        Raises:
            InvalidInputError: a key that is not finite, and it names the text; or the encoder failed.
        """
        return self.embed_inputs(self.text_processor(tokenizer), texts, batch_size, progress)

    @torch.no_grad()
    def embed_inputs(
        self, processor: InputProcessor, inputs: Any, batch_size: int | None = None, progress: Progress = None
    ) -> Tensor:
        """Keys for inputs as users give them, [N, K], without gradients.

        Args:
            processor: of the encoder.
            inputs: N inputs.
            batch_size: inputs in a batch; by default what is fast.
            progress: True for a bar, or a function that is called with the number of inputs done after each batch.

        Raises:
            InvalidTypeError, InvalidInputError: of inputs that are none, as `processor.check` says.
            InvalidInputError: a key that is not finite, and it names the input; or the encoder failed.
        """
        inputs = processor.check(inputs)
        read_from = self.name_or_path or None
        with as_folder_error(read_from, TOKENIZER):
            encodings = processor.encode(inputs)
            options = processor.embed_options
        keys = torch.empty(len(inputs), self.config.key_size, dtype=torch.float32)
        with self._evaluating(), following(progress, len(inputs)) as advance:
            for rows in processor.batches(encodings, batch_size):
                with as_folder_error(read_from, TOKENIZER):
                    batch = {name: part.to(self.device) for name, part in processor.collate(encodings, rows).items()}
                with _in_words_of(self.encoder):
                    keys[rows] = self.embed(**batch, **options).to("cpu", torch.float32)
                if advance is not None:
                    advance(len(rows))
        if (unlike := strange(keys)).any():
            first = int(unlike.nonzero()[0])
            raise InvalidInputError(
                f"the encoder gave NaN, infinity or a number above {LARGEST:g} for "
                f"{counted(int(unlike.sum()), processor.noun)} of {len(inputs):,}, first for {processor.noun} {first} "
                f"(counted from 0), {shown(inputs[first], 42)}. Its weights may hold such numbers, or half precision "
                "overflowed: load it with dtype=torch.float32."
            )
        return keys.to(self.device)

    def text_processor(self, tokenizer: Any = None) -> TextProcessor:
        """The processor that gives texts to this model as its configuration says.

        Args:
            tokenizer: of the encoder; by default that of `load_tokenizer`.
        """
        tokenizer, config = tokenizer or self.load_tokenizer(), self.config
        return TextProcessor(
            tokenizer,
            max_length=self.max_length(tokenizer),
            prompt=config.prompt,
            lower_case=config.lower_case,
            pool_prompt=config.pool_prompt,
        )

    def max_length(self, tokenizer: Any = None) -> int | None:
        """The largest number of tokens of a text; longer texts are cut."""
        limits = [self.config.max_seq_length, getattr(tokenizer, "model_max_length", None), max_positions(self.encoder)]
        return min((limit for limit in limits if limit is not None and limit > 0), default=None)

    def load_tokenizer(self, **kwargs: Any) -> Any:
        """Loads the model's tokenizer from the folder or repository of the model, or else from the encoder's name.

        With `truncation=True` it cuts texts where this model does. A tokenizer that is code of the repository is not
        loaded: load it yourself and pass it.

        Args:
            kwargs: how the folder or repository was loaded: `subfolder`, `revision`, `token`, `cache_dir` or
                `local_files_only`.

        Raises:
            InvalidInputError: neither has one.
            FolderError, UnsafeFileError: one is there, and is damaged or not to be read.
        """
        check_hub_arguments(kwargs)
        reasons = []
        for place in filter(None, (self.name_or_path, self.config.encoder_name)):
            hub = kwargs if place == self.name_or_path else {}
            try:
                source = place if place == self.name_or_path else resolve_encoder(place)
                tokenizer = load_tokenizer(source, **hub)
            except (OSError, ValueError, ImportError) as error:
                if was_refused(error, place, **hub):
                    raise
                reasons.append(f"{place}: {(str(error).strip().splitlines() or [type(error).__name__])[0]}")
            else:
                tokenizer.model_max_length = self.max_length(tokenizer) or tokenizer.model_max_length
                return tokenizer
        raise InvalidInputError(f"no tokenizer was found ({'; '.join(reasons) or 'nowhere to look'}); pass one.")

    @torch.no_grad()
    def encoder_probe(self) -> Tensor:
        """[P, K]: the keys of a few fixed inputs, which identify this encoder.

        Computed at each call: adapters are switched and merged without a trace in the weights' versions.
        """
        return self.keys_of(self.probe_states())

    @torch.no_grad()
    def probe_states(self) -> Tensor:
        """[P, H]: the pooled states of the inputs of `encoder_probe`, before the projection."""
        known = getattr(self.config.encoder_config, "vocab_size", PROBED_TOKENS)  # CANINE reads characters
        vocabulary = min(known, PROBED_TOKENS)  # tokens that are added change nothing
        spread = torch.arange(PROBES * PROBE_LENGTH, device=self.device).view(PROBES, PROBE_LENGTH)
        tokens = (spread * 7919 + 104729) % vocabulary  # primes: tokens from all over
        with self._evaluating():
            return embed(
                self.encoder, self.config.pooling, False, input_ids=tokens, attention_mask=torch.ones_like(tokens)
            )

    @torch.no_grad()
    def keys_of(self, states: Tensor) -> Tensor:
        """[P, K]: the keys that pooled states [P, H] give."""
        with self._evaluating():
            keys = self.projection(states.to(self.device))
        return (to_unit_length(keys) if self.config.normalize else keys).float()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Turns dropout off, and leaves every module in the mode in which it was."""
        training = [module for module in self.modules() if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Makes room for more or fewer tokens; see `PreTrainedModel.resize_token_embeddings`."""
        return self.encoder.resize_token_embeddings(*args, **kwargs)


def same_keys(before: Tensor, now: Tensor) -> bool:
    """Whether keys for the same inputs are those of one encoder, in whichever precision."""
    if before.shape != now.shape:
        return False
    return bool(((before.to(now) - now).norm(dim=-1) <= SAME_ENCODER * now.norm(dim=-1)).all())


@contextmanager
def _in_words_of(encoder: nn.Module) -> Iterator[None]:
    """Says of an encoder that cannot compute that it is the encoder, and of one that lacks a precision what helps."""
    try:
        yield
    except MannError:
        raise
    except (RuntimeError, ArithmeticError, AssertionError, LookupError) as error:
        if is_of_device(error):
            raise
        used = {parameter.dtype for parameter in encoder.parameters() if parameter.is_floating_point()}
        if used <= {torch.float32, torch.float64} or not re.search(r"dtype|BFloat16|Half", str(error)):
            raise InvalidInputError(
                f"{type(encoder).__name__} failed as it encoded the texts ({type(error).__name__}: "
                f"{str(error)[:200]}). The settings in its configuration may not go together."
            ) from error
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in used))
        raise InvalidInputError(
            f"{type(encoder).__name__} cannot compute in {names} ({str(error)[:100]}); load it with "
            "dtype=torch.float32."
        ) from error
