"""Arguments and options that several commands take."""

from enum import Enum
from typing import Annotated, Any

import typer

from .errors import DEBUG


class ProblemType(str, Enum):
    """What labels are, by the names of `mann_hf.memory.reading.PROBLEM_TYPES`, which is slow to import."""

    SINGLE_LABEL = "single_label_classification"
    MULTI_LABEL = "multi_label_classification"
    REGRESSION = "regression"


def _keep(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.meta[DEBUG] = True
    return value


TABLE_HELP = (
    "A csv, tsv, json, json lines or parquet file (csv, tsv and json also .gz), or a data set on the Hub as 'name' or "
    "'name:configuration'."
)
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="The classifier's folder.", show_default=False)]
FolderOrHub = Annotated[
    str, typer.Argument(metavar="FOLDER", help="The classifier's folder, or its name on the Hub.", show_default=False)
]
Table = Annotated[str, typer.Argument(metavar="TABLE", help=TABLE_HELP, show_default=False)]
TextColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of texts.")]
LabelColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of labels.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_keep, is_eager=True, help="Show the traceback of an error.")]


def split_option(default: str) -> Any:
    """The option `--split` of a command that reads the split `default` of a data set unless told otherwise."""
    return typer.Option(metavar="NAME", help="The split of a Hub data set.", show_default=default)
