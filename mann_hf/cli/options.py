"""Arguments and options that several commands take."""

from collections.abc import Mapping
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


class TableOptions(NamedTuple):
    """How to read a table.

    Attributes:
        text_column: the name of the column of texts; by default a usual name is looked for.
        image_column: the name of the column of images, which are paths of files; by default, too.
        label_column: the name of the column of labels; by default a usual name is looked for.
        split: the split of a data set or a folder, or the sheet of an Excel file.
        format: the format; by default it follows from the name or the content.
        delimiter: the sign between the cells of csv and tsv files; by default it is detected.
        encoding: the encoding of text files; by default UTF-8, or what is detected.
        header: whether the first row names the columns.
        skip_bad_rows: whether rows that cannot be used are skipped and listed; otherwise they are an error.
    """

    text_column: str | None = None
    label_column: str | None = None
    image_column: str | None = None
    split: str | None = None
    format: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    skip_bad_rows: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "TableOptions":
        """The options among the parameters of a command, or among the settings of a yaml file.

        Raises:
            InvalidInputError: there is no such format.
        """
        format = settings.get("format")
        if format is not None and format not in [each.value for each in Format]:
            raise InvalidInputError(f"format is {format!r}; choose one of {', '.join(each.value for each in Format)}.")
        return cls(
            text_column=settings.get("text_column"),
            label_column=settings.get("label_column"),
            image_column=settings.get("image_column"),
            split=settings.get("split"),
            format=None if format is None else Format(format),
            delimiter=as_delimiter(settings.get("delimiter")),
            encoding=settings.get("encoding"),
            header=not settings.get("no_header"),
            skip_bad_rows=bool(settings.get("skip_bad_rows")),
        )


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


def as_delimiter(value: str | None) -> str | None:
    """The delimiter that a sign or a name, such as `tab`, stands for."""
    if value is None:
        return None
    value = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "bar": "|"}.get(value, value)
    if len(value) != 1 or value in '"\r\n':
        raise typer.BadParameter(f"{value!r} is not a delimiter; give one character, such as ';' or ',', or tab.")
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
TextColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of texts.", show_default="text, or another usual name"),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column of images: paths of files, relative to the table's folder.",
        show_default="image, or another usual name",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of labels.", show_default="label, or another usual name"),
]
TableFormat = Annotated[
    Format | None,
    typer.Option("--format", help="The format of the table.", show_default="by its name or content"),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="SIGN",
        callback=as_delimiter,
        help="The sign between the cells of a csv file.",
        show_default="found in the file",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The encoding of a text file, such as cp1252.", show_default="utf-8, or found in the file"
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option(
        "--no-header",
        help="The table has no header: columns are named 1, 2, ...; if there are two, inputs are in 1 and labels in 2.",
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option("--skip-bad-rows", help="Skip and list rows that cannot be used, instead of stopping at the first."),
]
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


def split_option(default: str) -> Any:
    """The option `--split` of a command; `default` is the split of a data set that it reads by default."""
    return typer.Option(
        metavar="NAME",
        help="The split of a Hub data set or a folder; the sheet of an Excel file.",
        show_default=default,
    )
