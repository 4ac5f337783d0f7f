"""A memory in a folder that others teach as well: what each has taught and forgotten is kept."""

from pathlib import Path

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
            FolderChangedError: the folder was removed, or its memory keeps no texts and cannot be merged.
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
                    mine = self.model.memory
                    self.model.load_memory(self.folder)
                    theirs = self.model.memory
                    self.model._swap(lambda _: (merged(self._saved, mine, theirs), None), forgets=True)
                    save_memory(self.model, self.folder, overwrite=False)
                self._saved = self.model.memory


def merged(before: LabelledMemory, mine: LabelledMemory, theirs: LabelledMemory) -> LabelledMemory:
    """Another's memory with what was taught and forgotten here.

    Args:
        before: what both began with.
        mine: what became of it here.
        theirs: what became of it elsewhere.
    """
    gone = (before.ids.keys() - mine.ids.keys()) & theirs.ids.keys()
    if gone:
        theirs = theirs.forget(gone)
    new = [slot for id_, slot in mine.ids.items() if id_ not in before.ids and id_ not in theirs.ids]
    if not new:
        return theirs
    entries = [mine.entries[slot] for slot in new]
    return theirs.remember(
        mine.state.keys[0, new],
        [entry.label for entry in entries],
        [entry.text for entry in entries],
        [entry.kind for entry in entries],
        dict(mine.names),
    )[0]
