"""What the pipelines of memory-augmented classifiers share: teaching, forgetting, answering, saving."""

from collections.abc import Sequence
from itertools import chain
from numbers import Real
from typing import Any, ClassVar

import torch
from transformers.utils import logging

from ..controllers.base import Controller
from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress, following
from ..controllers.text import unboxed
from ..errors import InvalidInputError, InvalidTypeError
from ..models import Evidence, MANNForClassification
from ..models.embedding import embed_checked
from ..models.stored_inputs import why_unlike
from ..persistent.entries import Entry, label_names
from ..persistent.holder import ReadyMemory
from ..persistent.labelled_memory import LabelledMemory
from ..targets import known_as
from ..targets.kinds import targets_of
from ..wording import optional_at_least, shown
from .lesson import inputs_of, lesson_of
from .memory_pipeline import MemoryPipeline

logger = logging.get_logger(f"transformers.{__name__}")

EVIDENCE = 5
"""How many stored examples an answer names by default."""


class FewShotPipeline(MemoryPipeline):
    """Classifies inputs from a handful of labelled examples, and names the examples behind each answer.

    By itself it takes a memory-augmented classifier of any modality; a subclass is that of a task. A tokenizer or image
    processor is given by the argument of that name, which the controller of the model's inputs says
    (`processing_class`), or in a `processor`; if none is given, that of the model is loaded. With an encoder of images
    and words a `tokenizer` beside the `image_processor` reads the words, and an image processor alone reads none.
    """

    model_class: ClassVar[type[MANNForClassification]] = MANNForClassification

    _compared: Entry | None = None  # the first entry of the memory that was last found to fit the tokenizer
    model: MANNForClassification

    def __repr__(self) -> str:
        encoder, held = self.model.config.encoder_name, self.model.memory.summary
        reading = self.model.config.reading
        return f"{type(self).__name__}(memory: {held}; reading={reading!r}, encoder={encoder!r}, device={self.device})"

    def remember(
        self,
        inputs: Any = None,
        labels: Any = None,
        *,
        descriptions: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        progress: Progress = None,
        **named: Any,
    ) -> list[int]:
        """Stores labelled inputs in the memory, without training. A new label makes a new class.

        Args:
            inputs: the examples; None for descriptions alone, or for labels alone: where the encoder reads words, each
                label is then known by its own, as a description of itself. It may be given under the name of the inputs
                of the model, too: `texts=`, `images=`.
            labels: one label for each input: a name (whole numbers and booleans count as names, see
                `mann_hf.targets.spell_label`); for several labels a list of names, empty for an input that has none of
                them and counts against each; for regression a number or a list of numbers. With `descriptions`, the
                labels of the examples and then those of the descriptions.
            descriptions: what labels mean, in words, for encoders that read words.
            batch_size: inputs in a batch; by default what is fast.
            progress: True for a bar, or a function that is called with the number of inputs done after each batch.

        Returns:
            The ids of the examples, then of the descriptions. An example that is stored already keeps its id and counts
            once more; an example that `eviction="kaiser"` merges into another slot gets the id of that slot.

        Raises:
            InvalidInputError: an input that cannot be read, unequal lengths, or columns of pandas whose rows are in
                another order. The memory stays as it was.
            InvalidTypeError: something that is no such input, or labels of a type that the problem does not have.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        processor, memory = self.input_processor, self.model.memory
        inputs = inputs_of(f"{self.model.config.controller.noun}s", inputs, named)
        checked = self._given(processor, inputs)
        lesson = lesson_of(
            processor, self.model.reading.targets, inputs, checked, labels, descriptions, known=memory.labels
        )
        batch_size = optional_at_least("batch_size", batch_size)
        self.model.check_memory()
        self._compare_processor(memory)
        with following(progress, len(lesson.labels), processor.noun) as advance:
            keys = lesson.keys(self.model, batch_size, advance)
        named = known_as(chain.from_iterable(map(label_names, lesson.labels[: len(checked)])), memory.labels)
        names = self.model.name_keys(named.values(), processor, known=memory.names)
        ids = self.model.remember_checked(keys, lesson.examples(self.model.config.store_inputs), names)
        self._compared = next(iter(self.model.memory.entries), None)
        return ids

    def _given(self, processor: InputProcessor, inputs: Any) -> list[Any]:
        """The inputs of `remember` as the processor checks them; none where None came."""
        return [] if inputs is None else processor.check(inputs)

    def forget(self, ids: int | Sequence[int] | None = None, label: Any = None) -> None:
        """Removes examples from the memory, which is then as if it had never seen them.

        With a `capacity`, examples that were evicted to make room for them do not come back, and with
        `eviction="kaiser"` a slot is removed with everything merged into it. Usage counts of other examples stay.

        Args:
            ids: one id or several, from `remember` or from the evidence of an answer.
            label: removes every example and description of this label; where examples have several labels, also
                those that have others besides.

        Raises:
            NotInMemoryError: an id or a label that is not there. The memory stays as it was.
            InvalidTypeError: ids that are no whole numbers, or several labels at once.
        """
        self.model.forget(ids, label)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        progress: Progress = None,
        **kwargs: Any,
    ) -> Any:
        """Classifies inputs.

        Args:
            inputs: one, a list (or another collection: a column of a table, an array), or a torch data set or generator
                of them, which is read as its answers are taken.
            top_k: the number of labels to return for each input, best first; None for all. If given, the answer to an
                input is a list. If left out, it is the best label alone or, with a `threshold`, a list of all above it.
            threshold: the score above which labels are returned; None for no threshold. If given, the answer to an
                input is a list, which may be empty. `threshold=0.5` suits models with several labels for each input.
            evidence: how many stored examples to name for each answer (default 5); None for all.
            batch_size: inputs in a batch; by default what is fast: of texts, batches have about as many tokens each.
            num_workers: has no effect, as `truncation=True`; other pipelines take it.
            progress: as in `remember`. It may be given when the pipeline is made, as may what is above but `inputs`.

        Returns:
            For each input a dict, or with `top_k` or `threshold` a list of dicts: `label`, `score`, `evidence` (a list
            of dicts with `id`, the `text` (of inputs that are no texts a `digest`, and the `text` of words), `label`,
            `weight`, largest weight first)
            and `rest`, what everything not listed adds. With the reading `"attention"`, weights and rest sum to the
            score; with the others to the logit, of which the scores are the softmax (for several labels the sigmoid).
            Of a regression `label` is the output's name (`id2label` of the configuration, by default "LABEL_0") and
            `score` its number, to which they sum. A single input gives a list of answers.

        Raises:
            EmptyMemoryError: nothing has been remembered.
            InvalidInputError: an empty or damaged input, or `top_k`, `evidence` or `batch_size` below what makes sense.
            InvalidTypeError: something that is no such input.
        """
        _, _, given = self._sanitize_parameters(**kwargs)
        options = {**self._postprocess_params, **given}
        batch_size = optional_at_least("batch_size", self._batch_size if batch_size is None else batch_size)
        progress = self._progress if progress is None else progress
        answers = self._answer_all(inputs, batch_size, progress, options)
        lists = "top_k" in given or given.get("threshold") is not None
        alone = lists and self.input_processor.is_one(unboxed(inputs))
        return answers[0] if alone else answers  # for one given when it was made, as the stock pipeline

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        if not kwargs.pop("truncation", True):
            raise InvalidInputError(
                "truncation=False: inputs that are longer than the encoder reads are cut, stored ones and asked ones "
                "alike; of texts, max_seq_length of the model's configuration says where."
            )
        unknown = kwargs.keys() - {"top_k", "threshold", "evidence"}
        if unknown:
            raise InvalidTypeError(
                f"unknown argument {', '.join(sorted(unknown))}; there are top_k, threshold, evidence, "
                "batch_size and progress."
            )
        least = {"top_k": 1, "evidence": 0}
        given: dict[str, Any] = {
            name: optional_at_least(name, kwargs[name], least[name]) for name in kwargs.keys() & least.keys()
        }
        if "threshold" in kwargs:  # None undoes that of the pipeline
            given["threshold"] = self._checked_threshold(kwargs["threshold"])
        return {}, {}, given

    def _checked_threshold(self, threshold: Any) -> float | None:
        if threshold is None:
            return None
        if not self.model.reading.targets.calibrated:
            raise InvalidInputError("threshold is of scores, and the numbers of a regression have none.")
        number = -1.0 if isinstance(threshold, bool) or not isinstance(threshold, Real) else float(threshold)
        if not 0 <= number < 1:
            raise InvalidInputError(f"threshold is {shown(threshold)}; give a number from 0 to below 1, or None.")
        return number

    def _answer(
        self,
        checked: Sequence[Any],
        processor: InputProcessor,
        batch_size: int | None,
        progress: Progress,
        options: dict,
    ) -> list[Any]:
        with following(progress, len(checked), processor.noun) as advance:
            outputs = self.forward({"inputs": checked}, processor=processor, batch_size=batch_size, advance=advance)
        with self.device_placement(), torch.no_grad():
            return self.postprocess(outputs, **options)

    def forward(self, model_inputs: dict[str, Any], **forward_params: Any) -> dict[str, Any]:
        """The `keys` and `logits` of inputs, and the memory that was read as `ready`; all stay on their device."""
        with self.device_placement(), torch.no_grad():
            return self._forward(model_inputs, **forward_params)

    def _forward(  # type: ignore[override]
        self, input_tensors: dict[str, Any], processor: InputProcessor | None = None, **forward_parameters: Any
    ) -> dict[str, Any]:
        """Reads one memory for all inputs, whatever other threads teach meanwhile, and hands it on with the logits."""
        ready = self.model.ready_memory()
        self._compare_processor(ready.memory)
        processor = self.input_processor if processor is None else processor
        keys = embed_checked(self.model, processor, input_tensors["inputs"], **forward_parameters)
        logits = self.model.read(ready, keys)
        self.model.record_use(ready, keys, logits)
        return {"ready": ready, "keys": keys, "logits": logits}

    def _compare_processor(self, memory: LabelledMemory) -> None:
        """Warns where a memory that came from elsewhere holds other keys for its texts than this tokenizer gives."""
        first = next(iter(memory.entries), None)
        if first is self._compared:
            return
        self._compared = first
        if why := why_unlike(self.model, self.input_processor, memory):
            logger.warning(why)

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_parameters: Any) -> list[Any]:  # type: ignore[override]
        ready, keys, logits = model_outputs["ready"], model_outputs["keys"], model_outputs["logits"]
        most = postprocess_parameters.get("evidence", EVIDENCE)
        threshold = postprocess_parameters.get("threshold")
        top_k = postprocess_parameters.get("top_k", 1 if threshold is None else None)
        count = logits.shape[1] if top_k is None else min(top_k, logits.shape[1])
        scores = self.model.reading.targets.scores(logits)
        best, columns = scores.topk(count, dim=1)
        if threshold is not None:
            columns = columns.masked_fill(best <= threshold, -1)
        evidence = self.model.evidence(ready, keys, logits, columns, most)
        controller = self.model.config.controller  # once, as reading a configuration of transformers takes long
        answers = [
            [
                {"label": self._name(ready, column), "score": score, **_explained(ready, behind, controller)}
                for column, score, behind in zip(*ranked, strict=False)  # of the outputs that have evidence
            ]
            for ranked in zip(columns.tolist(), best.tolist(), evidence, strict=True)
        ]
        lists = "top_k" in postprocess_parameters or threshold is not None
        return answers if lists else [ranked[0] for ranked in answers]

    def _name(self, ready: ReadyMemory, column: int) -> str:
        names: Any = ready.memory.labels or self.model.config.id2label
        return names[column]


def _explained(ready: ReadyMemory, evidence: Evidence, controller: Controller) -> dict[str, Any]:
    targets = targets_of(ready.memory.problem_type)
    listed = []
    for slot, weight in zip(evidence.slots, evidence.weights, strict=True):
        entry = ready.memory.entry(slot)
        label = targets.shown(entry.label)
        listed.append({"id": entry.id, **_known_by(entry, controller), "label": label, "weight": weight})
    return {"evidence": listed, "rest": evidence.rest}


def _known_by(entry: Entry, controller: Controller) -> dict[str, str | None]:
    """What identifies an entry, by its own name; also by that of the inputs, which code may read for any entry."""
    named = {controller.noun: entry.text}
    return named if controller.readable else {"digest" if entry.kind == "example" else "text": entry.text, **named}
