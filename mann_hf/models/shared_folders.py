"""A memory in a folder that others teach as well: what each has taught and forgotten is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import FolderChangedError
from ..hub.files import CONFIG
from ..hub.folder_lock import only_writer
from .folder_saves import save_memory
from .labelled_memory import LabelledMemory
from .modeling_mann import MANNPreTrainedModel


class SharedFolder:
    """Saves a model's memory after each change, with what others have changed in the folder meanwhile.

    The folder is locked only while it is written to.

    Args:
        model: as it was loaded from the folder.
        folder: of the model.
    """

    def __init__(self, model: MANNPreTrainedModel, folder: Path) -> None:
        self.model, self.folder = model, folder
        self._saved = model.memory

    def save(self) -> None:
        """Saves the memory; if others have changed the one in the folder, the model takes their changes over first.

        Raises:
            FolderChangedError: the folder was removed, or the memories cannot be merged: they keep no texts, or
                `eviction="kaiser"` has mixed examples in their slots.
            EncoderMismatchError: others have put the memory of another encoder there.
        """
        with only_writer(self.folder):
            if not (self.folder / CONFIG).exists():
                raise FolderChangedError(f"{self.folder} holds no model any more: it was removed.", str(self.folder))
            with self.model.unchanged_memory():
                try:
                    save_memory(self.model, self.folder, overwrite=False)
                except FolderChangedError:
                    if not self.model.config.store_texts:
                        raise
                    self._check_mergeable()
                    with self._undone_if_it_fails():
                        mine = self.model.memory
                        self.model.load_memory(self.folder)
                        self.model._swap(lambda theirs: (merged(self._saved, mine, theirs), None), forgets=True)
                        save_memory(self.model, self.folder, overwrite=False)
                self._saved = self.model.memory

    @contextmanager
    def _undone_if_it_fails(self) -> Iterator[None]:
        """Gives the model back its memory, and what it knows of folders, where the block raises."""
        mine, seen = self.model.memory, self.model.seen_memories
        try:
            yield
        except BaseException:
            self.model._swap(lambda _: (mine, None), forgets=True)
            self.model.seen_memories = seen
            raise

    def _check_mergeable(self) -> None:
        law = self.model.memory.law
        if law.capacity is not None and law.eviction_name == "kaiser":
            raise FolderChangedError(
                f"nothing was saved: others have changed the memory in {self.folder} meanwhile, and with "
                'eviction="kaiser", which mixes examples in one slot, two memories cannot be put together. Load the '
                "folder again and teach your examples anew.",
                str(self.folder),
            )


def merged(before: LabelledMemory, mine: LabelledMemory, theirs: LabelledMemory) -> LabelledMemory:
    """Another's memory with what was taught and forgotten here. An example that both taught again counts for both.

    Args:
        before: what both began with.
        mine: what became of it here.
        theirs: what became of it elsewhere.
    """
    gone = (before.ids.keys() - mine.ids.keys()) & theirs.ids.keys()
    if gone:
        theirs = theirs.forget(gone)
    theirs = _counted_again(before, mine, theirs)
    new = [slot for id_, slot in mine.ids.items() if id_ not in before.ids and id_ not in theirs.ids]
    if not new:
        return theirs
    entries = [mine.entries[slot] for slot in new]
    together = theirs.remember(
        mine.state.keys[0, new],
        [entry.label for entry in entries],
        [entry.text for entry in entries],
        [entry.kind for entry in entries],
        dict(mine.names),
    )[0]
    more = {entry.id: int(mine.state.write_count[0, slot]) - 1 for entry, slot in zip(entries, new, strict=True)}
    return _counted(together, more)


def _counted_again(before: LabelledMemory, mine: LabelledMemory, theirs: LabelledMemory) -> LabelledMemory:
    """Another's memory in which examples count for more that both have, and that were taught again here."""
    counts = {
        id_: int(mine.state.write_count[0, slot])
        - (int(before.state.write_count[0, before.ids[id_]]) if id_ in before.ids else 0)
        for id_, slot in mine.ids.items()
        if id_ in theirs.ids
    }
    return _counted(theirs, counts)


def _counted(memory: LabelledMemory, times: dict[int, int]) -> LabelledMemory:
    """The memory in which entries count for more: by their ids, how often they were taught again."""
    again = {memory.ids[id_]: count for id_, count in times.items() if count > 0 and id_ in memory.ids}
    if not again:
        return memory
    state = memory.law.count(memory.state, torch.tensor([*again]), torch.tensor([*again.values()]))
    return replace(memory, state=state)
