"""What lies in the folder of a run, and whether a run may begin or go on there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..errors import InvalidInputError
from ..models.memory_files import MEMORY_FILE
from ..models.saving import recover, write_whole
from ..wording import listed
from .checkpoints import newest_checkpoint

logger = logging.get_logger(f"transformers.{__name__}")

CHECKPOINTS = "checkpoints"
RESULTS_FILE = "train_results.json"
SETTINGS_FILE = "run.json"
"""The settings of the run, beside its checkpoints."""
FREE = {"output", "max_steps", "report_to", "run_name", "logging_steps", "disable_tqdm", "use_cpu"}
FREE |= {"save_total_limit", "dataloader_num_workers", "push_to_hub", "hub_model_id", "hub_token"}
"""Settings that may be others when a run is resumed."""


def checkpoint_to_resume(settings: Mapping[str, Any], resume: bool) -> str | None:
    """The checkpoint that a run goes on from; None for one that begins.

    Args:
        settings: the fields of a `TrainingRun`.
        resume: whether it is to go on.

    Raises:
        InvalidInputError: the folder is a file, holds what has been taught, the checkpoints of an unfinished run that
            is not to be resumed, or those of a run with other settings.
    """
    folder = Path(settings["output"])
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; give a folder for the trained model.")
    if folder.is_dir():
        recover(folder)
    if (folder / MEMORY_FILE).exists():
        raise InvalidInputError(
            f"{folder} holds a memory that has been taught, and a trained model would take its place: choose another "
            "folder. To train on from it and keep what it was taught, give it as the encoder."
        )
    newest = newest_checkpoint(folder / CHECKPOINTS)
    if not resume:
        if newest is not None and not (folder / RESULTS_FILE).exists():
            raise InvalidInputError(
                f"{folder} holds the checkpoints of a run that did not come to its end: resume it (--resume, or "
                f"resume=True), or remove {folder / CHECKPOINTS} to start anew."
            )
        return None
    if newest is None:
        logger.warning(f"{folder} holds no checkpoint to go on from: the run starts anew.")
        return None
    file = folder / CHECKPOINTS / SETTINGS_FILE
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    now = _telling(settings)
    changed = [] if before is None else [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        raise InvalidInputError(
            f"{folder} holds the checkpoints of a run with other settings ({listed(changed)}): resume it with those it "
            "had, or train into another folder."
        )
    return newest


def begin(settings: Mapping[str, Any], resumed: bool) -> None:
    """Makes the folder that of this run, which has no results yet."""
    checkpoints = Path(settings["output"], CHECKPOINTS)
    if not resumed:  # checkpoints of another run, which this one could be taken for
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_whole(checkpoints / SETTINGS_FILE, (json.dumps(_telling(settings), indent=1) + "\n").encode())
    Path(settings["output"], RESULTS_FILE).unlink(missing_ok=True)


def _telling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run cannot change, in plain JSON."""
    flat = {**settings, **settings["arguments"]}
    kept = {name: value for name, value in flat.items() if name != "arguments" and name not in FREE}
    return json.loads(json.dumps(kept, default=str))
