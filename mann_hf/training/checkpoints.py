"""Finding checkpoints from which a run can be resumed."""

import json
import re
from pathlib import Path

from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

SAMPLER_FILE = "episode_sampler.json"
"""The state of the sampler, beside what the Trainer writes."""
STATE_FILE = "trainer_state.json"
"""What the Trainer writes last."""


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


def steps_done(folder: str | Path) -> int:
    """The number of steps at which a checkpoint was written."""
    return int(json.loads(Path(folder, STATE_FILE).read_text(encoding="utf-8"))["global_step"])
