"""Arguments and options that several commands take."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Annotated, Any, NamedTuple

import typer

from ..errors import InvalidInputError
from ..targets.schema import LabelSchema, Numbers, OneName, SeveralNames
from .errors import DEBUG

SINGLE_LABEL, MULTI_LABEL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
SCHEMAS: dict[str, LabelSchema] = {SINGLE_LABEL: OneName(), MULTI_LABEL: SeveralNames(), REGRESSION: Numbers()}
"""The labels of each problem type of the library; the registry of all of them takes seconds to import."""


class Format(str, Enum):
    """The format of a table, called by the ending of its files; `lines` is a text on each line."""

    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    XLSX = "xlsx"
    LINES = "lines"


def as_delimiter(value: str | None) -> str | None:
    """The delimiter that a sign or a name, such as `tab`, stands for."""
    if value is None:
        return None
    value = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "bar": "|"}.get(value, value)
    if len(value) != 1 or value in '"\r\n':
        raise typer.BadParameter(f"{value!r} is not a delimiter; give one character, such as ';' or ',', or tab.")
    return value


class TableOptions(NamedTuple):
    """How to read a table: the options of all commands that read one, by `reads_table`."""

    text_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of texts.", show_default="text, or another usual name"),
    ] = None
    image_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of images: paths of files, relative to the table's folder.",
            show_default="image, or another usual name",
        ),
    ] = None
    label_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of labels.", show_default="label, or another usual name"),
    ] = None
    source_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of sources.", show_default="source, or another usual name"),
    ] = None
    target_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of targets.", show_default="target, or another usual name"),
    ] = None
    split: str | None = None  # its help names the usual split of the command
    format: Annotated[
        Format | None, typer.Option(help="The format of the table.", show_default="by its name or content")
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN",
            callback=as_delimiter,
            help="The sign between the cells of a csv file.",
            show_default="found in the file",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The encoding of a text file, such as cp1252.",
            show_default="utf-8, or found in the file",
        ),
    ] = None
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header",
            help="The table has no header: columns are named 1, 2, ...; if there are two, inputs are in 1 and labels "
            "in 2.",
        ),
    ] = False
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows", help="Skip and list rows that cannot be used, instead of stopping at the first."
        ),
    ] = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "TableOptions":
        """The options among the settings of a yaml file, or among the parameters of a command.

        Raises:
            InvalidInputError: there is no such format.
        """
        given = {name: settings[name] for name in cls._fields if settings.get(name) is not None}
        if "format" in given:
            formats = [each.value for each in Format]
            if given["format"] not in formats:
                raise InvalidInputError(f"format is {given['format']!r}; choose one of {', '.join(formats)}.")
            given["format"] = Format(given["format"])
        given["delimiter"] = as_delimiter(given.get("delimiter"))
        return cls(**given)


COLUMNS = ("text_column", "image_column", "label_column")
"""Options for the columns of a table of labelled inputs."""
PAIR_COLUMNS = ("source_column", "target_column")
"""Options for the columns of a table of pairs."""


def reads_table(
    usual_split: str, columns: Collection[str] = COLUMNS
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a table in place of its parameter `options`, which gets them all.

    Args:
        usual_split: the split that is read where none is named.
        columns: the options for columns that the command has.
    """
    split = typer.Option(
        metavar="NAME",
        help="The split of a Hub data set or a folder; the sheet of an Excel file.",
        show_default=usual_split,
    )
    kinds = inspect.get_annotations(TableOptions) | {"split": Annotated[str | None, split]}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kinds[name])
        for name, default in TableOptions._field_defaults.items()
        if name in columns or not name.endswith("_column")
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            options = TableOptions.of(given)
            command(**{name: value for name, value in given.items() if name not in kinds}, options=options)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            parameters += added if each.name == "options" else [each]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _keep(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.meta[DEBUG] = True
    return value


def schema_of(problem_type: str) -> LabelSchema:
    """The labels of a problem type: how they are spelled, stored and shown.

    Raises:
        UnknownNameError: there is no such problem type in `mann_hf.targets.TARGETS`.
    """
    if problem_type in SCHEMAS:
        return SCHEMAS[problem_type]
    from ..targets import targets_of

    return targets_of(problem_type)


def _as_problem_type(value: str | None) -> str | None:
    """Checks the name of a problem type."""
    if value is None or value in SCHEMAS:
        return value
    from ..targets.kinds import problem_types

    if value not in problem_types():
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, problem_types()))}.")
    return value


TABLE_HELP = (
    "A csv, tsv, json, json lines, parquet or Excel file (text files also compressed, as .gz); a folder of such files; "
    "a folder with a folder of .txt files or of images for each class; - for standard input; or a data set on the Hub, "
    "as 'name' or 'name:configuration'."
)
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="The classifier's folder.", show_default=False)]
FolderOrHub = Annotated[
    str, typer.Argument(metavar="FOLDER", help="The classifier's folder, or its name on the Hub.", show_default=False)
]
Table = Annotated[str, typer.Argument(metavar="TABLE", help=TABLE_HELP, show_default=False)]
ProblemType = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_as_problem_type,
        help=f"For a new folder: whether an input has one label ({SINGLE_LABEL}), several labels ({MULTI_LABEL}) or a "
        f"number ({REGRESSION}).",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_keep, is_eager=True, help="Show the traceback of an error.")]
