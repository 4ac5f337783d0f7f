"""Models and memories on a Hub: pushed by the real client, loaded by name in processes of their own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError

from mann_hf import (
    FewShotImageClassificationPipeline,
    FewShotTextClassificationPipeline,
    MANNForImageClassification,
)
from mann_hf.cards import EvaluationResult, MANNModelCardData, TrainingRecord
from mann_hf.cards.render import MEMORY_MARK, MODEL_MARK
from mann_hf.errors import EmptyMemoryError, EncoderMismatchError, HubError, InvalidInputError
from mann_hf.models import adapters
from tests.pictures import save_image_encoder, shape

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[2]
ID, SKILL = "me/my-intents", "me/bank-skill"
ASKED = "where is my money"
MODEL_FILES = {
    ".gitattributes",
    "README.md",
    "config.json",
    "memory.json",
    "memory.safetensors",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
ANSWER = """
from transformers import pipeline
def answer(clf):
    return [(each["label"], each["score"]) for each in clf("where is my money", top_k=None)]
"""


@pytest.fixture(autouse=True)
def logged_in(hub: "LoopbackHub", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)


@pytest.fixture
def clf(build: Any, texts: list[str], labels: list[str]) -> FewShotTextClassificationPipeline:
    clf = FewShotTextClassificationPipeline(model=build())
    clf.remember(texts, labels)
    return clf


@pytest.fixture
def stranger(hub: "LoopbackHub", tmp_path: Path) -> Callable[..., Any]:
    """Runs code in a process that knows the hub and nothing else; what it puts into `told`, or its last words."""

    def run(code: str, token: str | None = None, home: str = "home", **variables: str) -> Any:
        variables = {"HF_HOME": str(tmp_path / home), "PYTHONPATH": str(ROOT), **variables}
        environment = os.environ | hub.environment(token) | variables
        del environment["HF_HUB_CACHE"]
        whole = f"import json, mann_hf\n{ANSWER}\n{code}\nprint(json.dumps(told))"
        done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr.strip().splitlines()

    return run


def answer(clf: Any) -> list[list[Any]]:
    return [[each["label"], each["score"]] for each in clf(ASKED, top_k=None)]


def card(api: HfApi, repo: str = ID) -> Any:
    return ModelCard.load(api.hf_hub_download(repo, "README.md"))


class TestModel:
    def test_all_that_belongs_together(self, clf: Any, hub_api: HfApi, tiny_encoder: Path) -> None:
        commit = clf.push_to_hub("my-intents", tags="banking", commit_message="First")
        assert set(hub_api.list_repo_files(ID)) == MODEL_FILES | {"model_card.json"}  # for the tag
        assert hub_api.list_repo_commits(ID)[0].commit_id == commit.oid
        assert hub_api.list_repo_commits(ID)[0].title == "First"
        data, text = card(hub_api).data, card(hub_api).text
        assert (data.library_name, data.pipeline_tag) == ("mann_hf", "text-classification")
        assert "banking" in data.tags
        assert 'model="me/my-intents"' in text and "`card_arrival` | 2" in text and "where is my card" in text
        assert str(tiny_encoder) not in text  # a folder of this machine

    @pytest.mark.slow
    def test_the_same_answers_in_another_process(
        self, clf: Any, hub_api: HfApi, stranger: Callable[..., Any], texts: list[str]
    ) -> None:
        first = clf.push_to_hub(ID, private=True).oid
        before = answer(clf)
        clf.remember(["my transfer was stolen"], ["stolen"])
        clf.push_to_hub(ID)
        code = f"told = [answer(pipeline('few-shot-text-classification', model={ID!r}, revision=r)) for r in {{}}]"
        assert stranger(code.format([None, first])) == [answer(clf), before]  # to the last bit
        for token in ("", "hf_wrong"):
            error = stranger(code.format([None]), token, home=f"shut-{token}")
            assert isinstance(error[-1], str) and "me/my-intents" in "\n".join(error)

    @pytest.mark.slow
    def test_a_model_pushes_itself(self, build: Any, hub_api: HfApi, stranger: Callable[..., Any]) -> None:
        """Without a pipeline, with nothing taught: the tokenizer goes along, and the card says how to teach."""
        model = build()
        model.model_card_data.license = "mit"
        model.push_to_hub(ID)
        assert set(hub_api.list_repo_files(ID)) == (MODEL_FILES | {"model_card.json"}) - {
            "memory.json",
            "memory.safetensors",
        }
        assert card(hub_api).data.license == "mit"
        python = card(hub_api).text.split("```python\n")[1].split("```")[0]
        told = stranger(f"{python}\ntold = [clf.model.memory.labels, clf.model.model_card_data.license]")
        assert told == [["card_arrival", "refund"], "mit"]

    def test_what_has_not_changed_is_not_sent_again(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi) -> None:
        clf.push_to_hub(ID)
        weights = [upload for upload in hub.uploaded if upload.bytes > 100_000]
        assert len(weights) == 1
        clf.remember(["my transfer was stolen"], ["stolen"])
        clf.push_to_hub(ID)
        assert [upload for upload in hub.uploaded if upload.bytes > 100_000] == weights
        assert len(hub.uploaded) > 1  # the memory's file goes each time

    @pytest.mark.slow
    def test_cut_off_the_old_revision_stays(
        self,
        clf: Any,
        hub: "LoopbackHub",
        hub_api: HfApi,
        stranger: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        before = answer(clf)
        first = clf.push_to_hub(ID).oid
        clf.remember(["my transfer was stolen"], ["stolen"])
        with torch.no_grad():  # so that the large file goes, too
            clf.model.encoder.embeddings.word_embeddings.weight[0] += 1
        hub.cut_uploads_after(1000)
        with pytest.raises(HubError, match=r"interrupted .*disconnected.*Push again"):
            clf.push_to_hub(ID)
        hub.cut_uploads_after(None)
        assert [request.method for request in hub.requests if request.status == 0]  # it was cut in the middle
        assert hub_api.list_repo_commits(ID)[0].commit_id == first
        assert stranger(f"told = answer(pipeline('few-shot-text-classification', model={ID!r}))") == before

    @pytest.mark.slow
    @pytest.mark.parametrize("model", ["{}", "mann_hf.MANNForSequenceClassification.from_pretrained({})"])
    def test_once_loaded_it_loads_without_the_hub(
        self, clf: Any, hub: "LoopbackHub", hub_api: HfApi, stranger: Callable[..., Any], model: str
    ) -> None:
        commit = clf.push_to_hub(ID).oid
        code = f"told = answer(pipeline('few-shot-text-classification', model={model.format(repr(ID))}))"
        hub.requests.clear()
        assert stranger(code) == answer(clf)
        asked = {request.path for request in hub.requests}
        for name in ("model.safetensors", "memory.safetensors", "model_card.json"):  # all at one commit
            assert [path for path in asked if path.endswith(name)] == [f"/{ID}/resolve/{commit}/{name}"]
        assert f"/{ID}/resolve/{commit}/adapter_config.json" in asked  # older pipelines look for it themselves, too
        hub.requests.clear()
        assert stranger(code) == answer(clf)
        # no file is fetched again; older clients ask once more for what was not there
        again = [request for request in hub.requests if f"/resolve/{commit}/" in request.path]
        assert not [request for request in again if request.status != 404]
        assert stranger(code, HF_HUB_OFFLINE="1") == answer(clf)

    @pytest.mark.slow
    def test_an_adapter_goes_alone(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi, stranger: Any) -> None:
        peft = pytest.importorskip("peft")
        adapters.add(clf.model, peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False))
        clf.model.reencode_memory(clf.tokenizer)
        clf.push_to_hub(ID)
        assert max(upload.bytes for upload in hub.uploaded) < 100_000
        assert "pip install 'mann_hf[peft]'" in card(hub_api).text
        assert stranger(f"told = answer(pipeline('few-shot-text-classification', model={ID!r}))") == answer(clf)

    @pytest.mark.slow
    def test_an_adapter_on_a_model_of_the_hub(self, clf: Any, hub_api: HfApi, stranger: Any) -> None:
        pytest.importorskip("peft")
        clf.push_to_hub("me/base")
        code = f"""
import peft
from mann_hf.models import adapters
from tests.pictures import save_image_encoder, shape
clf = pipeline("few-shot-text-classification", model="me/base")
adapters.add(clf.model, peft.LoraConfig(r=2, init_lora_weights=False))
clf.model.reencode_memory(clf.tokenizer)
clf.push_to_hub({ID!r})
told = [answer(clf), answer(pipeline("few-shot-text-classification", model={ID!r}))]
"""
        told = stranger(code)
        assert isinstance(told[0], list) and told[0] == told[1], "\n".join(told[-40:])
        assert card(hub_api).data.base_model == "me/base" and card(hub_api).data["base_model_relation"] == "adapter"

    def test_what_is_no_more_is_removed(self, clf: Any, hub_api: HfApi) -> None:
        clf.model.push_to_hub(ID, max_shard_size="30KB")
        assert any("-of-" in name for name in hub_api.list_repo_files(ID))
        for label in list(clf.model.memory.labels):
            clf.forget(label=label)
        clf.push_to_hub(ID)
        assert set(hub_api.list_repo_files(ID)) == MODEL_FILES - {"memory.json", "memory.safetensors"}

    def test_files_of_others_stay(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi) -> None:
        others = {"model_onnx.safetensors", "models/other.safetensors", "model_old/a.safetensors", "sub/memory.json"}
        hub.add_repo(ID, dict.fromkeys(others, b"theirs"))
        clf.push_to_hub(ID)
        assert others < set(hub_api.list_repo_files(ID))

    def test_no_folder_of_this_machine_is_told(
        self, clf: Any, hub_api: HfApi, tiny_encoder: Path, tmp_path: Path
    ) -> None:
        clf.save_pretrained(tmp_path / "here")
        FewShotTextClassificationPipeline(model=clf.model.from_pretrained(tmp_path / "here")).push_to_hub(ID)
        for name in hub_api.list_repo_files(ID):
            content = Path(hub_api.hf_hub_download(ID, name)).read_bytes()
            assert str(tiny_encoder).encode() not in content and str(tmp_path).encode() not in content, name
        assert clf.model.config.encoder_name == str(tiny_encoder)  # of the model itself it is still the folder

    def test_private_where_it_is_public(self, clf: Any, hub_api: HfApi) -> None:
        first = clf.push_to_hub(ID).oid
        for push in (clf.push_to_hub, clf.push_memory_to_hub):
            with pytest.raises(InvalidInputError, match="exists already and is public"):
                push(ID, private=True)
        assert hub_api.repo_info(ID).sha == first

    def test_tags_are_of_one_push(self, clf: Any, hub_api: HfApi) -> None:
        clf.push_to_hub(ID, tags="banking")
        clf.push_to_hub("me/other")
        assert "banking" in card(hub_api).data.tags and "banking" not in card(hub_api, "me/other").data.tags

    def test_a_branch(self, clf: Any, hub_api: HfApi) -> None:
        first = clf.push_to_hub(ID).oid
        clf.remember(["my transfer was stolen"], ["stolen"])
        second = clf.push_to_hub(ID, revision="next").oid
        assert [hub_api.repo_info(ID, revision=name).sha for name in ("main", "next")] == [first, second]

    def test_saved_with_push_to_hub(self, clf: Any, hub_api: HfApi, tmp_path: Path) -> None:
        clf.save_pretrained(tmp_path / "my-intents", push_to_hub=True)
        clf.model.save_pretrained(tmp_path / "other", push_to_hub=True, repo_id="me/named", max_shard_size="50KB")
        assert set(hub_api.list_repo_files(ID)) == MODEL_FILES
        shards = {name for name in hub_api.list_repo_files("me/named") if name.startswith("model")}
        assert len(shards) > 2 and "model.safetensors" not in shards
        assert set(hub_api.list_repo_files("me/named")) - shards == MODEL_FILES - {"model.safetensors"}
        assert 'model="me/my-intents"' in card(hub_api).text
        assert 'model="my-intents"' in (tmp_path / "my-intents" / "README.md").read_text()

    def test_results_are_in_both_forms(self, clf: Any, hub_api: HfApi) -> None:
        clf.model.model_card_data.add_result(
            EvaluationResult("accuracy", 0.91, "BANKING77", "5-shot", 0.01, dataset_id="PolyAI/banking77")
        )
        clf.push_to_hub(ID)
        (result,) = card(hub_api).data.eval_results
        assert (result.dataset_type, result.metric_type, result.metric_value) == ("PolyAI/banking77", "accuracy", 0.91)
        path = hub_api.hf_hub_download(ID, ".eval_results/mann_hf.yaml")
        (entry,) = yaml.safe_load(Path(path).read_text())
        assert entry["dataset"] == {"id": "PolyAI/banking77", "task_id": "5-shot-accuracy"} and entry["value"] == 0.91
        clf.model.model_card_data.results = []
        clf.push_to_hub(ID)
        assert ".eval_results/mann_hf.yaml" not in hub_api.list_repo_files(ID)

    def test_without_a_tokenizer(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi) -> None:
        clf.model.config.encoder_name = None
        with pytest.raises(InvalidInputError, match="no tokenizer was found"):
            clf.model.push_to_hub(ID)
        assert not hub_api.repo_exists(ID)
        clf.model.push_to_hub(ID, processing_class=clf.tokenizer)

    def test_a_pull_request_to_a_model_of_others(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi) -> None:
        clf.push_to_hub(ID)
        files = {name: Path(hub_api.hf_hub_download(ID, name)).read_bytes() for name in MODEL_FILES}
        first = hub.add_repo("they/my-intents", files)
        clf.remember(["my transfer was stolen"], ["stolen"])
        made = clf.push_to_hub("they/my-intents", create_pr=True)
        assert made.pr_revision == "refs/pr/1" and hub_api.model_info("they/my-intents").sha == first
        clf.remember(["i lost my phone"], ["phone"])
        clf.push_memory_to_hub("they/my-intents", revision="refs/pr/1")
        proposed = hub_api.hf_hub_download("they/my-intents", "config.json", revision="refs/pr/1")
        assert set(json.loads(Path(proposed).read_text())["label2id"]) == set(clf.model.memory.labels)


class TestMemory:
    @pytest.mark.slow
    def test_pushed_loaded_and_rolled_back(
        self, clf: Any, hub_api: HfApi, stranger: Callable[..., Any], tiny_encoder: Path
    ) -> None:
        first = clf.push_memory_to_hub(SKILL, private=True).oid
        before = answer(clf)
        clf.remember(["my transfer was stolen"], ["stolen"])
        second = clf.model.push_memory_to_hub(SKILL, commit_message="Stolen things").oid
        assert set(hub_api.list_repo_files(SKILL)) == {
            ".gitattributes",
            "README.md",
            "memory.json",
            "memory.safetensors",
        }
        told = stranger(f"""
model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained({str(tiny_encoder)!r})
clf = pipeline("few-shot-text-classification", model=model)
told = []
for revision in (None, {first!r}, {second!r}):
    model.load_memory({SKILL!r}, revision=revision)
    told.append(answer(clf))
""")
        assert told == [answer(clf), before, answer(clf)]

    def test_its_card(self, clf: Any, hub_api: HfApi, tiny_encoder: Path) -> None:
        clf.model.model_card_data = MANNModelCardData(
            license="mit", training=TrainingRecord(steps=3), results=[EvaluationResult("accuracy", 0.5, "x")]
        )
        clf.push_memory_to_hub(SKILL)
        told = card(hub_api, SKILL)
        assert told.data.library_name == "mann_hf" and told.data.license == "mit" and told.data.pipeline_tag is None
        assert told.data.eval_results is None  # they are the model's
        assert MEMORY_MARK in told.content and "card_arrival" in told.text and str(tiny_encoder) not in told.text
        assert 'model.load_memory("me/bank-skill")' in told.text
        assert "or into one with the same weights: " in told.text and "```python" not in told.text

    def test_what_its_card_says_runs(
        self, build: Any, hub_api: HfApi, tiny_encoder: Path, texts: Any, labels: Any
    ) -> None:
        model = build(pooling="cls", reading="attention", max_seq_length=16)
        clf = FewShotTextClassificationPipeline(model=model)
        clf.remember(texts, labels)
        model.config.encoder_name = "me/encoder"  # as if it had come from there
        clf.push_memory_to_hub(SKILL)
        (python,) = re.findall(r"^```python\n(.*?)^```$", card(hub_api, SKILL).text, re.MULTILINE | re.DOTALL)
        assert (
            "from_encoder_pretrained(\"me/encoder\", pooling='cls', max_seq_length=16, reading='attention')" in python
        )
        names: dict = {}
        offline = python.replace("me/encoder", str(tiny_encoder)).replace('"me/bank-skill"', "memory")
        names["memory"] = Path(hub_api.hf_hub_download(SKILL, "memory.safetensors")).parent
        exec(offline, names)
        assert answer(names["clf"]) == answer(clf)

    def test_of_an_encoder_that_was_trained_further(self, clf: Any, hub_api: HfApi) -> None:
        clf.model.config.encoder_name = "sentence-transformers/all-MiniLM-L6-v2"
        clf.model.model_card_data.training = TrainingRecord(steps=1)
        clf.push_memory_to_hub(SKILL)
        told = card(hub_api, SKILL)
        assert "MiniLM" not in told.content and "as embeddings of\none encoder" in told.text
        assert "or into one with the same weights: " in told.text

    def test_beside_a_model_all_follows(self, clf: Any, hub_api: HfApi) -> None:
        clf.model.model_card_data.license = "mit"
        clf.push_to_hub(ID)
        clf.model.model_card_data.license = None
        clf.remember(["my transfer was stolen"], ["stolen"])
        clf.push_memory_to_hub(ID)
        assert set(hub_api.list_repo_files(ID)) == MODEL_FILES | {"model_card.json"}
        told = card(hub_api)
        assert MODEL_MARK in told.content and "| `stolen` | 1 |" in told.text and told.data.license == "mit"
        config = json.loads(Path(hub_api.hf_hub_download(ID, "config.json")).read_text())
        assert "stolen" in config["label2id"] and config["model_type"] == "mann"
        clf.push_memory_to_hub(SKILL)
        clf.push_to_hub(SKILL)  # a model takes the place of a memory
        assert MODEL_MARK in card(hub_api, SKILL).content

    def test_of_another_encoder_beside_a_model(self, clf: Any, hub_api: HfApi) -> None:
        first = clf.push_to_hub(ID).oid
        with torch.no_grad():
            clf.model.encoder.embeddings.word_embeddings.weight.mul_(-1)
        clf.model.reencode_memory(clf.tokenizer)
        with pytest.raises(EncoderMismatchError, match="in me/my-intents was written by"):
            clf.push_memory_to_hub(ID)
        assert hub_api.repo_info(ID).sha == first

    def test_beside_a_model_without_a_memory(self, clf: Any, build: Any, hub: Any, hub_api: HfApi) -> None:
        hub.add_repo(ID, {"README.md": b""})
        FewShotTextClassificationPipeline(model=build(reading="attention")).push_to_hub(ID)
        first = hub_api.repo_info(ID).sha
        weight = clf.model.encoder.embeddings.word_embeddings.weight
        with torch.no_grad():
            weight.mul_(-1)
        clf.model.reencode_memory(clf.tokenizer)
        with pytest.raises(EncoderMismatchError, match="the memory that is pushed to me/my-intents was written by"):
            clf.push_memory_to_hub(ID)
        assert hub_api.repo_info(ID).sha == first
        with torch.no_grad():
            weight.mul_(-1)
        clf.model.reencode_memory(clf.tokenizer)
        clf.push_memory_to_hub(ID)
        config = json.loads(Path(hub_api.hf_hub_download(ID, "config.json")).read_text())
        assert config["reading"] == "attention" and set(config["label2id"]) == set(clf.model.memory.labels)
        assert "| reading of the memory | `attention` |" in card(hub_api).text  # of the model that is there
        assert clf.model.config.reading == "logistic"

    def test_beside_a_model_of_another_kind(self, clf: Any, build: Any, hub: Any, hub_api: HfApi) -> None:
        first = hub.add_repo("me/bert", {"config.json": b'{"model_type": "bert"}'})
        with pytest.raises(InvalidInputError, match="holds a model of type 'bert', which has no memory"):
            clf.push_memory_to_hub("me/bert")
        assert hub_api.repo_info("me/bert").sha == first
        FewShotTextClassificationPipeline(model=build(problem_type="regression")).push_to_hub(ID)
        with pytest.raises(
            InvalidInputError, match="is for problem_type='single_label_.*, and the model in me/my-intents for"
        ):
            clf.push_memory_to_hub(ID)

    def test_the_file_alone_is_loaded(self, clf: Any, build: Any, tmp_path: Path) -> None:
        clf.save_memory(tmp_path)
        model = build()
        model.load_memory((tmp_path / "memory.safetensors").rename(tmp_path / "skill.safetensors"))
        assert model.memory.labels == clf.model.memory.labels

    def test_nothing_to_publish(self, build: Any, hub_api: HfApi) -> None:
        with pytest.raises(EmptyMemoryError, match="nothing to publish: teach it first"):
            build().push_memory_to_hub(SKILL)
        assert not hub_api.repo_exists(SKILL)


class TestCardsThatAreThere:
    def test_a_text_of_ones_own_stays(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi, tmp_path: Path) -> None:
        own = "---\nlicense: mit\n---\n\n# All mine\n"
        hub.add_repo(ID, {"README.md": own.encode()})
        clf.push_to_hub(ID)
        assert card(hub_api).content == own
        (tmp_path / "README.md").write_text(own)
        clf.save_pretrained(tmp_path)
        assert (tmp_path / "README.md").read_text() == own

    def test_a_text_of_ones_own_in_the_folder_is_pushed(self, clf: Any, hub_api: HfApi, tmp_path: Path) -> None:
        clf.save_pretrained(tmp_path)
        rendered = (tmp_path / "README.md").read_text()
        (tmp_path / "README.md").write_text(rendered.replace(MODEL_MARK, "My own words."))
        FewShotTextClassificationPipeline(model=clf.model.from_pretrained(tmp_path)).push_to_hub(ID)
        assert "My own words." in card(hub_api).content and MODEL_MARK not in card(hub_api).content

    def test_a_link_of_a_stranger_publishes_no_file_of_ones_own(self, clf: Any, hub_api: HfApi, tmp_path: Path) -> None:
        (tmp_path / "private.txt").write_text("a secret of mine")
        clf.save_pretrained(tmp_path / "theirs")
        (tmp_path / "theirs" / "README.md").unlink()
        (tmp_path / "theirs" / "README.md").symlink_to(tmp_path / "private.txt")
        FewShotTextClassificationPipeline(model=clf.model.from_pretrained(tmp_path / "theirs")).push_to_hub(ID)
        assert "secret" not in card(hub_api).content and MODEL_MARK in card(hub_api).content

    def test_a_card_that_cannot_be_fetched_is_not_overwritten(
        self, clf: Any, hub: "LoopbackHub", hub_api: HfApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add_repo(ID, {"README.md": b"# All mine"})

        def fail(*args: Any, **kwargs: Any) -> Any:
            raise LocalEntryNotFoundError("the Hub is out of reach")

        monkeypatch.setattr(HfApi, "hf_hub_download", fail)
        with pytest.raises(HubError, match="out of reach"):
            clf.push_to_hub(ID)
        monkeypatch.undo()

    def test_a_card_that_changes_meanwhile_is_kept(
        self, clf: Any, hub: "LoopbackHub", hub_api: HfApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clf.push_to_hub(ID)
        upload: Any = HfApi.upload_folder
        times: list[int] = []

        def meanwhile(self: HfApi, **kwargs: Any) -> Any:
            if not times:
                hub.add_repo(ID, {"README.md": b"# All mine"})
            times.append(1)
            return upload(self, **kwargs)

        monkeypatch.setattr(HfApi, "upload_folder", meanwhile)
        clf.remember(["my transfer was stolen"], ["stolen"])
        clf.push_to_hub(ID)
        assert len(times) == 2 and "# All mine" in card(hub_api).content and MODEL_MARK not in card(hub_api).content

    def test_metadata_alone_is_filled_up(self, clf: Any, hub: "LoopbackHub", hub_api: HfApi) -> None:
        hub.add_repo(ID, {"README.md": b"---\nlicense: mit\n---\n"})
        clf.push_to_hub(ID)
        clf.remember(["my transfer was stolen"], ["stolen"])
        clf.push_to_hub(ID)
        assert card(hub_api).data.license == "mit" and "`stolen`" in card(hub_api).text

    def test_a_save_without_one(self, clf: Any, tmp_path: Path) -> None:
        clf.save_pretrained(tmp_path / "clf", create_model_card=False)
        clf.model.save_pretrained(tmp_path / "model", create_model_card=False)
        assert not list(tmp_path.glob("*/README.md"))

    def test_a_card_in_another_encoding_stays(self, clf: Any, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_bytes("# Größe".encode("latin-1"))
        clf.save_pretrained(tmp_path)
        assert (tmp_path / "README.md").read_bytes() == "# Größe".encode("latin-1")

    def test_results_that_are_no_more_go(self, clf: Any, tmp_path: Path) -> None:
        result = EvaluationResult("accuracy", 0.5, "x", dataset_id="a/b")
        clf.model.model_card_data.results = [result]
        clf.save_pretrained(tmp_path)
        assert (tmp_path / ".eval_results" / "mann_hf.yaml").exists()
        clf.save_pretrained(tmp_path, create_model_card=False)
        assert (tmp_path / "model_card.json").exists() and (tmp_path / ".eval_results" / "mann_hf.yaml").exists()
        clf.model.model_card_data.results = []
        clf.save_pretrained(tmp_path)
        assert not (tmp_path / "model_card.json").exists()
        assert not (tmp_path / ".eval_results" / "mann_hf.yaml").exists()


def test_what_a_card_said_is_known_again(clf: Any, tmp_path: Path, told: Callable[[], list[str]]) -> None:
    said = MANNModelCardData(license="mit", training=TrainingRecord(steps=3), limits=["Not for animals."])
    clf.model.model_card_data = said
    clf.save_pretrained(tmp_path)
    assert clf.model.from_pretrained(tmp_path).model_card_data == said
    (tmp_path / "model_card.json").write_text("[1")
    assert clf.model.from_pretrained(tmp_path).model_card_data == MANNModelCardData()
    assert len(told()) == 1 and "model_card.json of" in told()[0]
    clf.model.model_card_data = MANNModelCardData()
    clf.save_pretrained(tmp_path)
    assert not (tmp_path / "model_card.json").exists()


class TestImages:
    """A model of images: its image processor goes with it, its card shows no digests."""

    @pytest.fixture
    def images(self, tmp_path: Path) -> FewShotImageClassificationPipeline:
        model = MANNForImageClassification.from_encoder_pretrained(save_image_encoder("vit", tmp_path / "encoder"))
        clf = FewShotImageClassificationPipeline(model=model)
        clf.remember([shape("disc", 1), shape("disc", 2), shape("cross", 3)], ["disc", "disc", "cross"])
        return clf

    def test_the_model(self, hub_api: HfApi, images: FewShotImageClassificationPipeline) -> None:
        images.push_to_hub(ID)
        tokenizers = {"tokenizer.json", "tokenizer_config.json"}
        assert {*hub_api.list_repo_files(ID)} == MODEL_FILES - tokenizers | {"preprocessor_config.json"}
        again = FewShotImageClassificationPipeline(model=MANNForImageClassification.from_pretrained(ID))
        assert again(shape("disc", 4), top_k=None) == images(shape("disc", 4), top_k=None)
        found = card(hub_api)
        assert found.data.pipeline_tag == "image-classification" and "pip install 'mann_hf[images]'" in found.text
        assert "An image classifier" in found.text and "| `disc` | 2 |\n| `cross` | 1 |" in found.text
        assert "blake2b" not in found.content and "pooling" not in found.text and "label_names" not in found.text

    def test_the_memory(self, hub_api: HfApi, images: FewShotImageClassificationPipeline) -> None:
        images.push_memory_to_hub(SKILL)
        found = card(hub_api, SKILL)
        assert "3 labelled images of 2 labels" in found.text and "blake2b" not in found.content
        other = images.with_own_memory()
        other.forget(label="disc")
        other.load_memory(SKILL)
        assert other(shape("disc", 4), top_k=None) == images(shape("disc", 4), top_k=None)
        images.push_to_hub(ID)
        images.remember([shape("square", 5)], ["square"])
        images.push_memory_to_hub(ID)
        assert "| `square` | 1 |" in card(hub_api).text
