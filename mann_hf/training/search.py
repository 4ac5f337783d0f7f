"""Hyperparameter search over the settings of episodes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .arguments import COUNTS, EpisodicTrainingArguments


def default_objective(args: EpisodicTrainingArguments) -> tuple[Callable[[dict[str, float]], float], str]:
    """`metric_for_best_model` as what a search optimises, and the direction in which it gets better."""
    name = f"eval_{(args.metric_for_best_model or 'accuracy').removeprefix('eval_')}"
    return lambda metrics: metrics[name], "minimize" if name.endswith("loss") else "maximize"


@contextmanager
def setting_trial(args: EpisodicTrainingArguments) -> Iterator[None]:
    """Lets a `Trainer` write a trial's settings into the arguments, numbers and ranges among them."""
    before, counts = args.episodes_per_step, {name: getattr(args, name) for name in COUNTS}
    for name in COUNTS:  # or the Trainer would turn a range into the type that the setting had
        setattr(args, name, None)
    yield
    for name in COUNTS:
        if getattr(args, name) is None:
            setattr(args, name, counts[name])
    if args.episodes_per_step not in (None, before):
        args.per_device_train_batch_size = args.episodes_per_step
    else:
        args.episodes_per_step = args.per_device_train_batch_size
    args.read_counts()
