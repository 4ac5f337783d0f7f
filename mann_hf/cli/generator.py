"""Makes, opens and teaches a model that generates texts from pairs, and has it forget."""

import shlex
from typing import TYPE_CHECKING, Any

import typer

from ..errors import EmptyMemoryError, NotInMemoryError
from ..wording import counted
from . import options as opt
from .classifier import find_config, is_generator, is_new
from .interrupts import FolderChange
from .modalities import SOURCE
from .output import print_json, print_lines, progress_bar, say, working
from .tables import TARGET, pairs_of, read_table

if TYPE_CHECKING:
    from ..pipelines import MemoryAugmentedGenerationPipeline

GENERATES = "seq2seq"
"""The modality of models that generate."""


def open_generator(place: str, taught: bool = False) -> "MemoryAugmentedGenerationPipeline":
    """The model in a folder or on the Hub.

    Raises:
        EmptyMemoryError: it is to be `taught`, and its memory is empty; the command that teaches is named.
    """
    from ..pipelines import MemoryAugmentedGenerationPipeline

    kind = MemoryAugmentedGenerationPipeline
    generator = kind(model=kind.model_class.from_pretrained(place))
    if taught and not len(generator.model.memory):
        raise EmptyMemoryError(
            f"the memory in {place!r} is empty; teach it with `mann-hf remember {shlex.quote(place)} TABLE`."
        )
    return generator


def teaches_pairs(folder: str, seq2seq: str | None) -> bool:
    """Whether a folder is that of a model that generates, which is made around `seq2seq` if it is new.

    Raises:
        InvalidInputError: there is no model in it.
    """
    if is_new(folder):
        return seq2seq is not None
    generates = is_generator(config := find_config(folder, on_hub=False, generators=True))
    if seq2seq is not None and not generates:
        raise typer.BadParameter(f"{folder} holds a classifier.", param_hint="--seq2seq")
    if seq2seq is not None and seq2seq != config.get("encoder_name"):
        raise typer.BadParameter(
            f"the model in {folder} is made of {config.get('encoder_name')!r}: leave it out, or teach a new folder.",
            param_hint="--seq2seq",
        )
    return generates


def remember_pairs(
    folder: str,
    table: str,
    options: opt.TableOptions,
    *,
    seq2seq: str | None,
    interpolation: float | None,
    as_json: bool,
) -> None:
    """Teaches the model in a folder, which is made if need be, the pairs of a table. The caller holds its lock."""
    new = is_new(folder)
    state = "holds no model" if new else "is as it was"
    change = FolderChange(folder, f"nothing of {table} was kept, and {folder} {state}.")
    pairs = pairs_of(read_table(table, options, "train", inputs=(SOURCE,), answer=TARGET), options.skip_bad_rows)
    with working():
        generator = _made(str(seq2seq), interpolation) if new else open_generator(folder)
        with progress_bar("Remembering", len(pairs.inputs)) as progress:
            ids = generator.remember(pairs.inputs, pairs.labels, progress=progress)
        with change:
            if new:
                generator.save_pretrained(folder)
            else:
                generator.save_memory(folder)
    memory = generator.model.memory
    if repeated := len(ids) - len(set(ids)):
        say(f"{table}: {counted(repeated, 'row repeats', 'rows repeat')} a pair; each is stored once.")
    if as_json:
        print_json({"folder": folder, "encoder": generator.model.config.encoder_name, "ids": ids, "pairs": len(memory)})
    else:
        print_lines(f"Remembered {counted(len(ids), 'pair')}; {folder} now holds {counted(len(memory), 'pair')}.")


def _made(seq2seq: str, interpolation: float | None) -> "MemoryAugmentedGenerationPipeline":
    from ..pipelines import MemoryAugmentedGenerationPipeline

    kind = MemoryAugmentedGenerationPipeline
    fields: dict[str, Any] = {} if interpolation is None else {"interpolation": interpolation}
    return kind(model=kind.model_class.from_seq2seq_pretrained(seq2seq, **fields))


def forget_pairs(folder: str, ids: list[int], sources: list[str], as_json: bool) -> None:
    """Removes pairs from the memory of a folder's model, by their ids or their sources. The caller holds its lock."""
    change = FolderChange(folder, f"nothing was forgotten, and {folder} is as it was.")
    with working():
        from ..persistent.pairs import ids_of_texts

        generator = open_generator(folder)
        before = generator.model.memory.ids
        try:
            memory = generator.model.memory
            generator.forget(ids or sorted(set().union(*(ids_of_texts(memory, source) for source in sources))))
        except NotInMemoryError:
            generator.save_memory(folder)  # an earlier command that was killed may have left the text in other files
            raise
        with change:
            generator.save_memory(folder)
    memory = generator.model.memory
    gone = sorted(before - memory.ids)
    if as_json:
        print_json({"folder": folder, "ids": gone, "pairs": len(memory)})
    else:
        print_lines(f"Forgot {counted(len(gone), 'pair')}; {folder} now holds {counted(len(memory), 'pair')}.")
