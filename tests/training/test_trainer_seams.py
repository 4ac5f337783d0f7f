"""What the episodic trainer takes over from `transformers.Trainer`: a test fails where it moves there."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, TrainerCallback

from mann_hf import EpisodicTrainer, EpisodicTrainingArguments
from mann_hf.episodes import EpisodeCollator, EpisodeSampler
from mann_hf.errors import InvalidTypeError
from mann_hf.training.record import Recorder
from mann_hf.training.trainer import PRIVATE_METHODS

from .conftest import TRAIN, VALID

SOURCE = inspect.getsource(Trainer)


def test_the_list_of_private_methods_is_whole() -> None:
    overridden = {name for name in vars(EpisodicTrainer) if name.startswith("_") and hasattr(Trainer, name)}
    assert {name for name in overridden if not name.startswith("__")} == set(PRIVATE_METHODS)


@pytest.mark.parametrize("name", PRIVATE_METHODS)
def test_the_trainer_still_calls_it_in_the_same_way(name: str) -> None:
    theirs, own = (inspect.signature(getattr(kind, name)).parameters for kind in (Trainer, EpisodicTrainer))
    assert list(theirs) == list(own)
    assert re.search(rf"\bself\.{name}\b", SOURCE), "and not another whose name begins so"


def test_what_is_set_on_it_is_read_there(tmp_path: Path) -> None:
    assert re.search(r"batch_size=self\._train_batch_size\b", SOURCE), "the batch size of a trial"
    args = arguments(tmp_path)
    for count in (1, 3):  # several GPUs in one process
        args._n_gpu = count
        assert args.n_gpu == count and args.train_batch_size == count * args.per_device_train_batch_size


def test_a_checkpoint_begins_with_the_model(tmp_path: Path, tiny_classifier: Any) -> None:
    """`save_model(folder, _internal_call=True)` is its first step, before the state that makes it complete."""
    asked: list[tuple[str, list[str]]] = []

    class Watched(EpisodicTrainer):
        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            super().save_model(output_dir, _internal_call)
            if _internal_call:
                asked.append((Path(str(output_dir)).name, [path.name for path in Path(str(output_dir)).iterdir()]))

    Watched(tiny_classifier(), arguments(tmp_path, save_steps=1), TRAIN).train()
    [(folder, files)] = asked
    assert folder == "checkpoint-1" and "episode_sampler.json" in files and "trainer_state.json" not in files


class OwnSampler(EpisodeSampler):
    pass


class OwnCollator(EpisodeCollator):
    pass


class OwnArguments(EpisodicTrainingArguments):
    pass


class OwnRecorder(Recorder):
    pass


class OwnTrainer(EpisodicTrainer):
    training_args_class = OwnArguments
    sampler_class = OwnSampler
    data_collator_class = OwnCollator
    model_card_callback_class = OwnRecorder


def test_parts_of_ones_own_take_the_place_of_the_usual(tmp_path: Path, tiny_classifier: Any) -> None:
    with pytest.raises(InvalidTypeError, match="type EpisodicTrainingArguments; give OwnArguments"):
        OwnTrainer(tiny_classifier(), arguments(tmp_path), TRAIN)
    trainer: Any = OwnTrainer(tiny_classifier(), arguments(tmp_path, OwnArguments), TRAIN, VALID)
    assert isinstance(trainer.sampler, OwnSampler) and isinstance(trainer.eval_samplers[""], OwnSampler)
    assert isinstance(trainer.data_collator, OwnCollator)
    callbacks: list[TrainerCallback] = trainer.callback_handler.callbacks
    assert any(isinstance(callback, OwnRecorder) for callback in callbacks)
    trainer.train()
    assert trainer.model.model_card_data.training is not None


def arguments(folder: Path, kind: Any = EpisodicTrainingArguments, **options: Any) -> Any:
    given = {"n_way": 2, "n_query": 1, "max_steps": 1, "use_cpu": True, "report_to": "none", "disable_tqdm": True}
    return kind(str(folder), **{**given, "save_strategy": "steps", "save_steps": 5, **options})
