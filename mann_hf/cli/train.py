"""`mann-hf train`: trains an encoder on many small tasks (episodes) that are drawn from a table."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from ..hub.files import CONFIG, read_object
from ..hub.near_paths import near_paths
from ..wording import as_count, counted, did_you_mean
from . import options as opt
from .classifier import MODEL_TYPE
from .modalities import MODALITIES, TEXT, USUAL_ENCODERS, all_modalities, default_encoder, modality_of
from .output import print_json, print_lines, say, training_bar, working
from .tables import checked, examples_of, read_table

YAML = (".yaml", ".yml")
NO_SETTINGS = {"table", "resume", "overwrite", "as_json", "debug"}
"""Parameters of the command that are no settings of a run."""
LOGS = "logs"
"""TensorBoard's folder inside the model's folder."""
LOGS_VARIABLE = "TENSORBOARD_LOGGING_DIR"
"""The environment variable that names the folder of transformers' TensorBoardCallback."""


@opt.reads_table("train")
def train(
    ctx: typer.Context,
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A table of labelled texts or images (a file, a folder or a data set on the Hub), or a yaml file of "
            "a run's settings.",
            show_default=False,
        ),
    ],
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The encoder, or a model to train further: a folder or a name on the Hub.",
            show_default=USUAL_ENCODERS,
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="The trained model's folder.")
    ] = "trained",
    valid: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Labelled inputs of other classes, to choose the best checkpoint; by default a fifth of the classes.",
            show_default=False,
        ),
    ] = None,
    n_way: Annotated[str, typer.Option(metavar="N", help="Number of classes in an episode, or a range: 5-10.")] = "5",
    k_shot: Annotated[
        str, typer.Option(metavar="K", help="Number of support examples of each class, or a range: 1-5.")
    ] = "1",
    n_query: Annotated[str, typer.Option(metavar="Q", help="Number of queries of each class.")] = "5",
    episodes_per_step: Annotated[int, typer.Option(metavar="B", help="Number of episodes in a step.")] = 4,
    max_steps: Annotated[int, typer.Option(metavar="STEPS", help="The largest number of steps.")] = 300,
    learning_rate: Annotated[float, typer.Option(metavar="RATE", help="The highest learning rate.")] = 1e-5,
    objective: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The loss function: episode, leave_one_out, label_semantic, resampled or supervised_contrastive.",
        ),
    ] = "episode",
    label_names: Annotated[bool, typer.Option("--label-names", help="Store label names beside the support.")] = False,
    lora_rank: Annotated[
        int | None, typer.Option(metavar="R", help="Train only a LoRA adapter, of this rank.", show_default=False)
    ] = None,
    eval_every: Annotated[int, typer.Option(metavar="STEPS", help="Steps between two evaluations.")] = 50,
    eval_episodes: Annotated[int, typer.Option(metavar="E", help="Number of episodes in an evaluation.")] = 600,
    patience: Annotated[
        int, typer.Option(metavar="P", min=1, help="Stop after this many evaluations without an improvement.")
    ] = 3,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Random seed of episodes and training.")] = 0,
    report_to: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"Also report curves to tensorboard (in FOLDER/{LOGS}) or trackio; or none."),
    ] = "none",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint in the folder, if there is one.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Start again where another run or model is, but not in a folder that was taught.",
        ),
    ] = False,
    options: opt.TableOptions,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Train an encoder on many small tasks, so that it classifies new classes better from a few examples.

    Teach the trained folder with `mann-hf remember`. A yaml file has the same settings under the same names (with _ for
    -), `train` for the table or for several tables by name, and any of transformers' TrainingArguments; options on the
    command line replace those of the file. Several tables are mixed, and need `valid`, or `valid_share: 0` for none.
    """
    given = {name: value for name, value in ctx.params.items() if name not in NO_SETTINGS}
    given |= {name: _count(f"--{name.replace('_', '-')}", given[name]) for name in ("n_way", "k_shot", "n_query")}
    tables: Any = table
    if table.lower().endswith(YAML):
        settings = _read_yaml(table)
        given = {name: value for name, value in given.items() if name not in settings or _was_given(ctx, name)}
        given |= {name: value for name, value in settings.items() if name not in given}
        tables = given.pop("train")
        resume = bool(given.pop("resume", False)) or resume
        overwrite = bool(given.pop("overwrite", False)) or overwrite
        options = opt.TableOptions.of(given)
    given = {name: value for name, value in given.items() if name not in opt.TableOptions._fields}
    valid, valid_split = given.pop("valid", None), given.pop("valid_split", None)
    if valid_split is not None and valid is None:
        raise InvalidInputError("valid_split needs valid, the table that it is a split of.")
    if isinstance(tables, list):
        raise InvalidInputError(
            "train is a list of tables; give them by name, as in `train: {one: one.csv, two: two.csv}`."
        )
    inputs = _inputs_of(given["encoder"])
    named = tables if isinstance(tables, dict) else {"": tables}
    parts = {str(name): _data_set(each, options, inputs) for name, each in named.items()}
    kinds = list(dict.fromkeys(kind for _, kind in parts.values()))
    if len(kinds) > 1:
        raise InvalidInputError(
            f"some tables hold {' and others '.join(f'{kind}s' for kind in kinds)}; an encoder is trained on one kind."
        )
    kind = kinds[0]
    train_data: Any = {name: part for name, (part, _) in parts.items()}
    train_data = train_data if isinstance(tables, dict) else train_data[""]
    valid_data = None
    if valid is not None:
        valid_data, _ = _data_set(valid, options._replace(split=valid_split), (kind,))
    given["encoder"] = given["encoder"] or default_encoder(kind)
    given |= {"text_column": "text", "label_column": "label", "disable_tqdm": True}
    if kind != TEXT:
        given |= {"input_column": kind, "model_options": {**given.get("model_options", {}), "modality": kind}}
    if isinstance(given.get("source_weights"), dict):  # yaml may take names for numbers
        given["source_weights"] = {str(name): weight for name, weight in given["source_weights"].items()}
    with working():
        from ..training.callbacks import Progress
        from ..training.run import TrainingRun

        run = TrainingRun.from_dict({"logging_steps": 10, **given})
        with _logs_in(Path(run.output, LOGS)), training_bar(run.arguments["max_steps"]) as advance:
            result = run.train(train_data, valid_data, [Progress(say, advance)], resume, overwrite)
    from accelerate import PartialState

    if not PartialState().is_main_process:  # of several processes the first alone speaks
        return
    if as_json:
        print_json({"folder": run.output, **{name: result[name] for name in ("before", "after", "steps", "best_step")}})
        return
    lines = [f"Trained for {counted(result['steps'], 'step')}; the model is in {run.output}."]
    if result["after"]:
        was, now = (100 * result[when]["accuracy"] for when in ("before", "after"))
        lines.append(
            f"Accuracy on episodes of classes kept from training: {was:.2f} % before, {now:.2f} % after "
            f"(± {100 * result['after']['accuracy_ci95']:.2f})."
        )
        if "unknown_auroc" in result["after"]:
            was, now = (result[when]["unknown_auroc"] for when in ("before", "after"))
            lines.append(
                f"{kind.capitalize()}s of other classes are recognised by their scores: AUROC {was:.3f} before, "
                f"{now:.3f} after."
            )
    print_lines(*lines, f"Teach it: mann-hf remember {run.output} TABLE")


def _was_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _count(option: str, text: str) -> Any:
    """A number, or a range such as 5-10."""
    try:
        return as_count("it", text)
    except InvalidInputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


@contextmanager
def _logs_in(folder: Path) -> Iterator[None]:
    """Within the block TensorBoard's logs go to a folder, unless the user's environment names another."""
    if LOGS_VARIABLE in os.environ:
        yield
        return
    os.environ[LOGS_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[LOGS_VARIABLE]


def _read_yaml(path: str) -> dict[str, Any]:
    import yaml

    if not os.path.exists(path):
        meant = near_paths(path, lambda each: each.is_file() and each.suffix.lower() in YAML)
        raise InvalidInputError(f"there is no file {path!r}; {did_you_mean(meant) or 'give a yaml file or a table.'}")
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path!r} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{path!r} is not valid yaml: {error}") from None
    if not isinstance(settings, dict) or not settings.get("train"):
        raise InvalidInputError(
            f"{path!r} does not describe a run: it needs at least `train: TABLE`, or several tables by name."
        )
    return settings


def _inputs_of(encoder: str | None) -> tuple[str, ...]:
    """What the inputs may be: those of a model to train further, or any of an encoder."""
    path = Path(encoder or "", CONFIG)
    config = read_object(path) if encoder is not None and path.is_file() else {}
    return (modality_of(config, encoder or ""),) if config.get("model_type") == MODEL_TYPE else all_modalities()


def _data_set(table: Any, options: opt.TableOptions, inputs: tuple[str, ...]) -> tuple[Any, str]:
    """The labelled inputs of a table, and what they are; files are paths."""
    found = read_table(str(table), options, "train", inputs=inputs)
    examples = examples_of(found, opt.SINGLE_LABEL, options.skip_bad_rows)
    from datasets import Dataset, DatasetInfo

    if check := MODALITIES[found.kind].check:
        examples, _ = checked(found, examples, check, options.skip_bad_rows)
    info = DatasetInfo(dataset_name=found.dataset_id or found.name)
    located = list(map(found.located, examples.inputs))
    return Dataset.from_dict({found.kind: located, "label": examples.labels}, info=info), found.kind
