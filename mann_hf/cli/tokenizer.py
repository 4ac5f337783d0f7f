"""`mann-hf tokenizer`: trains a tokenizer on the texts of files."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInputError
from ..wording import counted
from . import options as opt
from .classifier import is_new
from .interrupts import FolderChange
from .output import print_json, print_lines, progress_bar, working
from .tables import inputs_of, is_stream, read_table


class ModelType(str, Enum):
    """How SentencePiece finds pieces."""

    UNIGRAM = "unigram"
    BPE = "bpe"


@opt.reads_table("train", columns=("text_column",))
def tokenizer(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help=f"Texts. {opt.TABLE_HELP} A .txt file has a text a line.", show_default=False
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder to make, which is new or empty.", show_default=False)
    ],
    vocab_size: Annotated[
        int, typer.Option(min=5, metavar="N", help="Pieces in all, special tokens among them.", show_default=False)
    ],
    model_type: Annotated[ModelType, typer.Option(help="How pieces are found.")] = ModelType.UNIGRAM,
    lower_case: Annotated[bool, typer.Option("--lower-case", help="Lower-case all texts.")] = False,
    byte_fallback: Annotated[
        bool,
        typer.Option("--byte-fallback", help="Spell characters that the texts do not have by their bytes."),
    ] = False,
    options: opt.TableOptions,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Train a SentencePiece tokenizer on your own texts, for a model that is trained from scratch.

    Several columns of one table, such as those of two languages, are named with commas between them:
    `--text-column de,en`. AutoTokenizer loads the folder.
    """
    if not is_new(str(output)):
        raise InvalidInputError(f"{str(output)!r} is not empty; give a new or empty folder for the tokenizer.")
    texts = [text for file in files for text in _texts(file, options)]
    change = FolderChange(str(output), f"{output} holds no tokenizer.")
    with working():
        from ..controllers.tokenizer_training import train_tokenizer
        from ..hub.saving import whole_save

        with progress_bar("Reading", len(texts)) as advance:
            trained = train_tokenizer(
                texts,
                vocab_size,
                model_type=model_type.value,
                lower_case=lower_case,
                byte_fallback=byte_fallback,
                advance=advance,
            )
        with change, whole_save(output) as folder:
            trained.save_pretrained(folder)
    ids = {name: getattr(trained, f"{name}_token_id") for name in ("pad", "eos", "unk", "bos")}
    if as_json:
        print_json({"folder": str(output), "texts": len(texts), "vocab_size": len(trained), **ids})
    else:
        print_lines(
            f"{output} holds a tokenizer of {counted(len(trained), 'token')}, trained on {counted(len(texts), 'text')} "
            f"({', '.join(f'{name} {number}' for name, number in ids.items())})."
        )


def _texts(file: str, options: opt.TableOptions) -> Iterator[str]:
    """The texts of one file, of each column that is named."""
    columns = (options.text_column or "").split(",")
    if len(columns) > 1 and is_stream(file):
        raise typer.BadParameter("several columns are read from files alone.", param_hint="--text-column")
    for column in columns:
        found = read_table(file, options._replace(text_column=column.strip() or None), "train", labels=False)
        yield from inputs_of(found, options.skip_bad_rows).inputs
