"""BLEU of a corpus, by sacrebleu, as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import evaluate

from mann_hf.errors import import_extra
from mann_hf.metrics import references as right

_DESCRIPTION = """
BLEU of a corpus as the package sacrebleu computes it, from texts that are not tokenized, with the signature that makes
figures of different papers comparable. Each input has one reference or several.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each input the text that was generated.
    references: for each input the right text, or a list of them.
    tokenize: how sacrebleu finds words, by its own name for it; by default "13a".
    lowercase: whether upper and lower case are the same.

Returns:
    bleu: from 0 to 100.
    bleu_signature: how it was computed, to be named beside the figure.

Raises:
    ValueError: there are none, or an input has no reference.
    MissingExtraError: sacrebleu is not installed (pip install 'mann_hf[metrics]').

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/sacrebleu")
    >>> metric.compute(predictions=["the dog sees a cat"], references=["the dog sees a cat"])["bleu"]
    100.0
"""

_CITATION = """
@inproceedings{post-2018-call,
  title = "A Call for Clarity in Reporting {BLEU} Scores",
  author = "Post, Matt",
  booktitle = "Proceedings of the Third Conference on Machine Translation: Research Papers",
  year = "2018",
  url = "https://www.aclweb.org/anthology/W18-6319",
}
"""


class SacreBleu(right.SequenceMetric):
    """BLEU of a corpus."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=right.features_of_texts(),
            reference_urls=["https://github.com/mjpost/sacrebleu"],
        )

    def _compute(
        self, predictions: Any, references: Any, tokenize: str | None = None, lowercase: bool = False
    ) -> dict[str, Any]:
        bleu = import_extra("sacrebleu.metrics", "BLEU", "metrics").BLEU(lowercase=lowercase, tokenize=tokenize)
        found = bleu.corpus_score(list(predictions), right.in_columns(references))
        return {"bleu": round(found.score, 6), "bleu_signature": str(bleu.get_signature())}
