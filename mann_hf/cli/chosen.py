"""Which answers for a text are given: its best label, all labels above one half, or numbers, as they are taught."""

from collections.abc import Mapping, Sequence
from typing import Any

from .options import ProblemType

LEAST = 0.5
"""The score above which a text has a label, where it may have several."""
Answer = dict[str, Any]


def asked_for(problem_type: ProblemType, top_k: int | None) -> dict[str, Any]:
    """What the classifier is asked for: `top_k` answers for each text, or all that are chosen from."""
    return {"top_k": top_k or (1 if problem_type is ProblemType.SINGLE_LABEL else None)}


def chosen(
    answers: Sequence[Sequence[Answer]], problem_type: ProblemType, outputs: Mapping[str, Any] | None
) -> list[list[Answer]]:
    """For each text its answers: the best label, the labels above one half, or the numbers in their order.

    Args:
        answers: for each text a list, best first.
        problem_type: what labels are.
        outputs: of a regression, the place of each by its name.
    """
    if problem_type is ProblemType.MULTI_LABEL:
        return [[answer for answer in ranked if answer["score"] > LEAST] for ranked in answers]
    if problem_type is ProblemType.REGRESSION:
        places = outputs or {}
        return [sorted(ranked, key=lambda answer: places[answer["label"]]) for ranked in answers]
    return [list(ranked[:1]) for ranked in answers]


def as_taught(answers: Sequence[Answer], problem_type: ProblemType) -> Answer:
    """The answers for a text as one, with a list of several labels or numbers; a number has no score beside it."""
    if problem_type is ProblemType.SINGLE_LABEL:
        return answers[0]
    keys = ("label", "score", "evidence", "rest")
    merged: Answer = {key: [answer[key] for answer in answers] for key in keys}
    if problem_type is ProblemType.REGRESSION:
        merged["label"] = merged.pop("score")
        if len(answers) == 1:
            merged = {key: values[0] for key, values in merged.items()}
    return merged
