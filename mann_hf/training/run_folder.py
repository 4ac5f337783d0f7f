"""The folder of a run: whether a run may start or continue there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME, logging

from ..errors import InvalidInputError
from ..hub.files import MEMORY_FILE
from ..hub.saving import recover, write_whole
from ..wording import listed
from .checkpoints import newest_checkpoint, steps_done

logger = logging.get_logger(f"transformers.{__name__}")

CHECKPOINTS = "checkpoints"
RESULTS_FILE = "train_results.json"
SETTINGS_FILE = "run.json"
"""The settings of the run, beside its checkpoints."""
RESUME = "(--resume, or resume=True)"
FREE = {"output", "max_steps", "report_to", "run_name", "logging_steps", "disable_tqdm", "use_cpu"}
FREE |= {"save_total_limit", "dataloader_num_workers", "push_to_hub", "hub_model_id", "hub_token"}
"""Settings that may be others when a run is resumed."""


def checkpoint_to_resume(settings: Mapping[str, Any], resume: bool, overwrite: bool = False) -> str | None:
    """The checkpoint from which a run continues; None for a run that starts.

    Raises:
        InvalidInputError: the folder is a file, holds what has been taught, a model or checkpoints that the run is
            neither to resume nor to overwrite, or the checkpoints of a run with other settings.
    """
    folder = Path(settings["output"])
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; give a folder for the trained model.")
    if folder.is_dir():
        recover(folder)
    if (folder / MEMORY_FILE).exists():
        raise InvalidInputError(
            f"{folder} holds a classifier with a taught memory, which training would replace: choose another folder, "
            "also with --overwrite. To train that classifier further and keep its memory, give it as the encoder."
        )
    newest = newest_checkpoint(folder / CHECKPOINTS)
    if newest is None or not resume:
        if not overwrite:
            _check_nothing_lost(folder, newest)
        if resume:
            logger.warning(f"{folder} holds no checkpoint to resume from: the run starts from the beginning.")
        return None
    file = folder / CHECKPOINTS / SETTINGS_FILE
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    now = _telling(settings)
    changed = [] if before is None else [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        raise InvalidInputError(
            f"{folder} holds the checkpoints of a run with other settings ({listed(changed)}): resume it with its own "
            "settings, or train into another folder."
        )
    return newest


def _check_nothing_lost(folder: Path, newest: str | None) -> None:
    """Refuses to begin a run where another one, or another model, has been."""
    anew = "(--overwrite, or overwrite=True)"
    if (folder / RESULTS_FILE).exists():
        on = f"resume it with more steps {RESUME}, " if newest else ""
        raise InvalidInputError(f"{folder} holds a finished run: {on}replace it {anew}, or choose another folder.")
    if newest is not None:
        raise InvalidInputError(
            f"{folder} holds the checkpoints of an unfinished run, up to step {steps_done(newest)}: resume it "
            f"{RESUME}, replace it {anew}, or choose another folder."
        )
    if (folder / CONFIG_NAME).exists():
        raise InvalidInputError(
            f"{folder} holds a model, which training would replace: allow it {anew}, or choose another folder."
        )


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
