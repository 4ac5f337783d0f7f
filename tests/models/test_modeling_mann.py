import copy
import io
import json
import os
import shutil
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerBase,
)

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.errors import (
    EncoderMismatchError,
    EncoderNotFoundError,
    InvalidInputError,
    InvalidTypeError,
    MemoryFileError,
)
from mann_hf.memory import READINGS
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION

Build = Callable[..., Any]
WEIGHTS, MEMORY = "model.safetensors", "memory.safetensors"


def teach(model: Any, tokenizer: Any, texts: list[str], labels: list) -> list[int]:
    return model.remember(model.embed_texts(tokenizer, texts), labels, texts, names=model.name_keys(labels, tokenizer))


def answers(model: Any, tokenizer: Any, texts: list[str]) -> Tensor:
    with torch.no_grad():
        return model.read(model.ready_memory(), model.embed_texts(tokenizer, texts))


@pytest.fixture
def taught(build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str]) -> Any:
    model = build()
    teach(model, tiny_tokenizer, texts, labels)
    return model


@pytest.fixture
def saved(taught: Any, tiny_tokenizer: Any, tmp_path: Path) -> Path:
    taught.save_pretrained(tmp_path / "saved")
    tiny_tokenizer.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def other_encoder(tmp_path: Path, tiny_encoder: Path) -> Path:
    """An encoder with keys of another size and the same tokenizer."""
    folder = tmp_path / "other-encoder"
    vocabulary = len(AutoTokenizer.from_pretrained(tiny_encoder))
    BertModel(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    ).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


def change_tensors(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


class TestLoading:
    def test_weights_and_memory_come_back(
        self,
        taught: Any,
        saved: Path,
        tiny_tokenizer: Any,
        assert_same_memory: Callable,
        told: Callable,
    ) -> None:
        again, report = MANNForSequenceClassification.from_pretrained(saved, output_loading_info=True)
        assert not any(report.values()), report
        assert_same_memory(taught.memory, again.memory)
        assert torch.equal(answers(taught, tiny_tokenizer, ["my card"]), answers(again, tiny_tokenizer, ["my card"]))
        assert not again.training
        assert again.config.id2label == dict(enumerate(taught.memory.labels))
        assert told() == []

    def test_by_the_auto_classes_without_a_warning(self, saved: Path, told: Callable) -> None:
        config = AutoConfig.from_pretrained(saved)
        assert type(config) is MANNConfig and config.num_labels == 3
        for model in (
            AutoModelForSequenceClassification.from_pretrained(saved),
            AutoModelForSequenceClassification.from_pretrained(saved, config=config),
        ):
            assert type(model) is MANNForSequenceClassification
            assert len(model.memory) == 5
        assert told() == []

    def test_by_auto_model_the_encoder_by_itself(self, saved: Path, tiny_tokenizer: Any, told: Callable) -> None:
        whole = MANNForSequenceClassification.from_pretrained(saved)
        inputs = tiny_tokenizer(["where is my card"], return_tensors="pt")
        with torch.no_grad():
            expected = whole.encoder(**inputs).last_hidden_state
            for encoder in (AutoModel.from_pretrained(saved), AutoModel.from_pretrained(saved, config=whole.config)):
                assert type(encoder) is type(whole.encoder)
                assert torch.equal(encoder(**inputs).last_hidden_state, expected)
        assert type(AutoModel.from_config(whole.config)) is type(whole.encoder)
        _, report = AutoModel.from_pretrained(saved, output_loading_info=True)
        assert not report["missing_keys"]
        tiny_tokenizer.save_pretrained(saved)
        stock: Any = transformers.pipeline
        (states,) = stock("feature-extraction", model=str(saved))("where is my card")
        assert torch.allclose(torch.tensor(states), expected[0], atol=1e-5)
        with pytest.raises(InvalidInputError, match=r"is a saved classifier.*from_pretrained"):
            MANNForSequenceClassification.from_encoder_pretrained(saved)
        assert told() == []

    def test_from_a_configuration_all_weights_are_initialised(self) -> None:
        config = MANNConfig(
            encoder_config=BertConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, vocab_size=50),
            reading="attention",
            similarity="bilinear",
            reading_options={"sharpness": 7.0},
        )
        model: Any
        for model in (
            MANNForSequenceClassification(config),
            AutoModelForSequenceClassification.from_config(config),
        ):
            assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
            assert model.reading.sharpness.item() == pytest.approx(7)
            assert torch.equal(model.reading.similarity.weight, torch.eye(32))
            assert model.encoder.embeddings.word_embeddings.weight.std().item() == pytest.approx(0.02, rel=0.2)

    @pytest.mark.parametrize("reading", READINGS)
    def test_a_sharpness_missing_from_the_file_starts_where_it_starts(
        self, build: Build, tmp_path: Path, reading: str, told: Callable
    ) -> None:
        model = build(reading=reading)
        with torch.no_grad():
            model.reading.log_sharpness.fill_(9.0)
        model.save_pretrained(tmp_path)
        assert MANNForSequenceClassification.from_pretrained(tmp_path).reading.log_sharpness.item() == 9.0
        change_tensors(tmp_path / WEIGHTS, lambda tensors: tensors.pop("reading.log_sharpness"))
        again = MANNForSequenceClassification.from_pretrained(tmp_path)
        assert again.reading.sharpness.item() == pytest.approx(READINGS[reading].default_sharpness)
        assert any("reading.log_sharpness" in line for line in told()), "nobody was told"

    def test_a_bilinear_form_missing_from_the_file_starts_as_the_identity(self, build: Build, tmp_path: Path) -> None:
        model = build(reading="attention", similarity="bilinear")
        with torch.no_grad():
            model.reading.similarity.weight.fill_(3.0)
        model.save_pretrained(tmp_path)
        change_tensors(tmp_path / WEIGHTS, lambda tensors: tensors.pop("reading.similarity.weight"))
        again = MANNForSequenceClassification.from_pretrained(tmp_path)
        assert torch.equal(again.reading.similarity.weight, torch.eye(32))

    def test_a_memory_of_another_encoder_than_the_weights_beside_it_is_refused(self, saved: Path) -> None:
        change_tensors(saved / WEIGHTS, lambda tensors: tensors["encoder.embeddings.word_embeddings.weight"].normal_())
        with pytest.raises(EncoderMismatchError, match="other weights"):
            MANNForSequenceClassification.from_pretrained(saved)

    @pytest.mark.parametrize("tokenizer_beside", [True, False])
    @pytest.mark.parametrize("place", ["folder", "subfolder", "auto"])
    def test_a_memory_is_written_again_by_the_encoder_beside_it(
        self,
        taught: Any,
        tiny_tokenizer: Any,
        texts: list[str],
        tmp_path: Path,
        tokenizer_beside: bool,
        place: str,
    ) -> None:
        """As after training a model that was taught before."""
        with torch.no_grad():
            taught.encoder.embeddings.word_embeddings.weight.normal_()
        expected = taught.embed_texts(tiny_tokenizer, texts)
        taught.config.encoder_name = "nobody/nothing"
        taught.save_pretrained(tmp_path / "trained")
        kwargs: dict[str, Any] = {}
        if tokenizer_beside:
            tiny_tokenizer.save_pretrained(tmp_path / "trained")
        else:
            kwargs["processing_class"] = tiny_tokenizer
        folder, cls = tmp_path / "trained", MANNForSequenceClassification
        if place == "subfolder":
            folder, kwargs["subfolder"] = tmp_path, "trained"
        elif place == "auto":
            cls = AutoModelForSequenceClassification  # type: ignore[assignment]
        with pytest.raises(
            EncoderMismatchError, match=r"from_pretrained\(.*reencode=True.*load_memory\(.*reencode=True"
        ):
            cls.from_pretrained(folder, **kwargs)
        again = cls.from_pretrained(folder, reencode=True, **kwargs)
        assert torch.allclose(again.memory.state.keys[0], expected, atol=1e-5)
        assert again.memory.entries == taught.memory.entries and again.memory.labels == taught.memory.labels
        again.save_pretrained(tmp_path / "again")
        assert len(MANNForSequenceClassification.from_pretrained(tmp_path / "again").memory) == 5

    def test_without_texts_or_a_tokenizer_nothing_is_written_again(
        self, build: Build, saved: Path, tiny_tokenizer: Any, tmp_path: Path
    ) -> None:
        model = build(store_texts=False)
        teach(model, tiny_tokenizer, ["my card"], ["a"])
        model.save_pretrained(tmp_path / "textless")
        with pytest.raises(InvalidInputError, match="store_texts"):
            MANNForSequenceClassification.from_pretrained(tmp_path / "textless", reencode=True)
        for path in saved.glob("tokenizer*"):
            path.unlink()
        with pytest.raises(InvalidInputError, match="no tokenizer"):
            MANNForSequenceClassification.from_pretrained(saved, encoder_name="nobody/nothing", reencode=True)

    @pytest.mark.parametrize("name", [None, "someone/encoder"])
    def test_other_weights_of_one_encoder_are_told_from_another_encoder(
        self, build: Build, tiny_tokenizer: Any, tmp_path: Path, name: str | None
    ) -> None:
        model = build()
        model.config.encoder_name = name
        teach(model, tiny_tokenizer, ["my card"], ["a"])
        with torch.no_grad():
            model.encoder.embeddings.word_embeddings.weight.normal_()
        with pytest.raises(EncoderMismatchError, match="with other weights"):
            teach(model, tiny_tokenizer, ["my card"], ["a"])
        model.config.encoder_name = "someone/other"
        with pytest.raises(EncoderMismatchError, match="another model"):
            teach(model, tiny_tokenizer, ["my card"], ["a"])

    def test_a_memory_of_more_labels_than_the_configuration_knows(self, saved: Path) -> None:
        config = json.loads((saved / "config.json").read_text())
        config["id2label"], config["label2id"] = {"0": "card_arrival"}, {"card_arrival": 0}
        (saved / "config.json").write_text(json.dumps(config))
        model = MANNForSequenceClassification.from_pretrained(saved)
        assert model.config.id2label == {0: "card_arrival", 1: "RefundPayment", 2: "3"}
        assert model.config.label2id == {"card_arrival": 0, "RefundPayment": 1, "3": 2}
        assert model.config.num_labels == 3

    def test_a_damaged_memory_beside_good_weights_is_refused(self, saved: Path) -> None:
        (saved / MEMORY).write_bytes((saved / MEMORY).read_bytes()[:100])
        with pytest.raises(MemoryFileError, match=MEMORY):
            MANNForSequenceClassification.from_pretrained(saved)

    def test_without_a_memory_it_is_empty(self, saved: Path) -> None:
        (saved / MEMORY).unlink()
        (saved / "memory.json").unlink()
        assert len(MANNForSequenceClassification.from_pretrained(saved).memory) == 0

    def test_from_weights_in_hand(self, taught: Any) -> None:
        again = MANNForSequenceClassification.from_pretrained(
            None, config=copy.deepcopy(taught.config), state_dict=taught.state_dict()
        )
        assert len(again.memory) == 0
        assert torch.equal(again.encoder_probe(), taught.encoder_probe())

    def test_from_a_subfolder(self, saved: Path) -> None:
        model = MANNForSequenceClassification.from_pretrained(saved.parent, subfolder=saved.name)
        assert len(model.memory) == 5

    def test_onto_a_device_by_a_map(self, saved: Path) -> None:
        pytest.importorskip("accelerate")
        assert len(MANNForSequenceClassification.from_pretrained(saved, device_map="cpu").memory) == 5

    def test_fields_of_the_configuration_can_be_overridden(self, saved: Path) -> None:
        model = MANNForSequenceClassification.from_pretrained(saved, reading="prototype", label_names=False)
        assert model.reading.name == "prototype" and len(model.memory) == 5

    def test_a_finished_but_unmoved_save_is_finished(self, saved: Path, build: Build, tmp_path: Path) -> None:
        build(reading="prototype").save_pretrained(tmp_path / "new")
        (tmp_path / "new").rename(saved / ".mann-committed")
        names = [path.name for path in (saved / ".mann-committed").iterdir()]
        (saved / ".mann-committed" / "manifest.json").write_text(json.dumps(names))
        config = AutoConfig.from_pretrained(saved)  # as `pipeline` does before it loads the model
        model = AutoModelForSequenceClassification.from_pretrained(saved, config=config)
        assert model.reading.name == "prototype"
        assert len(model.memory) == 0, "the memory of the earlier save outlived it"


class TestMakingFromAnEncoder:
    def test_it_is_ready_to_use(self, build: Build, tiny_encoder: Path) -> None:
        model = build()
        assert not model.training
        assert model.config.encoder_name == str(tiny_encoder)
        assert len(model.memory) == 0
        reference = BertModel.from_pretrained(tiny_encoder, add_pooling_layer=False)
        state = model.encoder.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in reference.state_dict().items())

    def test_an_encoder_that_is_not_there(self) -> None:
        with pytest.raises(EncoderNotFoundError, match="nobody/nothing"):
            MANNForSequenceClassification.from_encoder_pretrained("nobody/nothing")

    @pytest.mark.parametrize(
        "field, value",
        [("pooling", "x"), ("reading", "x"), ("similarity", "x"), ("eviction", "x"), ("problem_type", "x")],
    )
    def test_a_choice_that_is_none(self, build: Build, field: str, value: str) -> None:
        with pytest.raises(ValueError, match="'x'"):
            build(**{field: value})

    def test_a_reading_that_cannot_serve_the_problem(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="'logistic'.*regression.*'least_squares'"):
            build(reading="logistic", problem_type=REGRESSION)

    def test_an_argument_that_nobody_knows(self, build: Build) -> None:
        with pytest.raises(TypeError, match="poolign"):
            build(poolign="cls")

    def test_the_folder_of_this_machine_is_not_written_down(self, tiny_encoder: Path, tmp_path: Path) -> None:
        """What stands for an encoder may be a package's folder, which is nobody's business."""
        model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
        model.config.encoder_name = "someone/encoder"
        model.save_pretrained(tmp_path)
        assert str(tiny_encoder) not in (tmp_path / "config.json").read_text()

    def test_a_regression_has_one_target_unless_told(self, build: Build, tmp_path: Path) -> None:
        assert build(problem_type=REGRESSION).memory.rules.value_size == 1
        model = build(problem_type=REGRESSION, num_labels=3)
        assert model.memory.rules.value_size == 3
        for targets in (1, 2, 3):
            build(problem_type=REGRESSION, num_labels=targets).save_pretrained(tmp_path)
            assert MANNForSequenceClassification.from_pretrained(tmp_path).memory.rules.value_size == targets


class TestPrecision:
    def test_loaded_in_half_precision_it_answers_nearly_the_same(
        self, taught: Any, saved: Path, tiny_tokenizer: Any, texts: list[str]
    ) -> None:
        half = MANNForSequenceClassification.from_pretrained(saved, dtype=torch.bfloat16)
        assert half.dtype == half.encoder.dtype == torch.bfloat16
        assert half.memory.state.keys.dtype == torch.float32
        whole = answers(taught, tiny_tokenizer, texts).softmax(-1)
        assert (answers(half, tiny_tokenizer, texts).softmax(-1) - whole).abs().max() < 0.05

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_a_changed_precision_leaves_the_memory(
        self, taught: Any, dtype: torch.dtype, tiny_tokenizer: Any, texts: list[str]
    ) -> None:
        before = taught.memory
        logits = answers(taught, tiny_tokenizer, texts)
        taught.to(dtype)
        assert taught.memory is before and before.state.keys.dtype == torch.float32
        assert (answers(taught, tiny_tokenizer, texts).softmax(-1) - logits.softmax(-1)).abs().max() < 0.05
        teach(taught, tiny_tokenizer, ["one more"], ["3"])
        assert taught.memory.state.keys.dtype == torch.float32 and len(taught.memory) == 6

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_saved_and_loaded_in_its_own_precision(
        self,
        build: Build,
        tiny_tokenizer: Any,
        texts: list[str],
        labels: list[str],
        tmp_path: Path,
        dtype: torch.dtype,
        assert_same_memory: Callable,
    ) -> None:
        model = build(dtype=dtype)
        assert model.encoder.dtype == dtype
        teach(model, tiny_tokenizer, texts, labels)
        model.save_pretrained(tmp_path)
        again = MANNForSequenceClassification.from_pretrained(tmp_path, dtype="auto")
        assert again.encoder.dtype == dtype
        assert_same_memory(model.memory, again.memory)
        expected = answers(model, tiny_tokenizer, texts)
        assert torch.allclose(answers(again, tiny_tokenizer, texts), expected, atol=1e-2 * expected.abs().max().item())

    @pytest.mark.parametrize("reading", READINGS)
    def test_every_reading_reads_with_a_half_precision_encoder(
        self, build: Build, reading: str, tiny_tokenizer: Any, texts: list[str], labels: list[str]
    ) -> None:
        half, whole = build(reading=reading, dtype=torch.bfloat16).to(torch.bfloat16), build(reading=reading)
        for model in (half, whole):
            teach(model, tiny_tokenizer, texts, labels)
        scores, expected = (answers(model, tiny_tokenizer, texts).softmax(-1) for model in (half, whole))
        assert (scores - expected).abs().max() < 0.05


class TestCopies:
    def test_a_copy_has_a_memory_of_its_own(self, taught: Any, tiny_tokenizer: Any, texts: list[str]) -> None:
        expected = answers(taught, tiny_tokenizer, texts)
        other = copy.deepcopy(taught)
        assert torch.equal(answers(other, tiny_tokenizer, texts), expected)
        other.forget(label="3")
        teach(other, tiny_tokenizer, ["hello"], ["greeting"])
        assert torch.equal(answers(taught, tiny_tokenizer, texts), expected)
        assert taught.memory.labels == ("card_arrival", "RefundPayment", "3")
        assert taught.config.id2label[2] == "3"

    def test_another_process_gets_a_whole_copy(
        self, taught: Any, tiny_tokenizer: Any, texts: list[str], assert_same_memory: Callable
    ) -> None:
        """As `torch.multiprocessing` and the workers of a `DataLoader` pass objects on."""
        expected = answers(taught, tiny_tokenizer, texts)
        other = ForkingPickler.loads(ForkingPickler.dumps(taught))
        assert_same_memory(taught.memory, other.memory)
        assert torch.equal(answers(other, tiny_tokenizer, texts), expected)
        other.forget(label="3")
        assert len(taught.memory) == 5


class TestAttention:
    @staticmethod
    def second_derivative(model: Any) -> None:
        """Works in evaluation mode on a CPU with eager attention alone."""
        tokens = torch.arange(10, 18)[None]
        first = torch.autograd.grad(model.embed(tokens).sum(), list(model.encoder.parameters()), create_graph=True)
        torch.autograd.grad(first[0].square().sum(), list(model.encoder.parameters()), allow_unused=True)

    def test_chosen_when_made(self, build: Build) -> None:
        with pytest.raises(RuntimeError, match="derivative"):
            self.second_derivative(build())
        self.second_derivative(build(attn_implementation="eager"))

    def test_chosen_when_loaded(self, saved: Path) -> None:
        self.second_derivative(MANNForSequenceClassification.from_pretrained(saved, attn_implementation="eager"))

    def test_chosen_later(self, build: Build, saved: Path) -> None:
        for model in (build(), MANNForSequenceClassification.from_pretrained(saved)):
            model.set_attn_implementation("eager")
            self.second_derivative(model)
            model.set_attn_implementation("sdpa")
            with pytest.raises(RuntimeError, match="derivative"):
                self.second_derivative(model)

    def test_from_a_configuration(self, saved: Path) -> None:
        config = AutoConfig.from_pretrained(saved, attn_implementation="eager")
        self.second_derivative(MANNForSequenceClassification(config))


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # renamed in transformers 5.23
class TestGradientCheckpointing:
    def test_gradients_are_the_same(self, build: Build) -> None:
        gradients = []
        for checkpointing in (False, True):
            model = build().train()
            calls: list[int] = []
            model.encoder.encoder.layer[1].attention.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            if checkpointing:
                model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing == checkpointing
            torch.manual_seed(3)  # dropout
            tokens = torch.randint(5, 200, (10, 8))
            output = model(
                input_ids=tokens[:4],
                labels=torch.tensor([0, 1, 2, 0]),
                support_input_ids=tokens[4:],
                support_labels=torch.tensor([0, 1, 2, 0, 1, 2]),
            )
            output.loss.backward()
            assert len(calls) == (2 if checkpointing else 1), "the layers were not run again"
            gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
        assert len(gradients[0]) == len(gradients[1]) > 30
        assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(*gradients, strict=True))

    def test_it_can_be_turned_off(self, build: Build) -> None:
        model = build()
        model.gradient_checkpointing_enable()
        model.gradient_checkpointing_disable()
        assert not model.is_gradient_checkpointing


class TestAdapters:
    @pytest.fixture(autouse=True)
    def _peft(self) -> None:
        pytest.importorskip("peft")

    @staticmethod
    def lora(**kwargs: Any) -> Any:
        from peft import LoraConfig

        return LoraConfig(r=2, target_modules=["query", "value"], **kwargs)

    @staticmethod
    def train(model: torch.nn.Module) -> None:
        """Stands for training: an adapter begins without effect."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=3.0)

    def test_only_the_adapter_learns(self, build: Build) -> None:
        model = build()
        model.add_adapter(self.lora())
        tokens = torch.randint(5, 200, (6, 8))
        model(
            input_ids=tokens[:2],
            labels=torch.tensor([0, 1]),
            support_input_ids=tokens[2:],
            support_labels=torch.tensor([0, 1, 0, 1]),
        ).loss.backward()
        touched = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert touched and all("lora" in name for name in touched)

    def test_an_empty_memory_can_be_taught_with_an_adapter(
        self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str]
    ) -> None:
        model = build()
        model.add_adapter(self.lora())
        self.train(model)
        teach(model, tiny_tokenizer, texts, labels)
        best = answers(model, tiny_tokenizer, texts).argmax(-1)
        assert best.tolist() == [model.memory.labels.index(label) for label in labels]

    def test_a_changed_adapter_is_another_encoder(self, taught: Any, tiny_tokenizer: Any) -> None:
        taught.add_adapter(self.lora())
        teach(taught, tiny_tokenizer, ["without effect yet"], ["3"])
        self.train(taught)
        before = taught.memory
        with pytest.raises(EncoderMismatchError, match="other weights"):
            teach(taught, tiny_tokenizer, ["refused"], ["3"])
        assert taught.memory is before

    def test_switching_the_adapter_is_noticed(self, taught: Any, tiny_tokenizer: Any) -> None:
        taught.add_adapter(self.lora())
        self.train(taught)
        with pytest.raises(EncoderMismatchError):
            teach(taught, tiny_tokenizer, ["refused"], ["3"])
        taught.disable_adapters()
        teach(taught, tiny_tokenizer, ["as before"], ["3"])
        taught.enable_adapters()
        with pytest.raises(EncoderMismatchError):
            teach(taught, tiny_tokenizer, ["refused"], ["3"])

    def test_wrapped_by_peft(self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str]) -> None:
        from peft import get_peft_model

        model = build()
        wrapped = get_peft_model(model, self.lora())  # type: ignore[arg-type]
        self.train(wrapped)
        teach(model, tiny_tokenizer, texts, labels)
        inputs = tiny_tokenizer(texts, return_tensors="pt", padding=True)
        wrapped.eval()
        assert torch.allclose(wrapped(**inputs).logits, answers(model, tiny_tokenizer, texts), atol=1e-3)
        tokens = torch.randint(5, 200, (6, 8))
        loss = wrapped(
            input_ids=tokens[:2],
            labels=torch.tensor([0, 1]),
            support_input_ids=tokens[2:],
            support_labels=torch.tensor([0, 1, 0, 1]),
        ).loss
        loss.backward()
        touched = {name for name, parameter in wrapped.named_parameters() if parameter.grad is not None}
        assert touched and all("lora" in name for name in touched)

    def test_merged_it_is_saved_with_its_memory(
        self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str], tmp_path: Path
    ) -> None:
        from peft import get_peft_model

        wrapped = get_peft_model(build(), self.lora())  # type: ignore[arg-type]
        self.train(wrapped)
        model = wrapped.merge_and_unload()
        assert type(model) is MANNForSequenceClassification
        teach(model, tiny_tokenizer, texts, labels)
        model.save_pretrained(tmp_path)
        again = MANNForSequenceClassification.from_pretrained(tmp_path)
        assert torch.allclose(answers(again, tiny_tokenizer, texts), answers(model, tiny_tokenizer, texts), atol=1e-4)

    @pytest.mark.skipif(transformers.__version__.startswith("5.0."), reason="it loads no adapter from a folder")
    def test_an_adapter_is_saved_with_the_memory_it_wrote(
        self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str], tmp_path: Path
    ) -> None:
        build().save_pretrained(tmp_path / "base")
        model = MANNForSequenceClassification.from_pretrained(tmp_path / "base")
        model.add_adapter(self.lora())
        self.train(model)
        teach(model, tiny_tokenizer, texts, labels)
        model.save_pretrained(tmp_path / "adapter")
        assert all("lora" in name or "encoder." not in name for name in load_file(tmp_path / "adapter" / WEIGHTS))
        again = MANNForSequenceClassification.from_pretrained(tmp_path / "adapter")
        assert torch.allclose(answers(again, tiny_tokenizer, texts), answers(model, tiny_tokenizer, texts), atol=1e-4)


class TestTheMarkOfAnEncoder:
    def test_it_is_the_same_in_training_and_after(self, build: Build) -> None:
        model = build()
        probe = model.encoder_probe()
        model.train()
        assert torch.equal(copy.deepcopy(model).encoder_probe(), probe)

    def test_it_leaves_every_module_in_its_mode(self, build: Build) -> None:
        model = build().train()
        model.encoder.eval()
        before = [module.training for module in model.modules()]
        model.encoder_probe()
        assert [module.training for module in model.modules()] == before

    @pytest.mark.parametrize("through_data", [False, True])
    def test_changed_weights_are_noticed(self, taught: Any, tiny_tokenizer: Any, through_data: bool) -> None:
        weight = taught.encoder.embeddings.word_embeddings.weight
        with torch.no_grad():
            (weight.data if through_data else weight).normal_()
        before = taught.memory
        with pytest.raises(EncoderMismatchError, match="other weights.*reencode"):
            teach(taught, tiny_tokenizer, ["refused"], ["3"])
        assert taught.memory is before

    def test_another_pooling_is_noticed(self, taught: Any, tiny_tokenizer: Any) -> None:
        taught.config.pooling = "cls"
        with pytest.raises(EncoderMismatchError):
            teach(taught, tiny_tokenizer, ["refused"], ["3"])

    def test_unit_length_is_part_of_it(self, build: Build, saved: Path) -> None:
        with pytest.raises(EncoderMismatchError):
            build(normalize=False).load_memory(saved)

    def test_texts_are_encoded_without_dropout(self, build: Build, tiny_tokenizer: Any, texts: list[str]) -> None:
        model = build()
        expected = model.embed_texts(tiny_tokenizer, texts)
        model.train()
        assert torch.equal(model.embed_texts(tiny_tokenizer, texts), expected)
        assert all(module.training for module in model.modules())


class TestEmbeddingTexts:
    def test_batches_and_neighbours_do_not_matter(self, build: Build, tiny_tokenizer: Any, texts: list[str]) -> None:
        model = build()
        many = [*texts, "a much longer text " * 6, "short", *texts]
        alone = torch.cat([model.embed_texts(tiny_tokenizer, [text]) for text in many])
        for batch_size in (None, 1, 3, 100):
            assert torch.allclose(model.embed_texts(tiny_tokenizer, many, batch_size), alone, atol=1e-6)

    def test_progress_counts_every_text_once(self, build: Build, tiny_tokenizer: Any, texts: list[str]) -> None:
        done: list[int] = []
        build().embed_texts(tiny_tokenizer, texts * 3, 4, done.append)
        assert sum(done) == 15 and max(done) <= 4

    def test_no_text_gives_no_key(self, build: Build, tiny_tokenizer: Any) -> None:
        assert build().embed_texts(tiny_tokenizer, []).shape == (0, 32)

    def test_a_prompt_stands_before_every_text(self, build: Build, tiny_tokenizer: Any) -> None:
        plain = build()
        prompted = build(prompts={"query": "please find: "}, prompt_name="query")
        assert torch.allclose(
            prompted.embed_texts(tiny_tokenizer, ["my card"]),
            plain.embed_texts(tiny_tokenizer, ["please find: my card"]),
            atol=1e-6,
        )

    def test_lower_case(self, build: Build, tiny_tokenizer: Any) -> None:
        tiny_tokenizer.backend_tokenizer.normalizer = None
        model = build(lower_case=True)
        keys = model.embed_texts(tiny_tokenizer, ["My CARD", "my card"])
        assert torch.equal(keys[0], keys[1])

    @pytest.mark.parametrize("limit, effective", [(None, 64), (10, 10), (500, 64)])
    def test_long_texts_are_cut_with_one_warning(
        self, build: Build, tiny_tokenizer: Any, told: Callable, limit: int | None, effective: int
    ) -> None:
        model = build(max_seq_length=limit)
        assert model.max_length(tiny_tokenizer) == effective
        words = "card " * (effective - 2)
        keys = model.embed_texts(tiny_tokenizer, [words + "where is my money", words, "a", words + "bank"])
        assert torch.allclose(keys[0], keys[1], atol=1e-5)
        assert len([line for line in told() if "truncated" in line]) == 1
        assert f"2 of 4 texts are longer than the {effective} tokens" in told()[0]

    def test_a_tokenizer_without_a_limit(self, build: Build, tiny_tokenizer: Any) -> None:
        tiny_tokenizer.model_max_length = int(1e30)
        model = build()
        assert model.max_length(tiny_tokenizer) == 64
        model.embed_texts(tiny_tokenizer, ["card " * 100])

    def test_words_of_labels(self, build: Build, tiny_tokenizer: Any) -> None:
        model = build()
        keys = model.name_keys(["lost_card", "lost_card", "7", ("BookFlight", "x1")], tiny_tokenizer)
        assert list(keys) == ["lost_card", "BookFlight"]
        assert torch.allclose(keys["lost_card"], model.embed_texts(tiny_tokenizer, ["lost card"])[0], atol=1e-6)
        known = {"lost_card": torch.ones(32), "pin": torch.ones(32)}
        again = model.name_keys(["lost_card", "BookFlight"], tiny_tokenizer, known)
        assert again["lost_card"] is known["lost_card"] and torch.equal(again["BookFlight"], keys["BookFlight"])
        assert again.keys() == keys.keys()
        assert build(label_names=False).name_keys(["lost_card"], tiny_tokenizer) == {}


class TestLaterUse:
    def test_reads_and_writes_in_inference_mode_do_not_spoil_training(
        self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str]
    ) -> None:
        model = build()
        with torch.inference_mode():
            teach(model, tiny_tokenizer, texts, labels)
            answers(model, tiny_tokenizer, texts)
        inputs = tiny_tokenizer(texts, return_tensors="pt", padding=True)
        model(**inputs, labels=torch.zeros(5, dtype=torch.long)).loss.backward()
        assert model.encoder.embeddings.word_embeddings.weight.grad is not None
        teach(model, tiny_tokenizer, ["one more"], ["3"])

    @pytest.mark.parametrize("reading", READINGS)
    def test_forgetting_and_asking_in_inference_mode_do_not_spoil_training(
        self, build: Build, tiny_tokenizer: Any, texts: list[str], labels: list[str], reading: str
    ) -> None:
        model = build(reading=reading, capacity=20)
        teach(model, tiny_tokenizer, texts, labels)
        with torch.inference_mode():
            model.forget(label="3")
            ready, keys = model.ready_memory(), model.embed_texts(tiny_tokenizer, texts)
            model.record_use(ready, keys, model.read(ready, keys))
        assert not any(tensor.is_inference() for tensor in model.memory.state)
        inputs = tiny_tokenizer(texts, return_tensors="pt", padding=True)
        model(**inputs, labels=torch.zeros(5, dtype=torch.long)).loss.backward()
        assert model.encoder.embeddings.word_embeddings.weight.grad is not None

    def test_loaded_in_inference_mode_it_can_be_trained(
        self, saved: Path, tiny_tokenizer: Any, texts: list[str]
    ) -> None:
        with torch.inference_mode():
            model = MANNForSequenceClassification.from_pretrained(saved)
        inputs = tiny_tokenizer(texts, return_tensors="pt", padding=True)
        model(**inputs, labels=torch.zeros(5, dtype=torch.long)).loss.backward()
        assert model.encoder.embeddings.word_embeddings.weight.grad is not None

    @pytest.mark.parametrize("filled, id2label", [("LABEL_1", "LABEL_2"), ("LABEL_0", "LABEL_1"), ("a", "LABEL_1")])
    def test_what_fills_up_a_single_label_has_a_name_of_its_own(
        self, build: Build, tiny_tokenizer: Any, filled: str, id2label: str
    ) -> None:
        model = build()
        teach(model, tiny_tokenizer, ["my card"], [filled])
        assert model.config.id2label == {0: filled, 1: id2label}
        assert model.config.label2id == {filled: 0, id2label: 1}

    def test_labels_change_after_the_memory(self, taught: Any) -> None:
        seen: list[tuple[dict, tuple[str, ...]]] = []

        class Watched(MANNConfig):
            def __setattr__(self, name: str, value: Any) -> None:
                if name == "id2label":
                    seen.append((value, taught.memory.labels))
                super().__setattr__(name, value)

        taught.config.__class__ = Watched
        taught.forget(label="card_arrival")
        assert seen == [({0: "RefundPayment", 1: "3"}, ("RefundPayment", "3"))]

    def test_more_tokens(self, tiny_encoder: Path, tiny_tokenizer: Any, texts: list[str], tmp_path: Path) -> None:
        """A vocabulary as large as real ones are; the tokenizer knows its first words."""
        config = AutoConfig.from_pretrained(tiny_encoder, vocab_size=5000)
        BertModel(config).save_pretrained(tmp_path / "encoder")
        model = MANNForSequenceClassification.from_encoder_pretrained(tmp_path / "encoder")
        teach(model, tiny_tokenizer, texts, ["a"] * 5)
        for size in (5003, 5001):
            model.resize_token_embeddings(size)
            model.save_pretrained(tmp_path / "more")
            model = MANNForSequenceClassification.from_pretrained(tmp_path / "more")
            assert model.get_input_embeddings().weight.shape[0] == size
            teach(model, tiny_tokenizer, [f"one more {size}"], ["a"])
        assert len(model.memory) == 7

    def test_forgetting_everything_leaves_no_label_behind(self, taught: Any, tmp_path: Path) -> None:
        taught.forget(ids=[entry.id for entry in taught.memory.entries])
        taught.save_pretrained(tmp_path)
        assert not (tmp_path / MEMORY).exists()
        assert "card_arrival" not in (tmp_path / "config.json").read_text()


class TestSaving:
    def test_keys_of_an_encoder_before_its_training_are_told(
        self, taught: Any, tiny_tokenizer: Any, tmp_path: Path, told: Callable[[], list[str]]
    ) -> None:
        taught.save_pretrained(tmp_path)
        assert not told()
        with torch.no_grad():
            taught.encoder.embeddings.word_embeddings.weight.normal_()
        taught.save_pretrained(tmp_path)
        assert "changed in another way after its memory was taught" in told()[0] and len(told()) == 1
        taught.reencode_memory(tiny_tokenizer)
        taught.save_pretrained(tmp_path)
        assert len(told()) == 1

    def test_nothing_that_could_run(self, saved: Path) -> None:
        assert {path.name for path in saved.iterdir()} == {
            "README.md",
            "config.json",
            WEIGHTS,
            MEMORY,
            "memory.json",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert "auto_map" not in json.loads((saved / "config.json").read_text())

    def test_shards_and_back(self, taught: Any, tmp_path: Path) -> None:
        for size, sharded in [("50GB", False), ("20KB", True), ("30KB", True), ("50GB", False)]:
            taught.save_pretrained(tmp_path, max_shard_size=size)
            shards = sorted(path.name for path in tmp_path.glob("model*.safetensors"))
            assert (len(shards) > 1) == sharded == (tmp_path / "model.safetensors.index.json").exists()
            if sharded:
                assert all(name.endswith(f"-of-{len(shards):05d}.safetensors") for name in shards), "shards of before"
            again = MANNForSequenceClassification.from_pretrained(tmp_path)
            assert torch.equal(again.encoder_probe(), taught.encoder_probe())

    def test_a_memory_that_was_emptied_is_removed(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path)
        assert (tmp_path / MEMORY).exists()
        for label in ("card_arrival", "RefundPayment", "3"):
            taught.forget(label=label)
        taught.save_pretrained(tmp_path)
        assert not (tmp_path / MEMORY).exists() and not (tmp_path / "memory.json").exists()

    def test_other_files_stay(self, taught: Any, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("mine")
        taught.save_pretrained(tmp_path)
        assert (tmp_path / "README.md").read_text() == "mine"

    def test_into_a_file(self, taught: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(NotADirectoryError, match="is a file"):
            taught.save_pretrained(tmp_path / "file")

    def test_over_a_save_of_another_encoder(
        self, saved: Path, other_encoder: Path, tiny_tokenizer: Any, texts: list[str], labels: list[str]
    ) -> None:
        model = MANNForSequenceClassification.from_encoder_pretrained(other_encoder)
        teach(model, tiny_tokenizer, texts, labels)
        model.save_pretrained(saved)
        again = MANNForSequenceClassification.from_pretrained(saved)
        assert again.config.hidden_size == 16 and again.memory.rules.key_size == 16

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child of this process")
    @pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
    def test_killed_while_saving_over_another_encoder(
        self,
        saved: Path,
        other_encoder: Path,
        tiny_tokenizer: Any,
        texts: list[str],
        labels: list[str],
        tmp_path: Path,
        killed_at: Callable,
        step: int,
    ) -> None:
        """Sharded weights and a memory over whole weights of another size; what loads is the one or the other."""
        pipeline: Any = transformers.pipeline
        task = "few-shot-text-classification"
        model = MANNForSequenceClassification.from_encoder_pretrained(other_encoder)
        classifier = pipeline(task, model=model)
        classifier.remember(texts[:3], labels[:3])
        options = {"max_shard_size": "10KB", "overwrite": True}
        sizes, moment = [], 1
        while True:
            folder = tmp_path / f"kill-{moment}"
            shutil.copytree(saved, folder)
            was_killed = killed_at(moment, lambda folder=folder: classifier.save_pretrained(folder, **options), folder)
            loaded = pipeline(task, model=str(folder))
            size = loaded.model.config.hidden_size
            assert (size, len(loaded.model.memory)) in [(32, 5), (16, 3)], moment
            assert loaded("my card")[0]["label"]
            assert (folder / WEIGHTS).exists() == (size == 32)
            sizes.append(size)
            shutil.rmtree(folder)
            if not was_killed:
                break
            moment += step
        assert sizes == sorted(sizes, reverse=True) and {*sizes} == {16, 32}

    def test_only_the_main_process_saves(self, taught: Any, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path / "saved")
        before = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
        taught.forget(label="3")
        taught.save_pretrained(tmp_path / "saved", is_main_process=False)
        assert {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()} == before

    def test_pushing_names_the_folder_that_was_asked_for(
        self, taught: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pushed: list[dict] = []
        monkeypatch.setattr(type(taught), "push_to_hub", lambda self, **kwargs: pushed.append(kwargs))
        taught.save_pretrained(tmp_path / "my-intents", push_to_hub=True, private=True)
        assert pushed == [{"repo_id": "my-intents", "private": True}]
        assert (tmp_path / "my-intents" / MEMORY).exists()


class TestLoadingAMemory:
    def test_alone(self, taught: Any, build: Build, tmp_path: Path, assert_same_memory: Callable) -> None:
        taught.save_memory(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {MEMORY, "memory.json"}
        model = build()
        model.load_memory(tmp_path)
        assert_same_memory(taught.memory, model.memory)
        assert model.config.id2label == {0: "card_arrival", 1: "RefundPayment", 2: "3"}

    @pytest.mark.parametrize(
        "problem_type, targets", [(MULTI_LABEL, [("a",), ("a", "b")]), (REGRESSION, [(1.0,), (2.0,)])]
    )
    def test_of_another_problem(
        self,
        taught: Any,
        build: Build,
        tiny_tokenizer: Any,
        tmp_path: Path,
        problem_type: str,
        targets: list,
    ) -> None:
        model = build(problem_type=problem_type)
        teach(model, tiny_tokenizer, ["my card", "my money"], targets)
        model.save_memory(tmp_path)
        before = taught.memory
        for reencode in (False, True):
            with pytest.raises(InvalidInputError, match=f"{problem_type}.*single_label_classification"):
                taught.load_memory(tmp_path, reencode=reencode, processing_class=tiny_tokenizer)
        assert taught.memory is before

    def test_of_another_number_of_targets(self, build: Build, tiny_tokenizer: Any, tmp_path: Path) -> None:
        model = build(problem_type=REGRESSION, num_labels=2)
        teach(model, tiny_tokenizer, ["my card"], [(1.0, 2.0)])
        model.save_memory(tmp_path)
        with pytest.raises(InvalidInputError, match="2.*1|1.*2"):
            build(problem_type=REGRESSION).load_memory(tmp_path)

    def test_of_another_encoder_is_refused_with_both_named(
        self, taught: Any, other_encoder: Path, tiny_encoder: Path, tmp_path: Path
    ) -> None:
        taught.save_memory(tmp_path)
        model = MANNForSequenceClassification.from_encoder_pretrained(other_encoder)
        with pytest.raises(EncoderMismatchError) as told:
            model.load_memory(tmp_path)
        for part in (str(tiny_encoder), "key size 32", str(other_encoder), "key size 16", "reencode=True"):
            assert part in str(told.value)
        assert (told.value.written_by, told.value.read_by) == (str(tiny_encoder), str(other_encoder))
        assert len(model.memory) == 0

    def test_written_again_by_another_encoder(
        self,
        taught: Any,
        other_encoder: Path,
        tiny_tokenizer: Any,
        tmp_path: Path,
        texts: list[str],
        labels: list[str],
        assert_same_memory: Callable,
    ) -> None:
        taught.save_memory(tmp_path)
        fresh, model = (MANNForSequenceClassification.from_encoder_pretrained(other_encoder) for _ in range(2))
        teach(fresh, tiny_tokenizer, texts, labels)
        model.load_memory(tmp_path, reencode=True)
        assert_same_memory(fresh.memory, model.memory)
        assert model.memory.encoder_name == str(other_encoder)
        assert [entry.id for entry in model.memory.entries] == [entry.id for entry in taught.memory.entries]
        teach(model, tiny_tokenizer, ["one more"], ["3"])

    def test_written_again_examples_count_as_often(
        self, build: Build, tiny_tokenizer: Any, tmp_path: Path, assert_same_memory: Callable
    ) -> None:
        model = build()
        teach(model, tiny_tokenizer, ["a card please"] * 3 + ["money back now"], ["card"] * 3 + ["refund"])
        model.save_memory(tmp_path)
        again = build()
        again.load_memory(tmp_path, reencode=True)
        assert again.memory.state.write_count.tolist() == [[3, 1]]
        assert_same_memory(model.memory, again.memory)

    def test_under_the_models_own_capacity(
        self, taught: Any, build: Build, tiny_tokenizer: Any, tmp_path: Path
    ) -> None:
        taught.save_memory(tmp_path)
        roomy = build(capacity=6, eviction="oldest")
        roomy.load_memory(tmp_path)
        teach(roomy, tiny_tokenizer, ["one more", "and another"], ["3", "3"])
        assert len(roomy.memory) == 6
        narrow = build(capacity=3)
        with pytest.raises(InvalidInputError, match="holds 5 examples, and capacity is 3.*reencode=True"):
            narrow.load_memory(tmp_path)
        assert len(narrow.memory) == 0
        narrow.load_memory(tmp_path, reencode=True)
        assert len(narrow.memory) == 3

    def test_without_the_words_of_labels_where_the_model_wants_none(
        self, taught: Any, build: Build, tmp_path: Path
    ) -> None:
        taught.save_memory(tmp_path)
        model = build(label_names=False)
        model.load_memory(tmp_path)
        assert taught.memory.names and not model.memory.names

    @pytest.mark.parametrize("place", ["bank-memroy", "someone/some-memory", "/nowhere/at all"])
    def test_a_place_that_there_is_not_is_named(self, build: Build, place: str) -> None:
        with pytest.raises(MemoryFileError, match=f"there is no folder {place!r}"):
            build().load_memory(place)

    def test_written_again_descriptions_stay_descriptions(
        self, build: Build, other_encoder: Path, tiny_tokenizer: Any, tmp_path: Path
    ) -> None:
        model = build()
        words = ["the card was lost", "my card"]
        model.remember(model.embed_texts(tiny_tokenizer, words), ["lost", "card"], words, ["description", "example"])
        model.save_memory(tmp_path)
        other = MANNForSequenceClassification.from_encoder_pretrained(other_encoder)
        other.load_memory(tmp_path, reencode=True)
        assert [entry.kind for entry in other.memory.entries] == ["description", "example"]

    def test_without_texts_it_cannot_be_written_again(
        self,
        build: Build,
        other_encoder: Path,
        tiny_tokenizer: Any,
        tmp_path: Path,
        texts: list[str],
        labels: list[str],
    ) -> None:
        model = build(store_texts=False)
        teach(model, tiny_tokenizer, texts, labels)
        assert model.memory.entries[0].text is None
        model.save_memory(tmp_path)
        other = MANNForSequenceClassification.from_encoder_pretrained(other_encoder)
        with pytest.raises(InvalidInputError, match="keeps no texts.*store_texts"):
            other.load_memory(tmp_path, reencode=True)

    def test_a_model_that_stores_no_texts_takes_none_over(
        self, taught: Any, build: Build, tiny_tokenizer: Any, tmp_path: Path
    ) -> None:
        taught.save_memory(tmp_path)
        for reencode in (False, True):
            model = build(store_texts=False)
            model.load_memory(tmp_path, reencode=reencode, processing_class=tiny_tokenizer)
            assert len(model.memory) == 5
            assert all(entry.text is None for entry in model.memory.entries)

    @pytest.mark.parametrize("damage", ["truncate", "garbage", "remove"])
    def test_a_damaged_file_leaves_the_present_memory(self, taught: Any, tmp_path: Path, damage: str) -> None:
        taught.save_memory(tmp_path)
        content = (tmp_path / MEMORY).read_bytes()
        (tmp_path / MEMORY).write_bytes(content[:50] if damage == "truncate" else b"garbage" * 99)
        if damage == "remove":
            (tmp_path / MEMORY).unlink()
        before, id2label = taught.memory, dict(taught.config.id2label)
        with pytest.raises(MemoryFileError, match=MEMORY):
            taught.load_memory(tmp_path)
        assert taught.memory is before and taught.config.id2label == id2label

    def test_from_nowhere(self, taught: Any, tmp_path: Path) -> None:
        for place in (tmp_path / "nothing", "nobody/nothing", "not a name!"):
            with pytest.raises(MemoryFileError, match=str(place)):
                taught.load_memory(place)

    def test_with_an_unknown_argument(self, taught: Any, tmp_path: Path) -> None:
        taught.save_memory(tmp_path)
        with pytest.raises(
            InvalidTypeError, match=r"load_memory\(\) has no argument 're_encode': did you mean reencode"
        ):
            taught.load_memory(tmp_path, re_encode=True)

    def test_from_a_subfolder(self, taught: Any, build: Build, tmp_path: Path) -> None:
        taught.save_memory(tmp_path / "intents")
        model = build()
        model.load_memory(tmp_path, subfolder="intents")
        assert len(model.memory) == 5


class TestTheHubCache:
    """A repository in the Hub cache, as a download leaves it, read offline."""

    @staticmethod
    def cache(folder: Path, cache: Path, names: list[str] | None = None) -> None:
        repo = cache / "models--someone--intents"
        (repo / "refs").mkdir(parents=True)
        (repo / "refs" / "main").write_text("1" * 40)
        snapshot = repo / "snapshots" / ("1" * 40)
        snapshot.mkdir(parents=True)
        for path in folder.iterdir():
            if names is None or path.name in names:
                shutil.copy(path, snapshot / path.name)

    def test_the_memory_comes_along(self, saved: Path, own_hub_cache: Path) -> None:
        self.cache(saved, own_hub_cache)
        assert len(MANNForSequenceClassification.from_pretrained("someone/intents").memory) == 5

    def test_a_memory_alone(self, saved: Path, own_hub_cache: Path, build: Build) -> None:
        self.cache(saved, own_hub_cache, [MEMORY])
        model = build()
        model.load_memory("someone/intents")
        assert len(model.memory) == 5

    def test_a_memory_that_could_not_be_fetched_is_not_taken_for_none(
        self, saved: Path, own_hub_cache: Path, told: Callable
    ) -> None:
        names = [path.name for path in saved.iterdir() if path.name != MEMORY]
        self.cache(saved, own_hub_cache, names)
        model = MANNForSequenceClassification.from_pretrained("someone/intents")
        assert len(model.memory) == 0
        assert any(MEMORY in line for line in told()), "nobody was told"


class TestTheTokenizer:
    def test_of_the_folder_the_model_came_from(self, saved: Path, other_encoder: Path) -> None:
        model = MANNForSequenceClassification.from_pretrained(saved)
        model.config.encoder_name = "nobody/nothing"
        assert isinstance(model.load_tokenizer(), PreTrainedTokenizerBase)

    def test_of_the_encoder(self, taught: Any, tmp_path: Path, texts: list[str]) -> None:
        taught.save_pretrained(tmp_path)
        for model in (taught, MANNForSequenceClassification.from_pretrained(tmp_path)):
            tokenizer = model.load_tokenizer()
            assert torch.allclose(model.embed_texts(tokenizer, texts), taught.memory.state.keys[0], atol=1e-6)

    def test_nowhere(self, build: Build) -> None:
        model = build()
        model.config.encoder_name = "nobody/nothing"
        with pytest.raises(InvalidInputError, match="nobody/nothing.*pass one"):
            model.load_tokenizer()


def test_tied_weights_are_named_in_a_dict() -> None:
    assert isinstance(MANNForSequenceClassification._tied_weights_keys, dict)


def test_state_dict_holds_no_memory(taught: Any, build: Build) -> None:
    assert taught.state_dict().keys() == build().state_dict().keys()
    assert all(name.startswith(("encoder.", "reading.")) for name in taught.state_dict())


def test_the_model_tells_what_it_is(taught: Any) -> None:
    written = io.StringIO()
    print(taught, file=written)
    assert "BertModel" in written.getvalue() and "LogisticReading" in written.getvalue()
