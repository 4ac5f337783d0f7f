"""Arguments of a run, from Python, JSON and the command line."""

import sys
from typing import Any

import pytest
from transformers import HfArgumentParser

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments
from mann_hf.errors import MissingExtraError

from .conftest import VALID


def test_ranges_as_text_are_read() -> None:
    args = EpisodicTrainingArguments("out", n_way="5-10", eval_k_shot="1-5", use_cpu=True)
    assert (args.n_way, args.eval_k_shot) == ((5, 10), (1, 5))


def test_one_number_of_episodes_by_two_names() -> None:
    def sizes(**told: int) -> tuple:
        args = EpisodicTrainingArguments("out", use_cpu=True, **told)  # type: ignore[arg-type]
        return args.episodes_per_step, args.per_device_train_batch_size, args.step_episodes

    assert sizes() == (4, 4, 4)
    assert sizes(episodes_per_step=8) == sizes(per_device_train_batch_size=8) == (8, 8, 8)
    assert sizes(episodes_per_step=2, gradient_accumulation_steps=3) == (2, 2, 6)


def test_by_the_parser_of_transformers() -> None:
    words = ["--output_dir", "out", "--use_cpu", "--episodes_per_step", "2"]
    words += ["--n_way", "7", "--k_shot", "1-3", "--eval_k_shot", "2-4"]
    words += ["--objective", "resampled", "--objective_options", '{"shots": 2}']
    words += ["--regularizers", '{"uniformity": 0.1}']
    kind: Any = EpisodicTrainingArguments
    (args,) = HfArgumentParser(kind).parse_args_into_dataclasses(words)
    assert (args.n_way, args.k_shot, args.eval_k_shot) == (7, (1, 3), (2, 4))
    assert (args.episodes_per_step, args.objective) == (2, "resampled")
    assert (args.objective_options, args.regularizers) == ({"shots": 2}, {"uniformity": 0.1})


def test_without_what_training_takes(monkeypatch: pytest.MonkeyPatch, tiny_classifier: Any) -> None:
    args = EpisodicTrainingArguments("out", use_cpu=True)
    for package in ("accelerate", "evaluate"):
        monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    for call in (lambda: EpisodicTrainingArguments("out"), lambda: EpisodicTrainer(tiny_classifier())):
        with pytest.raises(MissingExtraError, match=r"training needs .*'accelerate': pip install 'mann_hf\[train\]'"):
            call()
    with pytest.raises(MissingExtraError, match=r"evaluating .*'evaluate': pip install 'mann_hf\[train\]'"):
        EpisodicTrainer(tiny_classifier(), args, eval_dataset=VALID)
