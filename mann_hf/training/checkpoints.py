"""Checkpoints: what they hold beside the Trainer's files, and from which of them a run can be resumed."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..errors import InvalidInputError
from ..hub.saving import write_whole
from ..models import adapters
from ..models.adapter_switches import has_adapter

SAMPLER_FILE = "episode_sampler.json"
"""The state of the sampler, beside what the Trainer writes."""
STATE_FILE = "trainer_state.json"
"""The file that the Trainer writes last, by which a checkpoint is known to be whole."""
RUN_SETTINGS = ("objective", "objective_options", "regularizers", "trainable", "label_names")
"""Arguments that a resumed run must share with its checkpoints."""


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint is complete; a process killed while writing leaves a part of one."""
    try:
        TrainerState.load_from_json(str(folder / STATE_FILE))
    except (OSError, ValueError, TypeError):
        return False
    return (folder / SAMPLER_FILE).is_file()


def newest_checkpoint(output_dir: str | Path) -> str | None:
    """The newest complete checkpoint of a run; None if there is none."""
    numbered = {}
    for folder in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        number = re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", folder.name)
        if number and is_whole(folder):
            numbered[int(number[1])] = str(folder)
    return numbered[max(numbered)] if numbered else None


def to_resume(checkpoint: str | bool | None, output_dir: str) -> str | None:
    """The folder of the checkpoint to resume; None for a run that starts.

    Args:
        checkpoint: a folder, or True for the newest complete one of the run.
        output_dir: where the run has its checkpoints.

    Raises:
        InvalidInputError: there is none, or it is not complete.
    """
    if checkpoint is True:
        newest = newest_checkpoint(output_dir)
        if newest is None:
            raise InvalidInputError(
                f"{output_dir} holds no complete checkpoint, so there is nothing to resume: call train() without "
                "resume_from_checkpoint."
            )
        return newest
    if checkpoint and not is_whole(Path(checkpoint)):
        raise InvalidInputError(f"{checkpoint} is not a complete checkpoint.")
    return checkpoint or None


def steps_done(folder: str | Path) -> int:
    """The number of steps at which a checkpoint was written."""
    return int(json.loads(Path(folder, STATE_FILE).read_text(encoding="utf-8"))["global_step"])


def run_settings(args: Any, model: Any, model_settings: Sequence[str]) -> dict[str, Any]:
    """The settings that a resumed run must share with its checkpoints, in plain JSON.

    Args:
        args: of the run.
        model: that it trains.
        model_settings: fields of the model's configuration that count.
    """
    settings = {name: getattr(args, name) for name in RUN_SETTINGS}
    settings |= {name: getattr(model.config, name) for name in model_settings}
    settings["adapter"] = adapters.described(model) if has_adapter(model) else None
    return json.loads(json.dumps(settings, default=str))


def begin(folder: Path, sampler_state: Mapping[str, Any]) -> None:
    """Writes the sampler's state into a checkpoint that is about to be written, and marks that as not complete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE_FILE).unlink(missing_ok=True)
    write_whole(folder / SAMPLER_FILE, (json.dumps(sampler_state) + "\n").encode())


def check_same_run(folder: str, sampler_state: Mapping[str, Any]) -> None:
    """Refuses to resume a checkpoint of another run; one without a sampler's state is let pass."""
    file = Path(folder, SAMPLER_FILE)
    if not file.is_file():
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [key for key in sampler_state if key != "num_processes" and before.get(key) != sampler_state[key]]
    if changed:
        raise InvalidInputError(
            f"{folder} was written by a run with other training data, episode settings, number of processes, seed, "
            f"objective or model ({', '.join(changed)}): it cannot be resumed. Start a new run from its weights, with "
            "from_pretrained."
        )


def load_adapter(model: Any, folder: str) -> None:
    """Puts the adapter of a checkpoint on a model that has the same one."""
    state = load_file(Path(folder, adapters.WEIGHTS))
    state.pop(adapters.BASE_PROBE)
    adapters.load_trained_state(model, state, folder)
