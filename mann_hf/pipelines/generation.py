"""The pipeline of encoder-decoders with a memory: sources in, generated texts out, with the pairs behind them."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM

from ..controllers.pair_processor import PairProcessor
from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress, following
from ..errors import InvalidInputError
from ..models import MANNForConditionalGeneration
from ..wording import optional_at_least
from .generation_evidence import evidence_of
from .mapping import mapped
from .memory_pipeline import MemoryPipeline
from .registration import memory_task

GENERATION_TASK = "memory-augmented-generation"
"""By which `transformers.pipeline` makes the pipeline below."""
MAX_NEW_TOKENS = 128
"""Tokens of an answer where neither the call nor the model says how many."""
EVIDENCE = 5
"""How many stored tokens or pairs stand behind each token of an answer with `evidence=True`."""
LENGTHS = ("max_new_tokens", "max_length", "generation_config")


@memory_task(
    GENERATION_TASK,
    AutoModelForSeq2SeqLM,
    'mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained("google-t5/t5-small")',
)
class MemoryAugmentedGenerationPipeline(MemoryPipeline):
    """Generates texts from a handful of pairs that it was taught, and names the pairs behind each token.

    ```python
    >>> import mann_hf
    >>> from transformers import pipeline

    >>> model = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained("google-t5/t5-small", interpolation=0.9)
    >>> generator = pipeline("memory-augmented-generation", model=model)
    >>> ids = generator.remember(["the cat sees the dog"], ["die Katze sieht den Hund"])
    >>> generator("the cat sees the dog")[0]["generated_text"]
    'die Katze sieht den Hund'
    ```

    If no tokenizer is given, that of the model is used.
    """

    model_class: ClassVar[type[MANNForConditionalGeneration]] = MANNForConditionalGeneration
    made_by = "from_seq2seq_pretrained(name)"
    chunk = 1024

    model: MANNForConditionalGeneration

    @property
    def input_processor(self) -> PairProcessor:
        """Turns sources and targets into tensors, as the model's configuration says."""
        processor = self.model.processor(self.processing_class)
        assert isinstance(processor, PairProcessor)
        return processor

    def __repr__(self) -> str:
        config, held = self.model.config, self.model.memory.summary
        return (
            f"{type(self).__name__}(memory: {held}; kind={config.memory!r}, model={config.encoder_name!r}, "
            f"device={self.device})"
        )

    def remember(
        self,
        sources: Any,
        targets: Any,
        *,
        batch_size: int | None = None,
        progress: Progress = None,
    ) -> list[int]:
        """Stores pairs of a source and its target in the memory, without training.

        Args:
            sources: N texts, or one; a list or another collection, such as a column of a table.
            targets: as many texts.
            batch_size: pairs in a batch; by default what is fast.
            progress: True for a bar, or a function that is called with the number of pairs done after each batch.

        Returns:
            The N ids, by which pairs are forgotten. A pair that is stored already keeps its id and counts once more.

        Raises:
            InvalidInputError: unequal numbers of sources and targets, or an empty one. The memory stays as it was.
            InvalidTypeError: something that is no text.
            EncoderMismatchError: the memory was written by another model or with another tokenizer. The memory stays as
                it was.
        """
        processor = self.input_processor
        sources = processor.check(sources)
        targets = processor.check_targets(targets, len(sources))
        if not sources:
            raise InvalidInputError("nothing to remember: give sources and targets.")
        batch_size = optional_at_least("batch_size", batch_size)
        with self.device_placement():
            return self.model.remember_texts(processor, sources, targets, batch_size, progress)

    def forget(
        self, ids: int | Sequence[int] | None = None, source: str | None = None, target: str | None = None
    ) -> None:
        """Removes pairs from the memory, which is then as if it had never seen them.

        Args:
            ids: one id or several, from `remember` or from the evidence of an answer.
            source: removes every pair of this source; with a target, the pair of both.
            target: removes every pair of this target.

        Raises:
            NotInMemoryError: an id, a source or a target that is not there, or the memory keeps no texts. The memory
                stays as it was.
            InvalidTypeError: ids that are no whole numbers, or several texts at once.
        """
        self.model.forget(ids, source, target)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        progress: Progress = None,
        **kwargs: Any,
    ) -> Any:
        """Generates a text for each source.

        Args:
            inputs: one source, a list (or another collection, such as a column of a table), or a torch data set or
                generator of sources, which is read as its answers are taken.
            evidence: how many stored tokens, or pairs of a memory of examples, to name behind each token of an answer;
                True for 5, False (the default) for none.
            batch_size: sources in a batch; by default batches have about as many tokens each.
            num_workers: has no effect; other pipelines take it.
            progress: as in `remember`. It may be given when the pipeline is made, as may what is above but `inputs`.
            kwargs: arguments of `generate`, such as `num_beams`, `do_sample`, `max_new_tokens`,
                `num_return_sequences`, `streamer` and `prefix_allowed_tokens_fn`. If no length is given, here or by the
                model's generation config, an answer has at most `max_target_length` tokens of the configuration, by
                default 128.

        Returns:
            For each source a dict with `generated_text` and, if it is asked for, `evidence`: for each token that was
            generated a dict with `token`, its `probability`, `share`, λ, a memory of tokens' share of the next-token
            distribution (0 for a memory of examples), and `pairs`, a list of dicts, largest weight first, with `id`,
            `source` and `target` of a stored pair (None where the memory keeps no texts), `token` and `position`, which
            token of that target was read (None for a memory of examples, whose pairs are read as a whole), and
            `weight`, how much of the token's probability comes from there; see `MANNForConditionalGeneration.explain`.
            With `num_return_sequences` above 1 a list of such dicts for each source. A single source gives a list.

        Raises:
            InvalidInputError: an empty source, or `evidence` or `batch_size` below what makes sense.
            InvalidTypeError: something that is no source.
            EncoderMismatchError: the memory was written by another model.
        """
        _, generate, post = self._sanitize_parameters(**kwargs)
        options = {**self._forward_params, **self._postprocess_params, **generate, **post}
        batch_size = optional_at_least("batch_size", self._batch_size if batch_size is None else batch_size)
        answers = self._answer_all(inputs, batch_size, self._progress if progress is None else progress, options)
        one = isinstance(answers, list) and len(answers) == 1 and isinstance(answers[0], list)
        return answers[0] if one and self.input_processor.is_one(inputs) else answers

    def map(
        self,
        dataset: Any,
        column: str,
        output_column: str = "generated_text",
        *,
        folder: str | os.PathLike | None = None,
        batch_size: int | None = None,
        progress: Progress = None,
        **kwargs: Any,
    ) -> Any:
        """A data set with a further column, of texts that are generated for those of one of its columns.

        Args:
            dataset: a `datasets.Dataset`, a `DatasetDict` of them, or an `IterableDataset`, which is read as its rows
                are taken.
            column: of sources.
            output_column: the name of the new column.
            folder: keeps what is done, part by part, so that the same call after a stop goes on where it was; what was
                done for other texts, with other weights, another memory or other arguments is done anew. None keeps
                nothing.
            batch_size: as in a call, as are `progress` and `kwargs`; of `evidence` there is none here.

        Raises:
            InvalidInputError: no such column, a column of the new name, or an empty source; or, with a folder, an
                argument that another process could not compare with its own.
            InvalidTypeError: something that is no data set of `datasets`.
        """
        return mapped(
            self,
            dataset,
            column,
            output_column,
            folder=folder,
            batch_size=batch_size,
            progress=progress,
            options=kwargs,
        )

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        if not kwargs.pop("truncation", True):
            raise InvalidInputError(
                "truncation=False: sources and targets that are longer than the model reads are cut; max_source_length "
                "and max_target_length of its configuration say where."
            )
        post = {}
        if "evidence" in kwargs:
            asked = kwargs.pop("evidence")
            asked = {True: EVIDENCE, False: 0, None: 0}.get(asked, asked) if isinstance(asked, bool | None) else asked
            post["evidence"] = optional_at_least("evidence", asked, 0)
        return {}, kwargs, post

    def _answer(
        self,
        checked: Sequence[Any],
        processor: InputProcessor,
        batch_size: int | None,
        progress: Progress,
        options: dict[str, Any],
    ) -> list[Any]:
        """The answers to sources, from one memory, whatever other threads teach meanwhile."""
        generate = {name: value for name, value in options.items() if name != "evidence"}
        assert isinstance(processor, PairProcessor)
        self.model.check_processor(processor)
        self.model.ready_search()  # for all who read this memory
        given = {"evidence": options.get("evidence", 0), "processor": processor, "model": self.model.with_own_memory()}
        with following(progress, len(checked), processor.noun) as advance:
            encodings = processor.encode(checked)
            answers: list[Any] = [None] * len(checked)
            for rows in processor.batches(encodings, batch_size):
                made = self.forward({**processor.collate(encodings, rows), **given}, **generate)
                for row, answer in zip(rows, self.postprocess(made, processor=processor), strict=True):
                    answers[row] = answer
                if advance is not None:
                    advance(len(rows))
        return answers

    def forward(self, model_inputs: dict[str, Any], **forward_params: Any) -> dict[str, Any]:
        """What is generated for a batch; `sequences` and what explains them."""
        with self.device_placement(), torch.no_grad():
            return self._forward(model_inputs, **forward_params)

    def _forward(self, input_tensors: dict[str, Any], **generate_kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Sequences [B, n, T] without the token that begins them, padded with -100 behind their end."""
        processor, model = (
            input_tensors.get("processor") or self.input_processor,
            input_tensors.get("model", self.model),
        )
        inputs = {name: input_tensors[name].to(self.device) for name in ("input_ids", "attention_mask")}
        options = {**self._length(generate_kwargs, processor), **generate_kwargs}
        if options.get("stop_strings") is not None:
            options.setdefault("tokenizer", processor.tokenizer)
        made = model.generate(**inputs, **options)
        sequences = self._ended(made if isinstance(made, Tensor) else made.sequences, generate_kwargs)
        batch = len(inputs["input_ids"])
        found: dict[str, Any] = {"sequences": sequences[:, 1:].view(batch, -1, sequences.shape[-1] - 1)}
        if most := input_tensors.get("evidence", 0):
            several = len(sequences) // batch
            asked = {name: tensor.repeat_interleave(several, 0) for name, tensor in inputs.items()}
            found["evidence"] = evidence_of(model, processor, asked, sequences, most)
        return found

    def _length(self, given: dict[str, Any], processor: PairProcessor) -> dict[str, int]:
        """The most tokens of an answer, where nobody says it."""
        own = self.model.generation_config
        usual = type(own)()
        if any(given.get(name) is not None for name in LENGTHS) or any(
            getattr(own, name, None) != getattr(usual, name, None) for name in ("max_new_tokens", "max_length")
        ):
            return {}
        most = self.model.config.max_target_length or min(MAX_NEW_TOKENS, processor.max_target_length or MAX_NEW_TOKENS)
        return {"max_new_tokens": most}

    def _ended(self, sequences: Tensor, given: dict[str, Any]) -> Tensor:
        """What was generated [R, 1 + T], with -100 behind the first end of each sequence."""
        config = given.get("generation_config") or self.model.generation_config
        end = given.get("eos_token_id", config.eos_token_id)
        if end is None:
            return sequences
        ends = torch.isin(sequences, torch.as_tensor(end, device=sequences.device))
        ends[:, 0] = False  # which for BART is the token that it begins with
        behind = ends.long().cumsum(1) - ends.long() > 0
        return sequences.masked_fill(behind, -100)

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_parameters: Any) -> list[Any]:  # type: ignore[override]
        processor = postprocess_parameters.get("processor") or self.input_processor
        sequences = model_outputs["sequences"]
        texts = processor.decode(sequences.flatten(0, 1))
        evidence = model_outputs.get("evidence")
        answers = [{"generated_text": text} for text in texts]
        if evidence is not None:
            answers = [{**answer, "evidence": behind} for answer, behind in zip(answers, evidence, strict=True)]
        several = sequences.shape[1]
        if several == 1:
            return answers
        return [answers[start : start + several] for start in range(0, len(answers), several)]
