"""A memory in a folder that others teach as well: what each has taught and forgotten is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FolderChangedError
from ..hub.files import CONFIG
from ..hub.folder_lock import only_writer
from ..persistent.kinds import format_of
from .folder_saves import save_memory
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
                an eviction rule that merges has mixed examples in their slots.
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
                    merge = self._merge()
                    with self._undone_if_it_fails():
                        mine = self.model.memory
                        self.model.load_memory(self.folder)
                        self.model.update_memory(lambda theirs: (merge(self._saved, mine, theirs), None), forgets=True)
                        save_memory(self.model, self.folder, overwrite=False)
                self._saved = self.model.memory

    @contextmanager
    def _undone_if_it_fails(self) -> Iterator[None]:
        """Gives the model back its memory, and what it knows of folders, where the block raises."""
        mine, seen = self.model.memory, self.model.seen_memories
        try:
            yield
        except BaseException:
            self.model.update_memory(lambda _: (mine, None), forgets=True)
            self.model.seen_memories = seen
            raise

    def _merge(self) -> Callable[[Any, Any, Any], Any]:
        """What puts two memories together that began as one."""
        kind, why = format_of(self.model.memory), self.model.why_not_merged()
        if kind.merge is None:
            why = f"two memories of {kind.noun} cannot be put together. Load the folder again and teach it anew."
        if why is not None:
            raise FolderChangedError(
                f"nothing was saved: others have changed the memory in {self.folder} meanwhile, and {why}",
                str(self.folder),
            )
        assert kind.merge is not None
        return kind.merge
