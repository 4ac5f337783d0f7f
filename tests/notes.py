"""A memory of another kind than the library's own, and a model on it: notes, each a text by its number, without labels.

The model wraps a BERT, has a projection to keys and a gate by which the memory is read, and inputs of a modality of its
own whose processor takes texts.
"""

import hashlib
import json
from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mann_hf.cards import PairFacts
from mann_hf.controllers.kinds import CONTROLLERS, TextController
from mann_hf.controllers.processor import InputProcessor
from mann_hf.controllers.text_processor import TextProcessor
from mann_hf.errors import NotInMemoryError
from mann_hf.hub.files import MEMORY_FILE
from mann_hf.models import MANNBaseConfig, MANNEncoder, MANNPreTrainedModel
from mann_hf.models.embedding import embed_checked, evaluating
from mann_hf.models.few_shot_tasks import task_of
from mann_hf.persistent.kinds import MEMORY_FORMATS, MemoryFormat

FORMAT = "tests.notes"
K = 8


@dataclass(frozen=True)
class Notes:
    """A memory of notes: a key [N, K] and a text for each."""

    keys: Tensor
    held: dict[int, str] = field(default_factory=dict)
    probe: Tensor | None = None
    encoder_name: str | None = None
    adapters: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.held)

    @property
    def key_size(self) -> int:
        return self.keys.shape[1]

    @property
    def device(self) -> torch.device:
        return self.keys.device

    @property
    def summary(self) -> str:
        return f"{len(self)} notes"

    @property
    def ids(self) -> Set[int]:
        return self.held.keys()

    @property
    def texts(self) -> Set[str]:
        return {*self.held.values()}

    def to(self, device: torch.device | str) -> "Notes":
        return replace(self, keys=self.keys.to(device))

    def remember(self, keys: Tensor, texts: list[str]) -> "Notes":
        held = {int(hashlib.sha256(text.encode()).hexdigest()[:8], 16): text for text in texts}
        return replace(self, keys=torch.cat([self.keys, keys]), held={**self.held, **held})

    def forget(self, ids: Iterable[Any] | None = None) -> "Notes":
        gone = {*(ids or ())}
        if missing := sorted(gone - self.held.keys()):
            raise NotInMemoryError(f"there is no note {missing}", missing)
        rows = [row for row, one in enumerate(self.held) if one not in gone]
        return replace(self, keys=self.keys[rows], held={i: t for i, t in self.held.items() if i not in gone})


def write(memory: Notes, folder: Path) -> None:
    assert memory.probe is not None
    said = json.dumps({"held": memory.held, "encoder": memory.encoder_name}).encode()
    tensors = {"keys": memory.keys, "probe": memory.probe, "said": torch.frombuffer(bytearray(said), dtype=torch.uint8)}
    save_file(tensors, folder / MEMORY_FILE, metadata={"format": f"{FORMAT}/1"})


def read(path: Path, version: str, check_encoder: Any) -> Notes:
    tensors = load_file(path)
    said = json.loads(tensors["said"].numpy().tobytes())
    if check_encoder is not None:
        check_encoder(said["encoder"], tensors["keys"].shape[1])
    held = {int(one): text for one, text in said["held"].items()}
    return Notes(tensors["keys"], held, tensors["probe"], said["encoder"])


def merge(before: Notes, mine: Notes, theirs: Notes) -> Notes:
    rows = [row for row, one in enumerate(mine.held) if one not in before.held.keys() | theirs.held.keys()]
    return theirs.remember(mine.keys[rows], [[*mine.held.values()][row] for row in rows])


class NotesConfig(MANNBaseConfig):
    """Of a model of notes; `loud` is a field of its own."""

    model_type = "mann_notes"

    def __init__(
        self,
        encoder_config: Any = None,
        encoder_name: str | None = None,
        adapter: dict[str, Any] | None = None,
        modality: str = "note",
        loud: bool = False,
        **kwargs: Any,
    ) -> None:
        self.loud = loud
        super().__init__(encoder_config, encoder_name, adapter, modality, **kwargs)

    @property
    def key_size(self) -> int:
        return K


class NoteController(TextController):
    """Notes are texts of at most 16 tokens, for which there is a pipeline of another name."""

    modality = noun = "note"
    task: ClassVar[Any] = None  # unlike other controllers of texts
    pipeline_task = "memory-augmented-notes"

    def max_length(self, config: Any, encoder: nn.Module, processing_class: Any = None) -> int | None:
        return 16

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> TextProcessor:
        return TextProcessor(processing_class, max_length=16)


class NotesModel(MANNPreTrainedModel):
    """Says how near a text is to each note."""

    modality = "note"
    config_class = NotesConfig
    key_parts = ("projection",)

    def __init__(self, config: NotesConfig) -> None:
        super().__init__(config)
        self.projection = nn.Linear(config.encoder_config.hidden_size, K)
        self.gate = nn.Linear(1, 1)
        self.post_init()

    def empty_memory(self) -> Notes:
        return Notes(torch.zeros(0, K, device="cpu" if self.device.type == "meta" else self.device))

    @torch.no_grad()
    def probe_states(self) -> Tensor:
        with evaluating(self):
            inputs = self.config.controller.probe_inputs(self.config.encoder_config, self.device)
            return self.config.controller.pool(self.encoder, "mean", **inputs)

    @torch.no_grad()
    def probe_keys(self, states: Tensor) -> Tensor:
        return self.projection(states)

    def encoder_probe(self) -> Tensor:
        return self.probe_keys(self.probe_states())

    def embed(self, **inputs: Any) -> Tensor:
        return self.config.controller.embed(self.encoder, "mean", False, self.projection, **inputs)

    def forward(self, **inputs: Any) -> Tensor:
        self.check_memory()
        near = self.embed(**inputs) @ self.memory.keys.T
        return self.gate(near[..., None])[..., 0]

    def remember(self, texts: list[str], processing_class: Any = None) -> list[int]:
        keys = embed_checked(self, self.processor(processing_class), texts)
        probe = self.known_probe()
        self.update_memory(lambda memory: (self.stamped(memory, probe).remember(keys, texts), None))
        return [*self.memory.held][-len(texts) :]

    def reencoded(self, memory: Notes, processor: InputProcessor) -> Notes:
        keys = embed_checked(self, processor, [*memory.held.values()])
        return replace(self.stamped(memory, self.known_probe(fresh=True)), keys=keys)

    def lacks_inputs(self, memory: Notes) -> bool:
        return False

    def card_facts(self, place: str) -> PairFacts:
        pairs = tuple((text, str(one)) for one, text in self.memory.held.items())
        return PairFacts(
            place=place,
            model_class=type(self).__name__,
            encoder=None,
            controller=self.config.controller,
            entries=len(pairs),
            kind="token",
            interpolation=0.5,
            pipeline_task=task_of("note"),
            pairs=pairs,
        )


class NotesEncoder(MANNEncoder):
    """What `AutoModel` gives of a model of notes."""

    config_class = NotesConfig
    model_class = NotesModel


AutoConfig.register(NotesConfig.model_type, NotesConfig, exist_ok=True)
AutoModel.register(NotesConfig, NotesEncoder, exist_ok=True)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the modality and the kind of memory for one test."""
    monkeypatch.setitem(CONTROLLERS._parts, "note", NoteController)
    monkeypatch.setitem(MEMORY_FORMATS._parts, FORMAT, MemoryFormat(Notes, "notes", write, read, merge))
