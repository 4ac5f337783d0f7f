"""A model whose memory holds no labels has folders, adapters, cards and the Hub by the same code as classifiers."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertModel

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.errors import (
    EncoderMismatchError,
    FolderChangedError,
    InvalidInputError,
    MemoryFileError,
    NotInMemoryError,
)
from mann_hf.hub.encoders import load_encoder
from mann_hf.models import MANNPreTrainedModel
from mann_hf.models.few_shot_tasks import registered_task, task_of
from mann_hf.models.folder_saves import save_folder
from mann_hf.models.shared_folders import SharedFolder
from mann_hf.persistent.memory_files import load_memory
from tests.notes import Notes, NotesConfig, NotesModel, register

MEMORY = "memory.safetensors"
TEXTS = ["where is my card", "please send the money back", "i can not login"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def tokens(tiny_tokenizer: Any) -> Any:
    return tiny_tokenizer


@pytest.fixture
def model(tiny_encoder: Path) -> NotesModel:
    """Around the tiny encoder, with an empty memory."""
    torch.manual_seed(0)
    encoder = BertModel.from_pretrained(tiny_encoder, add_pooling_layer=False)
    return NotesModel.from_encoder(encoder, NotesConfig(encoder.config, str(tiny_encoder)))


@pytest.fixture
def taught(model: NotesModel, tokens: Any) -> NotesModel:
    model.remember(TEXTS, tokens)
    return model


def same(one: Notes, other: Notes) -> bool:
    return one.held == other.held and torch.equal(one.keys, other.keys)


def ask(model: NotesModel, tokens: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokens(["where is my money"], return_tensors="pt"))


class TestFolders:
    def test_what_was_taught_is_there_again(self, taught: NotesModel, tokens: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        loaded = NotesModel.from_pretrained(tmp_path)
        assert same(loaded.memory, taught.memory)
        torch.testing.assert_close(ask(loaded, tokens), ask(taught, tokens))
        assert loaded.config.model_type == "mann_notes" and type(loaded.config) is NotesConfig
        assert type(AutoConfig.from_pretrained(tmp_path)) is NotesConfig

    def test_fields_of_its_own_are_set_as_it_is_loaded(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        assert NotesModel.from_pretrained(tmp_path, loud=True).config.loud
        with pytest.raises(TypeError, match=r"no argument 'lood': did you mean loud\?"):
            NotesModel.from_pretrained(tmp_path, lood=True)

    def test_what_is_forgotten_leaves_no_trace(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        first, *others = taught.memory.held
        taught.forget(first)
        taught.save_pretrained(tmp_path)
        assert [*NotesModel.from_pretrained(tmp_path).memory.held] == others
        assert not [path for path in tmp_path.iterdir() if TEXTS[0].encode() in path.read_bytes()]
        with pytest.raises(NotInMemoryError):
            taught.forget([first])
        taught.forget(others)
        taught.save_pretrained(tmp_path)
        assert not (tmp_path / MEMORY).exists() and not NotesModel.from_pretrained(tmp_path).memory

    def test_a_memory_that_others_taught_is_not_overwritten(
        self, model: NotesModel, tokens: Any, tmp_path: Path
    ) -> None:
        other = model.with_own_memory()
        other.remember(TEXTS, tokens)
        other.save_pretrained(tmp_path)
        model.remember(TEXTS[:1], tokens)
        with pytest.raises(FolderChangedError, match="2 notes of it that this model does not know"):
            model.save_pretrained(tmp_path)
        model.save_memory(tmp_path, overwrite=True)
        assert len(NotesModel.from_pretrained(tmp_path).memory) == 1

    def test_memories_of_two_processes_are_put_together(self, taught: NotesModel, tokens: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        shared = SharedFolder(here := NotesModel.from_pretrained(tmp_path), tmp_path)
        there = NotesModel.from_pretrained(tmp_path)
        there.remember(["my password"], tokens)
        there.save_pretrained(tmp_path)
        here.remember(["my account"], tokens)
        shared.save()
        assert NotesModel.from_pretrained(tmp_path).memory.texts == {*TEXTS, "my password", "my account"}

    def test_its_processor_is_found_beside_it(
        self, taught: NotesModel, tiny_encoder: Path, tokens: Any, tmp_path: Path
    ) -> None:
        save_folder(taught, tmp_path, taught.processor(tokens))
        taught.name_or_path = str(tmp_path)
        processor = taught.processor()
        assert processor.encode(["card " * 40])[0] and type(taught.load_processing_class()) is type(tokens)
        assert len(processor.collate(processor.encode(["card " * 40]), [0])["input_ids"][0]) == 16
        assert taught.load_processing_class().model_max_length == 16

    def test_copies_have_memories_of_their_own(self, taught: NotesModel) -> None:
        for copied in (copy.deepcopy(taught), copy.copy(taught), taught.with_own_memory()):
            assert same(copied.memory, taught.memory)
            copied.forget([*copied.memory.held])
            assert len(taught.memory) == 3

    def test_it_says_what_it_holds(self, taught: NotesModel) -> None:
        assert "memory: 3 notes" in repr(taught)


class TestKinds:
    def test_a_memory_of_another_kind_is_refused(
        self,
        taught: NotesModel,
        tiny_classifier: Callable[..., MANNForSequenceClassification],
        tokens: Any,
        tmp_path: Path,
    ) -> None:
        classifier = tiny_classifier()
        classifier.remember(classifier.embed_texts(tokens, TEXTS), ["a", "b", "c"])
        classifier.save_memory(tmp_path / "labels")
        taught.save_memory(tmp_path / "notes")
        before = taught.memory
        with pytest.raises(InvalidInputError, match="holds labelled examples, and this model's memory notes"):
            taught.load_memory(tmp_path / "labels")
        with pytest.raises(InvalidInputError, match="holds notes, and this model's memory labelled examples"):
            classifier.load_memory(tmp_path / "notes", reencode=True, processing_class=tokens)
        assert taught.memory is before and len(classifier.memory) == 3
        with pytest.raises(FolderChangedError, match="3 texts of it that this model does not know"):
            classifier.save_memory(tmp_path / "notes")

    def test_any_kind_is_read_by_its_file(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.save_memory(tmp_path)
        assert same(load_memory(tmp_path / MEMORY), taught.memory)
        (tmp_path / MEMORY).write_bytes((tmp_path / MEMORY).read_bytes()[:-1])
        with pytest.raises(MemoryFileError, match=f"{MEMORY}' is damaged"):
            load_memory(tmp_path / MEMORY)

    def test_a_model_of_another_kind_is_refused(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        with pytest.raises(InvalidInputError, match="of type 'mann_notes', and MANNConfig is for those of type 'mann'"):
            MANNForSequenceClassification.from_pretrained(tmp_path)
        with pytest.raises(InvalidInputError, match="is a saved model with a memory, not a bare encoder"):
            load_encoder(tmp_path)
        with pytest.raises(InvalidInputError, match="model_type 'mann_notes', which is no encoder"):
            MANNConfig(json.loads((tmp_path / "config.json").read_text()))

    def test_auto_model_gives_the_encoder(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        encoder = AutoModel.from_pretrained(tmp_path)
        assert type(encoder) is type(taught.encoder)
        own: Any = taught.get_input_embeddings()
        assert torch.equal(encoder.embeddings.word_embeddings.weight, own.weight)

    def test_the_controller_names_the_pipeline(self) -> None:
        assert task_of("note") == "memory-augmented-notes" and registered_task("note") is None
        assert task_of("text") == registered_task("text") == "few-shot-text-classification"


class TestEncoder:
    def test_keys_of_before_a_training_are_refused_until_they_are_computed_again(
        self, taught: NotesModel, tokens: Any, tmp_path: Path
    ) -> None:
        before = taught.memory.keys
        with torch.no_grad():
            taught.projection.weight.neg_()  # a part of the keys, though none of the encoder
        with pytest.raises(EncoderMismatchError, match="from its notes with reencode_memory"):
            ask(taught, tokens)
        taught.save_pretrained(tmp_path)
        taught.reencode_memory(tokens)
        assert ask(taught, tokens).shape == (1, 3) and not torch.allclose(taught.memory.keys, before)
        with pytest.raises(EncoderMismatchError, match="model.reencode_memory"):
            NotesModel.from_pretrained(tmp_path)
        again = NotesModel.from_pretrained(tmp_path, reencode=True, processing_class=tokens)
        torch.testing.assert_close(again.memory.keys, taught.memory.keys)

    def test_the_memory_follows_while_it_is_set_aside(self, taught: NotesModel, tokens: Any) -> None:
        with taught.memory_set_aside(tokens):
            assert not len(taught.memory)
            with torch.no_grad():
                taught.projection.bias.add_(1)
        assert len(taught.memory) == 3 and ask(taught, tokens).shape == (1, 3)

    def test_an_adapter_is_saved_with_the_parts_of_the_model(
        self, taught: NotesModel, tokens: Any, tmp_path: Path
    ) -> None:
        peft = pytest.importorskip("peft")
        taught.save_pretrained(tmp_path / "whole")
        model = NotesModel.from_pretrained(tmp_path / "whole")
        model.add_adapter(peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False))
        with torch.no_grad():
            model.projection.weight += 0.1
            model.gate.bias += 1
        model.reencode_memory(tokens)
        model.save_pretrained(tmp_path / "adapter")
        loaded = NotesModel.from_pretrained(tmp_path / "adapter")
        assert loaded.config.adapter["base_model_name_or_path"] == str(tmp_path / "whole")
        assert torch.equal(loaded.gate.bias, model.gate.bias) and same(loaded.memory, model.memory)
        torch.testing.assert_close(ask(loaded, tokens), ask(model, tokens))

    def test_an_adapter_on_an_encoder_by_its_name(self, model: NotesModel, tokens: Any, tmp_path: Path) -> None:
        peft = pytest.importorskip("peft")
        model.add_adapter(peft.LoraConfig(r=2, target_modules=["value"], init_lora_weights=False))
        model.remember(TEXTS, tokens)
        model.save_pretrained(tmp_path)
        loaded = NotesModel.from_pretrained(tmp_path)
        torch.testing.assert_close(ask(loaded, tokens), ask(model, tokens))
        loaded.disable_adapters()
        with pytest.raises(EncoderMismatchError, match="written with the adapter 'default'"):
            ask(loaded, tokens)

    def test_weights_that_a_model_lacks_are_told(self, taught: NotesModel, tmp_path: Path) -> None:
        taught.gate = torch.nn.Linear(2, 2)
        with pytest.raises(InvalidInputError, match=r"gate: in_features 2, not 1"):
            taught.save_pretrained(tmp_path)

    def test_from_scratch(self, tokens: Any, tmp_path: Path) -> None:
        made = NotesModel.from_encoder_config("bert", hidden_size=8, num_attention_heads=2, loud=True)
        assert (
            made.config.loud and made.config.encoder_config.hidden_size == 8 and isinstance(made, MANNPreTrainedModel)
        )


class TestHub:
    @pytest.fixture(autouse=True)
    def _logged_in(self, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", hub.token)

    def test_pushed_and_loaded(
        self, taught: NotesModel, tiny_encoder: Path, tokens: Any, hub_api: Any, tmp_path: Path
    ) -> None:
        taught.push_to_hub("me/notes", processing_class=AutoTokenizer.from_pretrained(tiny_encoder))
        pulled = hub_api.snapshot_download("me/notes", local_dir=tmp_path / "pulled")
        assert same(NotesModel.from_pretrained(pulled).memory, taught.memory)
        first, *others = taught.memory.held
        taught.forget(first)
        taught.push_memory_to_hub("me/notes")
        again = hub_api.snapshot_download("me/notes", local_dir=tmp_path / "again")
        assert [*NotesModel.from_pretrained(again).memory.held] == others
        card = (Path(again) / "README.md").read_text()
        assert TEXTS[0] not in card and TEXTS[1] in card

    def test_a_skill_by_itself(self, taught: NotesModel, hub_api: Any, tmp_path: Path) -> None:
        taught.push_memory_to_hub("me/skill")
        pulled = Path(hub_api.snapshot_download("me/skill", local_dir=tmp_path))
        assert 'model.load_memory("me/skill")' in (pulled / "README.md").read_text()
        taught.forget([*taught.memory.held])
        taught.load_memory(pulled)
        assert taught.memory.texts == {*TEXTS}

    def test_a_repository_of_another_kind(
        self,
        taught: NotesModel,
        tiny_classifier: Callable[..., MANNForSequenceClassification],
        tokens: Any,
        hub_api: Any,
    ) -> None:
        classifier = tiny_classifier()
        classifier.push_to_hub("me/classifier", processing_class=tokens)
        with pytest.raises(InvalidInputError, match="a model of type 'mann', which has another kind of memory"):
            taught.push_memory_to_hub("me/classifier")
