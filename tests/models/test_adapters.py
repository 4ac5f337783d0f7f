"""Adapters by themselves: what is saved of them, and what is loaded into a model."""

import copy
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.cards import model_card
from mann_hf.errors import EncoderMismatchError, InvalidInputError, MissingExtraError
from mann_hf.hub.source import Source
from mann_hf.models import adapter_base, adapters
from mann_hf.models.adapter_switches import active_adapters_on, has_adapter
from mann_hf.models.card_files import model_facts
from mann_hf.persistent.fitting import same_keys
from mann_hf.pipelines import FewShotTextClassificationPipeline

peft = pytest.importorskip("peft")

Build = Callable[..., Any]


def with_adapter(model: Any, rank: int = 2, **kwargs: Any) -> Any:
    """The model with an adapter that has an effect, as after training."""
    adapters.add(model, peft.LoraConfig(r=rank, target_modules=["query", "value"], **kwargs))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=3.0)
    return model.eval()


def test_of_an_encoder_of_usual_size_less_than_5_mb_are_saved(tmp_path: Path) -> None:
    encoder = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    config = MANNConfig(encoder_config=encoder, encoder_name="me/an-encoder")
    model = with_adapter(MANNForSequenceClassification(config), rank=8)
    assert model.num_parameters() > 22_000_000, "as many as of MiniLM-L6"
    model.save_pretrained(tmp_path)
    files = [*tmp_path.rglob("*.safetensors")]
    assert files and sum(file.stat().st_size for file in files) < 5_000_000
    names = {name for file in files for name in load_file(file)}
    assert {name for name in names if "lora_" not in name} == {"reading.log_sharpness", adapters.BASE_PROBE}
    assert len(names) == 2 + 6 * 2 * 2, "two matrices on query and value of each layer"


def test_keys_of_one_encoder_in_whichever_precision() -> None:
    keys = torch.randn(3, 32)
    assert same_keys(keys, keys.to(torch.bfloat16)) and same_keys(keys.half(), keys)
    assert not same_keys(keys, keys[:1])
    for share, same in [(0.04, True), (0.06, False)]:  # of its length
        moved = keys.clone()
        moved[-1] *= 1 + share
        assert same_keys(moved, keys) is same, "one key is enough"


class TestSummary:
    def test_in_a_few_words(self, build: Build) -> None:
        assert adapters.summary(build()) is None
        assert adapters.summary(with_adapter(build(), lora_alpha=4)) == "LORA of rank 2, alpha 4, on query, value"
        model = build()
        adapters.add(model, peft.LoraConfig(r=2, target_modules=r".*\.query"))
        assert adapters.summary(model) == r"LORA of rank 2, alpha 8, on .*\.query"

    def test_of_one_that_has_no_rank(self, build: Build) -> None:
        model = build()
        adapters.add(model, peft.IA3Config(target_modules=["key", "value"], feedforward_modules=[]))
        assert adapters.summary(model) == "IA3, on key, value"

    def test_on_the_card(self, build: Build, tmp_path: Path) -> None:
        with_adapter(build()).save_pretrained(tmp_path)
        card = (tmp_path / "README.md").read_text()
        assert "| adapter | `LORA of rank 2, alpha 8, on query, value` |" in card
        assert "base_model_relation: adapter" in card and "pip install 'mann_hf[peft]'" in card
        loaded = MANNForSequenceClassification.from_pretrained(tmp_path)
        loaded.config.adapter[adapter_base.BASE] = "me/trained-before"
        assert "base_model: me/trained-before\n" in model_card(model_facts(loaded, "me/adapter"))
        loaded.config.adapter[adapter_base.BASE] = None
        loaded.save_pretrained(tmp_path / "again")
        assert (tmp_path / "again" / "README.md").read_text().count("LORA of rank 2") == 1


class TestAdd:
    @pytest.mark.parametrize("kind", ["LoraConfig", "LoHaConfig"])
    def test_without_target_modules_those_of_the_encoders_family(self, build: Build, kind: str) -> None:
        given, model = getattr(peft, kind)(r=2), build()
        adapters.add(model, given)
        assert set(model.peft_config["default"].target_modules) >= {"query", "value"}
        assert given.target_modules is None, "what was given is left as it is"

    def test_of_a_family_that_peft_does_not_know_all_linear_layers(self) -> None:
        config = adapters._with_targets(peft.LoraConfig(r=2), "a family of its own")
        assert config.target_modules == "all-linear"
        assert adapters._with_targets(peft.LoHaConfig(r=2), "a family of its own").target_modules is None

    def test_what_the_memory_learned_it_goes_on_learning(self, build: Build) -> None:
        free, fixed = build(), build(reading_options={"learn_sharpness": False})
        learned = [
            [name for name, p in with_adapter(each).named_parameters() if p.requires_grad] for each in (free, fixed)
        ]
        assert [[name for name in names if "lora_" not in name] for names in learned] == [["reading.log_sharpness"], []]
        assert has_adapter(free) and not has_adapter(build())


class TestBaseProbe:
    def test_it_is_that_of_the_encoder_before(self, build: Build) -> None:
        model = build()
        before = model.encoder_probe()
        with_adapter(model)
        model.encoder.requires_grad_(False)
        changed = model.encoder_probe()
        assert torch.equal(adapter_base.base_probe(model), before)
        model.loaded_encoder = replace(model.loaded_encoder, states=None)  # as with PEFT's own load_adapter
        assert not same_keys(before, changed)
        assert torch.equal(adapter_base.base_probe(model), before)
        assert torch.equal(model.encoder_probe(), changed), "the adapter is on again"
        assert not any(parameter.requires_grad for parameter in model.encoder.parameters())

    def test_one_that_was_taken_before_is_saved(self, build: Build, tmp_path: Path) -> None:
        model = with_adapter(build())
        own = adapter_base.base_probe(model)
        with adapter_base.saved_with(model, own + 1):
            adapters.save(model, tmp_path / "within")
        adapters.save(model, tmp_path / "after")
        saved = [load_file(tmp_path / name / adapters.WEIGHTS)[adapters.BASE_PROBE] for name in ("within", "after")]
        assert torch.equal(saved[0], own + 1) and torch.equal(saved[1], own)

    def test_an_adapter_that_is_off_stays_off(self, build: Build) -> None:
        model = with_adapter(build())
        model.disable_adapters()
        model.loaded_encoder = replace(model.loaded_encoder, states=None)
        adapter_base.base_probe(model)
        assert active_adapters_on(model) == ()
        model.enable_adapters()
        assert active_adapters_on(model) == ("default",) and active_adapters_on(build()) == ()


def test_a_version_that_transformers_does_not_take_is_told(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.integrations.peft.MIN_PEFT_VERSION", "99.0", raising=False)
    with pytest.raises(InvalidInputError, match="needs peft 99.0 or newer, .* pip install 'transformers<"):
        build().add_adapter(peft.LoraConfig(target_modules=["query"]))


class TestBeside:
    """An adapter that the encoder was given by itself is not the model's."""

    TOLD = r"model.encoder.add_adapter.*call model.add_adapter\("

    @staticmethod
    def config(*modules: str) -> Any:
        return peft.LoraConfig(r=2, target_modules=[*modules])

    @pytest.mark.parametrize("name", ["default", "other"])
    def test_before_the_models(self, build: Build, name: str) -> None:
        model = build()
        model.encoder.add_adapter(self.config("value"), name)
        with pytest.raises(InvalidInputError, match=self.TOLD):
            model.add_adapter(self.config("query"))

    @pytest.mark.parametrize("name", ["default", "other"])
    def test_after_the_models(self, build: Build, tmp_path: Path, name: str) -> None:
        model = build()
        model.add_adapter(self.config("query"))
        model.encoder.add_adapter(self.config("value"), name)
        with pytest.raises(InvalidInputError, match=self.TOLD):
            model.save_pretrained(tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_by_itself(self, build: Build, tmp_path: Path) -> None:
        model = build()
        model.encoder.add_adapter(self.config("query"))
        with pytest.raises(InvalidInputError, match=self.TOLD):
            model.save_pretrained(tmp_path / "new")


class TestSwitched:
    """Keys that were written with an adapter mean nothing to the encoder without it, and the other way round."""

    def taught(self, model: Any) -> FewShotTextClassificationPipeline:
        classifier = FewShotTextClassificationPipeline(model=model)
        classifier.remember(["where is my card", "please send money"], ["card", "money"])
        return classifier

    def switched(self, classifier: FewShotTextClassificationPipeline, told: str) -> None:
        with pytest.raises(EncoderMismatchError, match=told):
            classifier("where is my card")

    def test_off_and_on(self, build: Build, tmp_path: Path) -> None:
        classifier = self.taught(with_adapter(build()))
        before = classifier("where is my card")
        classifier.model.disable_adapters()
        self.switched(classifier, "written with the adapter 'default', and now the encoder has no adapter")
        classifier.model.enable_adapters()
        assert classifier("where is my card") == before
        classifier.save_pretrained(tmp_path)
        assert MANNForSequenceClassification.from_pretrained(tmp_path).memory.entries == classifier.model.memory.entries

    def test_taught_while_it_was_off(self, build: Build, tmp_path: Path) -> None:
        classifier = FewShotTextClassificationPipeline(model=with_adapter(build()))
        classifier.model.disable_adapters()
        self.taught(classifier.model)
        with pytest.raises(InvalidInputError, match="its adapter is switched off"):
            classifier.save_pretrained(tmp_path / "new")
        assert not (tmp_path / "new").exists() and not active_adapters_on(classifier.model)
        classifier.model.enable_adapters()
        self.switched(classifier, "written with no adapter, and now the encoder has the adapter 'default'")
        classifier.model.reencode_memory()
        answer = classifier("where is my card")
        classifier.save_pretrained(tmp_path)
        loaded = FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(tmp_path))
        assert loaded("where is my card")[0]["score"] == pytest.approx(answer[0]["score"], abs=1e-5)

    def test_another_one_and_none(self, build: Build, tmp_path: Path) -> None:
        classifier = self.taught(with_adapter(build()))
        classifier.model.add_adapter(peft.LoraConfig(r=2, target_modules=["key"]), "second")
        classifier.model.set_adapter("second")
        self.switched(classifier, "now the encoder has the adapter 'second'")
        classifier.model.set_adapter("default")
        classifier("where is my card")
        classifier.model.delete_adapter(["default", "second"])
        with pytest.raises(EncoderMismatchError, match="now the encoder has no adapter"):
            classifier("where is my card")

    def test_trained_after_teaching_it_is_saved_if_the_keys_can_be_written_again(
        self, build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
        for texts in (True, False):
            model = build(store_texts=texts)
            self.taught(model)
            with_adapter(model)
            if not texts:
                with pytest.raises(EncoderMismatchError, match="keys of one mean nothing to the other"):
                    model.save_pretrained(tmp_path / "without")
                assert not (tmp_path / "without").exists()
                continue
            model.save_pretrained(tmp_path / "with")
            assert "loaded with from_pretrained(folder, reencode=True)" in caplog.text
            loaded = MANNForSequenceClassification.from_pretrained(tmp_path / "with", reencode=True)
            model.reencode_memory()
            assert torch.allclose(loaded.memory.state.keys, model.memory.state.keys, atol=1e-6)

    def test_weights_that_are_given_are_not_those_that_wrote_the_memory(self, build: Build, tmp_path: Path) -> None:
        """They may be spread over processes, and then the encoder cannot be asked."""
        model = with_adapter(build(store_texts=False))
        self.taught(model)
        with torch.no_grad():
            for parameter in (each for name, each in model.named_parameters() if "lora" in name):
                parameter.add_(1)
        with pytest.raises(EncoderMismatchError):
            model.save_pretrained(tmp_path / "without")
        model.save_pretrained(tmp_path / "with", state_dict=model.state_dict())
        assert (tmp_path / "with" / "memory.safetensors").is_file()

    def test_one_that_changes_nothing_yet_is_put_on(self, build: Build) -> None:
        classifier = self.taught(build())
        before = classifier("where is my card")
        adapters.add(classifier.model, peft.LoraConfig(r=2))
        assert classifier("where is my card") == before
        copied = copy.deepcopy(classifier.model)
        assert copied.memory.adapters == ("default",)


class TestTrainedState:
    def test_into_a_model_with_the_same_adapter(self, build: Build) -> None:
        trained, fresh = with_adapter(build()), with_adapter(build())
        with torch.no_grad():
            trained.reading.log_sharpness += 1
        assert not same_keys(trained.encoder_probe(), fresh.encoder_probe())
        adapters.load_trained_state(fresh, adapters.trained_state(trained), "there")
        assert torch.equal(trained.encoder_probe(), fresh.encoder_probe())
        assert torch.equal(trained.reading.log_sharpness, fresh.reading.log_sharpness)

    def test_of_another_adapter_it_is_refused(self, build: Build) -> None:
        state = adapters.trained_state(with_adapter(build(), rank=3))
        model = with_adapter(build())
        before = model.encoder_probe()
        with pytest.raises(InvalidInputError, match="^there holds the weights of a different adapter than the model"):
            adapters.load_trained_state(model, state, "there")
        assert torch.equal(model.encoder_probe(), before)


class TestSaved:
    def test_and_loaded_with_its_encoder(self, build: Build, tmp_path: Path) -> None:
        model = with_adapter(build())
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert (config["adapter"]["peft_type"], config["adapter"]["r"], config["adapter"]["inference_mode"]) == (
            "LORA",
            2,
            True,
        )
        assert sorted(config["adapter"]["target_modules"]) == ["query", "value"]
        again, told = MANNForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert torch.equal(again.encoder_probe(), model.encoder_probe()) and not again.training
        assert again.config.adapter == model.config.adapter and not any(told.values())

    @pytest.mark.parametrize(
        "change, told",
        [
            ({"r": 10**9}, "holds the weights of a different adapter"),
            ({"rank_pattern": {"query": 10**9}}, "holds the weights of a different adapter"),
            ({"peft_type": "ADALORA", "init_r": 10**9, "total_step": 1}, "is damaged"),
            ({"r": 10**18}, "is damaged|holds the weights of a different"),
            ({"r": "2"}, "is damaged"),
            ({"peft_type": "NONE_SUCH"}, "is damaged"),
            ({"target_modules": 5}, "is damaged"),
            ({"target_modules": ["no_such_module"]}, "is damaged"),
        ],
    )
    def test_what_does_not_fit_its_weights_takes_no_memory(
        self, build: Build, tmp_path: Path, change: dict[str, Any], told: str
    ) -> None:
        with_adapter(build()).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        config["adapter"] |= change
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InvalidInputError, match=told):
            MANNForSequenceClassification.from_pretrained(tmp_path)

    def test_a_probe_and_nothing_else(self, build: Build, tmp_path: Path) -> None:
        with_adapter(build()).save_pretrained(tmp_path)
        probe = load_file(tmp_path / adapters.WEIGHTS)[adapters.BASE_PROBE]
        save_file({adapters.BASE_PROBE: probe}, tmp_path / adapters.WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(InvalidInputError, match="holds the weights of a different adapter"):
            MANNForSequenceClassification.from_pretrained(tmp_path)

    def test_weights_of_something_else(self, build: Build, tmp_path: Path) -> None:
        with_adapter(build()).save_pretrained(tmp_path)
        save_file({"a": torch.zeros(2)}, tmp_path / adapters.WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(InvalidInputError, match="is damaged: its weights have no encoder_probe"):
            MANNForSequenceClassification.from_pretrained(tmp_path)

    def test_a_model_around_which_it_was_trained_is_loaded_too(self, build: Build, tmp_path: Path) -> None:
        base = build(pooling="cls")
        base.encoder.embeddings.word_embeddings.weight.data.mul_(2)
        base.save_pretrained(tmp_path / "base")
        model = with_adapter(MANNForSequenceClassification.from_pretrained(tmp_path / "base"))
        model.save_pretrained(tmp_path / "adapter")
        saved = json.loads((tmp_path / "adapter" / "config.json").read_text())
        assert saved["adapter"][adapter_base.BASE] == str(tmp_path / "base")
        again = MANNForSequenceClassification.from_pretrained(tmp_path / "adapter")
        assert torch.equal(again.encoder_probe(), model.encoder_probe())
        base.encoder.embeddings.word_embeddings.weight.data.normal_()
        base.save_pretrained(tmp_path / "base")
        with pytest.raises(EncoderMismatchError, match="was trained on other weights than .*base"):
            MANNForSequenceClassification.from_pretrained(tmp_path / "adapter")

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_in_half_precision(self, build: Build, tmp_path: Path, dtype: torch.dtype) -> None:
        model = with_adapter(build(dtype=dtype))
        model.save_pretrained(tmp_path)
        again = MANNForSequenceClassification.from_pretrained(tmp_path)
        before, now = ({name: p.dtype for name, p in each.encoder.named_parameters()} for each in (model, again))
        assert before == now and again.dtype is dtype
        assert torch.equal(again.encoder_probe(), model.encoder_probe())
        whole = MANNForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32)
        assert whole.dtype is torch.float32

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_on_an_encoder_that_was_changed_it_is_refused(self, build: Build, tmp_path: Path, moment: str) -> None:
        """Of which nobody would have the weights."""
        model = build()
        model.half().float()  # changes nothing of importance
        if moment != "before":
            with_adapter(model).save_pretrained(tmp_path / "whole")
        weight = model.get_parameter("encoder.encoder.layer.1.output.dense.weight")
        with torch.no_grad():
            weight.mul_(1.1)
        if moment == "before":
            with_adapter(model)
        with pytest.raises(
            InvalidInputError, match=r"changed since it was loaded from .*layer\.1\.output\.dense\.weight"
        ):
            model.save_pretrained(tmp_path / "changed")
        assert not (tmp_path / "changed").exists()

    def test_after_a_save_without_it_its_base_is_what_was_saved(self, build: Build, tmp_path: Path) -> None:
        build().save_pretrained(tmp_path / "base")
        model = MANNForSequenceClassification.from_pretrained(tmp_path / "base")
        with torch.no_grad():
            model.encoder.embeddings.word_embeddings.weight.mul_(1.5)
        model.save_pretrained(tmp_path / "base")
        with_adapter(model).save_pretrained(tmp_path / "adapter")
        again = MANNForSequenceClassification.from_pretrained(tmp_path / "adapter")
        assert torch.equal(again.encoder_probe(), model.encoder_probe())

    def test_on_an_encoder_without_a_name_it_is_refused(self, build: Build, tmp_path: Path) -> None:
        model = build()
        model.config.encoder_name = None
        with pytest.raises(InvalidInputError, match="has no name by which it could be loaded"):
            with_adapter(model).save_pretrained(tmp_path)

    def test_one_of_several(self, build: Build, tmp_path: Path) -> None:
        model = with_adapter(build())
        model.add_adapter(peft.LoraConfig(r=2, target_modules=["key"]), "second")
        model.set_adapter(["default", "second"])
        with pytest.raises(
            InvalidInputError, match="the adapters default, second are active; a model can be saved with only one"
        ):
            model.save_pretrained(tmp_path)
        model.set_adapter("second")
        model.save_pretrained(tmp_path)
        assert all("attention.self.key" in name for name in load_file(tmp_path / adapters.WEIGHTS) if "lora_" in name)

    def test_whether_a_folder_holds_one_is_told_by_its_configuration(self, build: Build, tmp_path: Path) -> None:
        build().save_pretrained(tmp_path / "whole")
        with_adapter(build()).save_pretrained(tmp_path / "adapter")
        held = adapters.config_of(MANNForSequenceClassification, Source.of(tmp_path / "adapter"), {})
        assert held is not None and held.adapter is not None
        whole = adapters.config_of(MANNForSequenceClassification, Source.of(tmp_path / "whole"), {})
        assert whole is not None and whole.adapter is None
        assert adapters.config_of(MANNForSequenceClassification, Source.of(None), {}) is None
        assert (
            adapters.config_of(MANNForSequenceClassification, Source.of(tmp_path / "whole"), {"config": held}) is held
        )

    def test_without_peft_the_extra_is_named(
        self, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_adapter(build()).save_pretrained(tmp_path)
        monkeypatch.setitem(sys.modules, "peft", None)
        with pytest.raises(MissingExtraError, match=r"an adapter on the encoder needs .*'mann_hf\[peft\]'"):
            MANNForSequenceClassification.from_pretrained(tmp_path)
