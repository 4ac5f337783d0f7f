"""chrF of a corpus, by sacrebleu, as an `evaluate` module; load it by the path of its folder."""

from typing import Any

import evaluate

from mann_hf.errors import import_extra
from mann_hf.metrics import references as right

_DESCRIPTION = """
chrF of a corpus, the F score of character n-grams, as the package sacrebleu computes it; with `word_order=2` it is
chrF++, which counts words and pairs of words, too.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: for each input the text that was generated.
    references: for each input the right text, or a list of them.
    word_order: the longest n-gram of words that counts; 2 is chrF++.
    lowercase: whether upper and lower case are the same.

Returns:
    chrf: from 0 to 100.
    chrf_signature: how it was computed, to be named beside the figure.

Raises:
    ValueError: there are none, or an input has no reference.
    MissingExtraError: sacrebleu is not installed (pip install 'mann_hf[metrics]').

Examples:
    >>> metric = evaluate.load("mann_hf/metrics/chrf")
    >>> metric.compute(predictions=["the dog sees a cat"], references=["the dog sees a cat"])["chrf"]
    100.0
"""

_CITATION = """
@inproceedings{popovic-2015-chrf,
  title = "chr{F}: character n-gram {F}-score for automatic {MT} evaluation",
  author = "Popovi{\\'c}, Maja",
  booktitle = "Proceedings of the Tenth Workshop on Statistical Machine Translation",
  year = "2015",
  url = "https://aclanthology.org/W15-3049",
}
"""


class ChrF(right.SequenceMetric):
    """chrF of a corpus."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=right.features_of_texts(),
            reference_urls=["https://github.com/mjpost/sacrebleu"],
        )

    def _compute(
        self, predictions: Any, references: Any, word_order: int = 0, lowercase: bool = False
    ) -> dict[str, Any]:
        chrf = import_extra("sacrebleu.metrics", "chrF", "metrics").CHRF(word_order=word_order, lowercase=lowercase)
        found = chrf.corpus_score(list(predictions), right.in_columns(references))
        return {"chrf": round(found.score, 6), "chrf_signature": str(chrf.get_signature())}
