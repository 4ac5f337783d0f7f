"""ROUGE, by rouge_score, as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import evaluate
import numpy as np

from mann_hf.errors import import_extra
from mann_hf.metrics import references as right

_DESCRIPTION = """
ROUGE as the package rouge_score computes it: the mean over inputs of the F1 of common words (rouge1), of common pairs
of words (rouge2) and of the longest common subsequence, of the whole text (rougeL) and line by line (rougeLsum). Of
several references the best one counts.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each input the text that was generated.
    references: for each input the right text, or a list of them.
    use_stemmer: whether the endings of English words are cut off first.

Returns:
    rouge1: from 0 to 1.
    rouge2: likewise.
    rougeL: likewise.
    rougeLsum: likewise.

Raises:
    ValueError: there are none, or an input has no reference.
    MissingExtraError: rouge_score is not installed (pip install 'mann_hf[metrics]').

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/rouge")
    >>> metric.compute(predictions=["the dog sees"], references=["the dog sees"])["rouge1"]
    1.0
"""

_CITATION = """
@inproceedings{lin-2004-rouge,
  title = "{ROUGE}: A Package for Automatic Evaluation of Summaries",
  author = "Lin, Chin-Yew",
  booktitle = "Text Summarization Branches Out",
  year = "2004",
  url = "https://aclanthology.org/W04-1013",
}
"""

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Rouge(right.SequenceMetric):
    """The mean F1 of common words, pairs of words and subsequences."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=right.features_of_texts(),
            reference_urls=["https://github.com/google-research/google-research/tree/master/rouge"],
        )

    def _compute(self, predictions: Any, references: Any, use_stemmer: bool = False) -> dict[str, float]:
        several = right.listed(references)
        module = import_extra("rouge_score.rouge_scorer", "ROUGE", "metrics")
        scorer = module.RougeScorer(KINDS, use_stemmer=use_stemmer)
        scores = [scorer.score_multi(some, said) for some, said in zip(several, predictions, strict=True)]
        return {kind: float(np.mean([score[kind].fmeasure for score in scores])) for kind in KINDS}
