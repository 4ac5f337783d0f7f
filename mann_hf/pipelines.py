"""Text in, answers out: the pipelines of memory-augmented models."""

import copy
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain, islice
from typing import Any

import torch
from huggingface_hub import CommitInfo
from torch import Tensor
from transformers import AutoModelForSequenceClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.text_classification import sigmoid, softmax

from .controllers.text import check_texts
from .errors import InvalidInputError, InvalidTypeError
from .memory.reading import MULTI_LABEL, REGRESSION
from .models import Evidence, MANNForSequenceClassification
from .models.folder_saves import saving_model, write_model
from .models.labelled_memory import Label
from .models.memory_holder import ReadyMemory
from .models.publishing import save_tokenizer
from .models.saving import take_upload
from .targets import check_not_multi_hot, known_as, same_label, spell_label, spell_labels

FEW_SHOT_TASK = "few-shot-text-classification"
"""By this name `transformers.pipeline` makes the pipeline below, once this is imported."""
CHUNK = 4096
"""Texts that are answered at a time when many are given."""
EVIDENCE = 5
"""How many stored examples an answer names unless told otherwise."""

Progress = Callable[[int], None]


class FewShotTextClassificationPipeline(Pipeline):
    """Classifies texts by a handful of labelled examples that it was shown, and says which of them decided.

    ```python
    >>> import mann_hf
    >>> from transformers import pipeline

    >>> model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained("sentence-transformers/all-MiniLM-L6-v2")
    >>> classifier = pipeline("few-shot-text-classification", model=model)
    >>> ids = classifier.remember(["my card still has not come", "i want my money back"], ["card_arrival", "refund"])
    >>> classifier("where is my card?")[0]["label"]
    'card_arrival'
    ```

    The tokenizer is found from the model when it is left out.
    """

    _load_tokenizer = None  # found from the model, where none is given
    model: MANNForSequenceClassification

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(self.model, MANNForSequenceClassification):
            raise InvalidTypeError(
                f"the model is a {type(self.model).__name__}; this pipeline takes a MANNForSequenceClassification, "
                "for example from MANNForSequenceClassification.from_encoder_pretrained(name)."
            )
        if self.tokenizer is None:
            self.tokenizer = self.model.load_tokenizer()

    def remember(
        self,
        texts: str | Sequence[str] | None = None,
        labels: Any = None,
        *,
        descriptions: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[int]:
        """Writes labelled texts to the memory; no gradient step is taken, and a new label is a new class.

        Args:
            texts: the examples.
            labels: one label for each text: a name, or a whole number or boolean, which is a name, too (see
                `mann_hf.targets.spell_label`); a list of them for several labels, an empty one for a text that has none
                of them and counts against each; a number (or a list of numbers) for regression. With `descriptions`
                and no texts, one label for each description. With both, the labels of the texts and then those of the
                descriptions.
            descriptions: what labels mean, in words.
            batch_size: texts the encoder reads at a time; by default batches are cut by tokens.
            progress: called with the number of texts done after each batch.

        Returns:
            The ids of the examples, then of the descriptions. An example that is remembered already has the same id
            again, and counts once more; one that `eviction="kaiser"` merged into another's slot has the id of that.

        Raises:
            InvalidInputError: empty texts, unequal lengths. The memory stays as it was.
            InvalidTypeError: labels of a type that the problem does not have. The memory stays as it was.
        """
        examples = _texts(texts, "texts")
        described = _texts(descriptions, "descriptions")
        if not examples and not described:
            raise InvalidInputError("nothing to remember: give texts and labels, or labels and descriptions.")
        if described and self.model.config.problem_type == REGRESSION:
            raise InvalidInputError("descriptions describe labels, and a regression has none.")
        wanted = self._labels(labels, len(examples), len(described))
        everything = [*examples, *described]
        _check_whole(batch_size=batch_size)
        keys = self.model.embed_texts(self.tokenizer, everything, batch_size, progress)
        names = self.model.name_keys(wanted[: len(examples)], self.tokenizer, known=self.model.memory.names)
        kinds = ["example"] * len(examples) + ["description"] * len(described)
        return self.model.remember(keys, wanted, everything, kinds, names)  # type: ignore[arg-type]

    def forget(self, ids: int | Sequence[int] | None = None, label: str | None = None) -> None:
        """Takes examples out of the memory, which is then as if it had never seen them.

        With a `capacity`, what gave way to them does not come back, and with `eviction="kaiser"` a slot goes with all
        that was merged into it.

        Args:
            ids: one or several, as `remember` returned them or as evidence names them.
            label: every example and description of this label.

        Raises:
            NotInMemoryError: an id or a label that is not there. The memory stays as it was.
        """
        if label is not None and label not in self.model.memory.labels:
            (label,) = known_as([same_label(str(label))], self.model.memory.labels).values()
        self.model.forget([ids] if ids is not None and not isinstance(ids, Iterable) else ids, label)

    def with_own_memory(self) -> "FewShotTextClassificationPipeline":
        """A pipeline of the same weights whose memory begins as the present one and then goes its own way."""
        own = copy.copy(self)
        own.model = self.model.with_own_memory()
        return own

    def load_memory(self, folder_or_repo: str | os.PathLike, *, reencode: bool = False, **kwargs: Any) -> None:
        """Puts a saved memory in place of the present one; see `MANNPreTrainedModel.load_memory`."""
        self.model.load_memory(folder_or_repo, reencode=reencode, tokenizer=self.tokenizer, **kwargs)

    def save_memory(self, save_directory: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Saves the memory without the weights; see `MANNPreTrainedModel.save_memory`."""
        self.model.save_memory(save_directory, overwrite=overwrite)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        create_model_card: bool = True,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        """Saves model, memory, tokenizer and card; a save that is killed leaves the folder as it was or as it is after.

        No code is saved along: the folder is read by the installed library. Arguments and errors are those of
        `MANNPreTrainedModel.save_pretrained`.
        """
        if not kwargs.pop("is_main_process", True):
            return
        upload = take_upload(save_directory, kwargs)
        with saving_model(self.model, save_directory, create_model_card, overwrite) as staging:
            write_model(self.model, staging, **kwargs)
            save_tokenizer(self.model, self.tokenizer, staging)
        if upload is not None:
            self.push_to_hub(**upload)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:  # type: ignore[override]
        """Uploads model, memory, tokenizer and card; see `MANNPreTrainedModel.push_to_hub`."""
        return self.model.push_to_hub(repo_id, tokenizer=self.tokenizer, **kwargs)

    def push_memory_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Uploads the memory alone; see `MANNPreTrainedModel.push_memory_to_hub`."""
        return self.model.push_memory_to_hub(repo_id, **kwargs)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> Any:
        """Classifies texts.

        Args:
            inputs: a text, a list of texts (or another collection: a column of a table, an array), or a torch data set
                or generator of texts, which is read as answers are taken.
            top_k: how many labels to return for a text, best first; all of them with None. If not given, a text has
                one answer, not a list of one.
            evidence: how many stored examples to name behind each answer (5 if not given); all of them with None.
            batch_size: texts the encoder reads at a time; by default batches are cut by tokens.
            num_workers: of no effect; taken because other pipelines take it, as `truncation=True` is.
            progress: called with the number of texts done after each batch.

        Returns:
            For each text a dict, or with `top_k` a list of dicts: `label`, `score`, `evidence` (a list of dicts with
            `id`, `text`, `label`, `weight`, largest weight first) and `rest`, what everything that is not listed
            adds. With the reading `"attention"`, weights and rest sum to the score; with the others to the logit, of
            which the scores are the softmax (for several labels the sigmoid). Of a regression `label` is the output's
            name (`id2label` of the configuration, "LABEL_0" if not told) and `score` its number, to which they sum. A
            single text gives a list of answers.

        Raises:
            EmptyMemoryError: nothing has been remembered.
            InvalidInputError: an empty text, or `top_k`, `evidence` or `batch_size` below what makes sense.
            InvalidTypeError: something that is no text.
        """
        _, _, given = self._sanitize_parameters(**kwargs)
        options = {**self._postprocess_params, **given}
        if batch_size is None:
            batch_size = self._batch_size
        _check_whole(batch_size=batch_size)
        if isinstance(inputs, str):
            answer = self._answer([inputs], batch_size, progress, options)
            return answer[0] if "top_k" in given else answer  # for one given when it was made, as the stock pipeline
        # a datasets.Dataset is told by its columns: to import datasets for that would cost every start a second
        lazy = isinstance(inputs, torch.utils.data.Dataset) or hasattr(inputs, "column_names")
        if isinstance(inputs, Sized) and not lazy and not isinstance(inputs, (Mapping, bytes)):
            answers: list[Any] = []
            texts = check_texts(inputs) if len(inputs) else []
            for start in range(0, len(texts), CHUNK):
                answers += self._answer(texts[start : start + CHUNK], batch_size, progress, options)
            return answers
        if isinstance(inputs, torch.utils.data.Dataset) and not isinstance(inputs, Iterable):
            count = len(inputs)  # type: ignore[arg-type]
            return self._stream((inputs[n] for n in range(count)), batch_size, progress, options)
        if not isinstance(inputs, Iterable) or isinstance(inputs, (dict, bytes)):
            raise InvalidTypeError(
                f"a {type(inputs).__name__} came; give a text, a list of texts or a dataset of texts."
            )
        return self._stream(iter(inputs), batch_size, progress, options)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        if not kwargs.pop("truncation", True):
            raise InvalidInputError(
                "truncation=False: texts that are longer than the encoder reads are cut, stored ones and asked ones "
                "alike; max_seq_length of the model's configuration says where."
            )
        unknown = kwargs.keys() - {"top_k", "evidence"}
        if unknown:
            raise InvalidTypeError(
                f"unknown argument {', '.join(sorted(unknown))}; there are top_k, evidence, batch_size and progress."
            )
        _check_whole(top_k=kwargs.get("top_k"))
        _check_whole(0, evidence=kwargs.get("evidence"))
        return {}, {}, kwargs

    def _stream(
        self, texts: Iterator[str], batch_size: int | None, progress: Progress | None, options: dict
    ) -> Iterator[Any]:
        while chunk := list(islice(texts, CHUNK)):
            yield from self._answer(chunk, batch_size, progress, options)

    def _answer(self, texts: list[str], batch_size: int | None, progress: Progress | None, options: dict) -> list[Any]:
        outputs = self.forward(self.preprocess(texts), batch_size=batch_size, progress=progress)
        with self.device_placement(), torch.no_grad():
            return self.postprocess(outputs, **options)

    def preprocess(self, input_: list[str], **preprocess_parameters: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"texts": check_texts(input_)}

    def forward(self, model_inputs: dict[str, Any], **forward_params: Any) -> dict[str, Any]:
        """The memory that was read, as `ready`, with the `keys` and `logits` of texts, all left on their device."""
        with self.device_placement(), torch.no_grad():
            return self._forward(model_inputs, **forward_params)

    def _forward(self, input_tensors: dict[str, Any], **forward_parameters: Any) -> dict[str, Any]:  # type: ignore[override]
        """Reads one memory for all texts, whatever other threads teach meanwhile, and hands it on with the logits."""
        ready = self.model.ready_memory()
        keys = self.model.embed_texts(self.tokenizer, input_tensors["texts"], **forward_parameters)
        logits = self.model.read(ready, keys)
        self.model.record_use(ready, keys, logits)
        return {"ready": ready, "keys": keys, "logits": logits}

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_parameters: Any) -> list[Any]:  # type: ignore[override]
        ready, keys, logits = model_outputs["ready"], model_outputs["keys"], model_outputs["logits"]
        most = postprocess_parameters.get("evidence", EVIDENCE)
        top_k = postprocess_parameters.get("top_k", 1)
        count = logits.shape[1] if top_k is None else min(top_k, logits.shape[1])
        scores = self._scores(logits)
        best, columns = scores.topk(count, dim=1)
        evidence = self.model.evidence(ready, keys, logits, columns, most)
        answers = [
            [
                {"label": self._name(ready, column), "score": score, **self._explain(ready, behind)}
                for column, score, behind in zip(*ranked, strict=True)
            ]
            for ranked in zip(columns.tolist(), best.tolist(), evidence, strict=True)
        ]
        return answers if "top_k" in postprocess_parameters else [ranked[0] for ranked in answers]

    def _scores(self, logits: Tensor) -> Tensor:
        """Scores [Q, C], by the functions of the stock pipeline, so that they are the same to the last bit."""
        if self.model.config.problem_type == REGRESSION:
            return logits
        function = sigmoid if self.model.config.problem_type == MULTI_LABEL else softmax
        return torch.from_numpy(function(logits.detach().float().cpu().numpy()))

    def _name(self, ready: ReadyMemory, column: int) -> str:
        names: Any = ready.memory.labels or self.model.config.id2label
        return names[column]

    @staticmethod
    def _explain(ready: ReadyMemory, evidence: Evidence) -> dict[str, Any]:
        entries, several = ready.memory.all_entries, ready.memory.problem_type == MULTI_LABEL
        listed = []
        for slot, weight in zip(evidence.slots, evidence.weights, strict=True):
            entry = entries[slot]
            label: Any = entry.label
            if len(label) == 1 and isinstance(label[0], float):
                label = label[0]  # a regression's number, as it was taught
            elif several and isinstance(label, str):
                label = (label,)  # of its own words, as of its examples
            listed.append({"id": entry.id, "text": entry.text, "label": label, "weight": weight})
        return {"evidence": listed, "rest": evidence.rest}

    def _labels(self, labels: Any, examples: int, descriptions: int) -> list[Label]:
        if labels is None:
            raise InvalidInputError("labels are missing: give one for each text and each description.")
        labels = _plain(_with_names(labels))
        if isinstance(labels, (str, int, float)):
            labels = [labels]
        if isinstance(labels, (bytes, Mapping)) or not isinstance(labels, Iterable):
            raise InvalidTypeError(f"labels are a {type(labels).__name__}; give a list with one label for each text.")
        labels = [_plain(label) for label in labels]
        if len(labels) != examples + descriptions:
            counted = f"{examples} texts" + (f" and {descriptions} descriptions" if descriptions else "")
            raise InvalidInputError(f"{len(labels)} labels came for {counted}; give one label for each.")
        known = self.model.memory.labels
        if self.model.config.problem_type == REGRESSION:
            return [_numbers(label, position) for position, label in enumerate(labels)]
        if self.model.config.problem_type == MULTI_LABEL:
            check_not_multi_hot(labels)
            several = [_several_names(label, position) for position, label in enumerate(labels)]
            if not all(several[examples:]):
                raise InvalidInputError(
                    "a description came without a label; a text of no label is an example, and a description says what "
                    "a label means."
                )
            named = known_as(chain.from_iterable(several), known)
            return [tuple(named[name] for name in names) for names in several]
        names = [_one_name(label, position) for position, label in enumerate(labels)]
        named = known_as(names, known)
        return [named[name] for name in names]


PIPELINE_REGISTRY.register_pipeline(
    FEW_SHOT_TASK,
    pipeline_class=FewShotTextClassificationPipeline,
    pt_model=AutoModelForSequenceClassification,
)


def _texts(texts: Any, name: str) -> list[str]:
    if isinstance(texts, torch.utils.data.Dataset) and isinstance(texts, Sized):
        texts = [texts[number] for number in range(len(texts))]
    if texts is None or (isinstance(texts, Sized) and not isinstance(texts, str) and not len(texts)):
        return []
    try:
        return check_texts(texts)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _one_name(label: Any, position: int) -> str:
    try:
        return spell_label(label)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"label {position} (counted from 0): {error}.") from None


def _several_names(label: Any, position: int) -> tuple[str, ...]:
    try:
        names = spell_labels(label)
    except (InvalidInputError, InvalidTypeError) as error:
        raise type(error)(f"label {position} (counted from 0): {error}.") from None
    return names


def _numbers(label: Any, position: int) -> tuple[float, ...]:
    numbers = [_plain(number) for number in label] if isinstance(label, (list, tuple)) else [label]
    try:
        if all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
            found = tuple(float(number) for number in numbers)
            if found and all(map(math.isfinite, found)):
                return found
    except OverflowError:
        pass
    raise InvalidTypeError(f"label {position} is {str(label)[:80]}; a regression takes finite numbers.")


def _with_names(labels: Any) -> Any:
    """A column of a data set with the names of its classes in place of their numbers; anything else as it is."""
    column = getattr(labels, "column_name", None)
    feature: Any = (getattr(getattr(labels, "source", None), "features", None) or {}).get(column)
    if not hasattr(feature, "int2str"):
        return labels
    return [None if label is None or label < 0 else feature.int2str(int(label)) for label in labels]


def _plain(value: Any) -> Any:
    """The values of an array, tensor or one of their scalars as Python has them; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def _check_whole(least: int = 1, **given: Any) -> None:
    """Refuses an argument that is neither None nor a whole number from `least` on."""
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InvalidInputError(f"{name} is {value!r}; give a whole number from {least} on, or None.")
