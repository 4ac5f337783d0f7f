"""Images from end to end: taught, asked, forgotten, saved, loaded and refused."""

import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets import Image as DataImage
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoProcessor,
    ViTModel,
    pipeline,
)

from mann_hf import (
    EpisodicTrainer,
    EpisodicTrainingArguments,
    MANNForImageClassification,
    MANNForSequenceClassification,
)
from mann_hf.controllers.image_processor import image_processor_of
from mann_hf.controllers.pictures import as_image, content_of
from mann_hf.episodes import Episode, Examples
from mann_hf.errors import (
    EmptyMemoryError,
    EncoderMismatchError,
    FolderError,
    InvalidInputError,
    InvalidTypeError,
    MemoryFileError,
    MissingExtraError,
    NotInMemoryError,
)
from mann_hf.models import Example
from mann_hf.models.memory_keys import lack_inputs
from mann_hf.persistent.labelled_files import describe
from mann_hf.pipelines import FEW_SHOT_IMAGE_TASK, FewShotImageClassificationPipeline
from mann_hf.training.evaluation import answer_episodes
from tests.pictures import KINDS, SIZE, counting_decoded, save_image_encoder, shape

TASK: Any = FEW_SHOT_IMAGE_TASK
PICTURES = [shape(kind, number) for kind in KINDS for number in range(3)]
LABELS = [kind for kind in KINDS for _ in range(3)]
ASKED = [shape(kind, 100 + number) for kind in KINDS for number in range(2)]
Make = Callable[..., FewShotImageClassificationPipeline]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A pipeline around a tiny encoder: `make("vit", **kwargs of from_encoder_pretrained)`."""

    def made(kind: str = "vit", tokenizer: Any = None, **kwargs: Any) -> FewShotImageClassificationPipeline:
        folder = tmp_path / f"encoder-{kind}"
        if not folder.exists():
            save_image_encoder(kind, folder, tokenizer)
        return pipeline(TASK, model=MANNForImageClassification.from_encoder_pretrained(folder, **kwargs))

    return made


@pytest.fixture
def taught(make: Make) -> FewShotImageClassificationPipeline:
    classifier = make()
    classifier.remember(PICTURES, LABELS)
    return classifier


def answers(classifier: Any, pictures: Any = ASKED) -> list[list[tuple[str, float]]]:
    return [[(one["label"], one["score"]) for one in ranked] for ranked in classifier(pictures, top_k=None)]


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_one_picture_has_one_id_whichever_way_it_comes(make: Make, kind: str, tmp_path: Path) -> None:
    classifier = make(kind)
    PICTURES[0].save(tmp_path / "one.png")
    pixels = np.asarray(PICTURES[0])
    ways = [
        PICTURES[0],
        str(tmp_path / "one.png"),
        tmp_path / "one.png",
        pixels,
        torch.from_numpy(pixels).permute(2, 0, 1),
    ]
    ids = [classifier.remember([way], ["square"]) for way in ways]
    assert ids == ids[:1] * len(ways) and len(classifier.model.memory) == 1
    scores = {classifier(way)[0]["score"] for way in ways}
    assert len(scores) == 1


def test_answers_name_the_pictures_behind_them(taught: FewShotImageClassificationPipeline) -> None:
    (answer,) = taught(PICTURES[0], evidence=None)
    assert {part["label"] for part in answer["evidence"]} == {answer["label"]}
    assert answer["evidence"][0]["digest"].startswith("blake2b:") and "text" not in answer["evidence"][0]
    assert answer["evidence"][0]["image"] == answer["evidence"][0]["digest"]
    behind = [picture for picture, label in zip(PICTURES, LABELS, strict=True) if label == answer["label"]]
    assert {part["id"] for part in answer["evidence"]} == {*taught.remember(behind, [answer["label"]] * 3)}


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_saved_and_loaded_it_answers_the_same(make: Make, kind: str, tmp_path: Path) -> None:
    classifier = make(kind)
    classifier.remember(PICTURES, LABELS)
    classifier.save_pretrained(tmp_path / "saved")
    again = pipeline(TASK, model=str(tmp_path / "saved"))
    assert answers(again) == answers(classifier) and again.model.config.modality == "image"
    assert type(AutoModelForImageClassification.from_pretrained(tmp_path / "saved")) is MANNForImageClassification
    encoder = AutoModel.from_pretrained(tmp_path / "saved")
    assert type(encoder) is type(classifier.model.encoder)
    made: Any = classifier.image_processor
    assert AutoImageProcessor.from_pretrained(tmp_path / "saved").to_dict() == made.to_dict()
    assert "pixel_values" not in (tmp_path / "saved" / "README.md").read_text()


def test_the_stock_pipeline_gives_the_same_scores(taught: FewShotImageClassificationPipeline, tmp_path: Path) -> None:
    taught.save_pretrained(tmp_path)
    stock: Any = pipeline("image-classification", model=str(tmp_path))
    for picture, ranked in zip(ASKED, answers(taught), strict=True):
        found = [(one["label"], one["score"]) for one in stock(picture, top_k=3)]
        assert [label for label, _ in found] == [label for label, _ in ranked]
        assert [score for _, score in found] == pytest.approx([score for _, score in ranked], abs=1e-6)


def test_what_is_forgotten_is_as_if_it_had_never_been(taught: FewShotImageClassificationPipeline) -> None:
    before = answers(taught)
    extra = taught.remember([shape("disc", 50)], ["moon"])
    assert "moon" in dict(answers(taught)[0])
    taught.forget(extra)
    assert answers(taught) == before
    taught.forget(label="disc")
    assert "disc" not in dict(answers(taught)[0])
    with pytest.raises(NotInMemoryError, match="did you mean 'square'"):
        taught.forget(label="squares")


def test_many_at_a_time_are_answered_as_few(
    taught: FewShotImageClassificationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(taught)
    done: list[int] = []
    monkeypatch.setattr(FewShotImageClassificationPipeline, "chunk", 2)
    found = taught(ASKED, top_k=None, progress=done.append)
    assert [[one["label"] for one in ranked] for ranked in found] == [[name for name, _ in each] for each in expected]
    assert sum(done) == len(ASKED)
    assert [one["label"] for one in taught(iter(ASKED))] == [ranked[0][0] for ranked in expected]
    found = taught(one for one in [*ASKED[:3], "absent.png"])
    assert next(found)
    with pytest.raises(InvalidInputError, match=r"^image 3 .counted from 0.: there is no file 'absent.png'"):
        list(found)


def test_grey_and_colour(tmp_path: Path) -> None:
    """An encoder of grey pictures takes coloured ones as grey."""
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=32, num_channels=1)
    classifier = pipeline(TASK, model=model)
    classifier.remember([shape(kind, number, "L") for kind in KINDS for number in range(3)], LABELS)
    assert [one["label"] for one in (classifier(picture)[0] for picture in PICTURES)] == LABELS
    classifier.save_pretrained(tmp_path)
    assert answers(pipeline(TASK, model=str(tmp_path))) == answers(classifier)


class TestGreyInTheStockPipeline:
    """It turns every picture to colour, and an encoder of grey pictures takes it as grey again."""

    @pytest.fixture
    def grey(self) -> FewShotImageClassificationPipeline:
        torch.manual_seed(0)
        model = MANNForImageClassification.from_encoder_config("conv4", image_size=24, num_channels=1)
        classifier = pipeline(TASK, model=model)
        classifier.remember([picture.convert("L") for picture in PICTURES], LABELS)
        return classifier

    @pytest.mark.parametrize(("mode", "within"), [("L", 1e-5), ("RGB", 0.01)])
    def test_the_scores_are_the_same(
        self, grey: FewShotImageClassificationPipeline, mode: str, within: float, tmp_path: Path
    ) -> None:
        """Of colour pictures but for rounding, as they turn grey before they are resized, and there after it."""
        asked = [picture.convert(mode) for picture in ASKED]
        expected = [dict(ranked) for ranked in answers(grey, asked)]
        grey.save_pretrained(tmp_path)
        stock: Any = pipeline("image-classification", model=str(tmp_path))
        for picture, scores in zip(asked, expected, strict=True):
            assert {one["label"]: one["score"] for one in stock(picture, top_k=3)} == pytest.approx(scores, abs=within)
        assert answers(pipeline(TASK, model=str(tmp_path)), asked) == [[*scores.items()] for scores in expected]

    def test_a_folder_with_settings_of_one_channel_answers_the_same(
        self, grey: FewShotImageClassificationPipeline, tmp_path: Path
    ) -> None:
        grey.save_pretrained(tmp_path)
        path = tmp_path / "preprocessor_config.json"
        settings = json.loads(path.read_text())
        assert settings["image_mean"] == settings["image_std"] == [0.5] * 3
        path.write_text(json.dumps({**settings, "image_mean": [0.5], "image_std": [0.5]}))
        assert answers(pipeline(TASK, model=str(tmp_path))) == answers(grey)


class TestWords:
    """Encoders with a text half, whose vectors lie in the space of images."""

    @pytest.mark.parametrize("kind", ["clip", "siglip"])
    def test_labels_words_are_entries(self, make: Make, kind: str, tiny_tokenizer: Any, tmp_path: Path) -> None:
        classifier = make(kind, tiny_tokenizer)
        assert classifier.model.config.label_names
        classifier.remember(PICTURES, LABELS)
        evidence = classifier(ASKED[0], evidence=None)[0]["evidence"]
        assert len(evidence) == 4 and evidence[0]["label"] in KINDS
        assert any(part.get("text") == part["label"] for part in evidence), "the label's own words"
        assert all(("text" in part) != ("digest" in part) for part in evidence)
        classifier.save_pretrained(tmp_path / "saved")
        again = pipeline(TASK, model=str(tmp_path / "saved"))
        assert answers(again) == answers(classifier)
        again.remember([shape("disc", 50)], ["moon"])
        assert "moon" in again.model.memory.named_labels

    def test_a_vision_encoder_has_none(self, make: Make, taught: FewShotImageClassificationPipeline) -> None:
        assert not taught.model.config.label_names and not taught.model.memory.names
        with pytest.raises(InvalidInputError, match="label_names is True, and an encoder of the type 'vit' reads no"):
            make("vit", label_names=True)

    def test_another_pooling_has_no_words(self, make: Make, tiny_tokenizer: Any) -> None:
        with pytest.raises(InvalidInputError, match="takes 'pooler', the vector that texts share"):
            make("clip", tiny_tokenizer, pooling="mean")


class TestRefused:
    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ("absent.png", "image 1 .counted from 0.: there is no file 'absent.png'"),
            (np.zeros((0, 0, 3), np.uint8), "0 x 0 pixels has nothing to see"),
            (np.full((8, 8, 3), np.nan), "an array with NaN"),
            (np.zeros((8, 8, 7), np.uint8), "an array of the shape"),
            (3, "3 of type int is no image"),
        ],
    )
    def test_pictures_that_are_none_change_nothing(self, make: Make, bad: Any, message: str) -> None:
        classifier = make()
        with pytest.raises((InvalidInputError, InvalidTypeError), match=message):
            classifier.remember([PICTURES[0], bad], ["a", "b"])
        assert not len(classifier.model.memory)

    def test_a_damaged_file(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "no.png").write_bytes(b"not a picture")
        PICTURES[0].save(tmp_path / "cut.png")
        (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-40])
        for name in ("no.png", "cut.png"):
            with pytest.raises(InvalidInputError, match=rf"{name}' is no picture that can be read"):
                make().remember([tmp_path / name], ["a"])

    def test_a_bad_picture_at_the_end_is_told_before_any_is_decoded(
        self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        classifier, paths = make(), [str(tmp_path / f"{number}.png") for number in range(3)]
        for path, picture in zip(paths, PICTURES, strict=False):
            picture.save(path)
        decoded = counting_decoded(monkeypatch)
        with pytest.raises(InvalidInputError, match=r"image 3 .counted from 0.: there is no file"):
            classifier.remember([*paths, "absent.png"], ["a", "b", "c", "d"])
        assert not decoded
        classifier.remember(paths, ["a", "b", "c"])
        assert len(decoded) == 3, "each once: for its key and for its id"
        classifier(paths)
        assert len(decoded) == 6

    def test_lengths_labels_and_nothing(self, make: Make) -> None:
        classifier = make()
        with pytest.raises(InvalidInputError, match="2 labels came for 1 image; give one"):
            classifier.remember([PICTURES[0]], ["a", "b"])
        with pytest.raises(InvalidInputError, match="nothing to remember: give images"):
            classifier.remember([], [])
        with pytest.raises(EmptyMemoryError):
            classifier(PICTURES[0])
        with pytest.raises(InvalidTypeError, match="images came as a table"):
            classifier(type("Table", (), {"column_names": ["image"]})())

    def test_a_model_of_texts(self, make: Make, tiny_classifier: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
        tiny_classifier().save_pretrained(tmp_path / "texts")
        for load in (
            lambda: pipeline(TASK, model=str(tmp_path / "texts")),
            lambda: MANNForImageClassification.from_pretrained(tmp_path / "texts"),
        ):
            with pytest.raises(InvalidTypeError, match="a model of texts .modality='text'.: load it with the class of"):
                load()
        with pytest.raises(InvalidTypeError, match="takes a MANNForImageClassification"):
            FewShotImageClassificationPipeline(model=tiny_classifier(), tokenizer=tiny_tokenizer)
        make().save_pretrained(tmp_path / "images")
        with pytest.raises(InvalidTypeError, match="a model of images"):
            MANNForSequenceClassification.from_pretrained(tmp_path / "images")

    def test_an_encoder_of_texts(self, tiny_encoder: Path) -> None:
        with pytest.raises(InvalidInputError, match="BertModel is no image encoder: it takes no pixel_values"):
            MANNForImageClassification.from_encoder_pretrained(tiny_encoder)

    FIELDS: ClassVar = [
        *({"max_seq_length": 8}, {"prompts": {"q": "query: "}}, {"lower_case": True}),
        *({"pool_prompt": False}, {"store_texts": False}),
    ]

    @pytest.mark.parametrize("field", FIELDS, ids=str)
    def test_settings_of_texts(self, make: Make, field: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match="a model of modality 'image' has no such setting") as told:
            make(**field)
        assert ("it is store_inputs" in str(told.value)) is ("store_texts" in field)

    def test_settings_of_texts_that_say_nothing(self, make: Make) -> None:
        make(max_seq_length=None, prompts={}, prompt_name=None, lower_case=False, pool_prompt=True, store_texts=True)

    def test_settings_that_would_fill_the_memory(self, make: Make, tmp_path: Path) -> None:
        make().save_pretrained(tmp_path / "saved")
        path = tmp_path / "saved" / "preprocessor_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, "size": {"height": 10**6, "width": 10**6}}))
        with pytest.raises(FolderError, match=r"preprocessor_config.json' is damaged: its size is"):
            pipeline(TASK, model=str(tmp_path / "saved"))
        path.write_text("[]")
        with pytest.raises(FolderError, match=r"preprocessor_config.json"):
            pipeline(TASK, model=str(tmp_path / "saved"))

    def test_without_pillow(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        classifier = make()
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(MissingExtraError, match=r"mann_hf\[images\]"):
            classifier.remember([np.zeros((8, 8, 3), np.uint8)], ["a"])


def test_a_memory_without_its_pictures_is_not_written_again(
    taught: FewShotImageClassificationPipeline, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="keeps no images .store_inputs=False., so its keys cannot be"):
        taught.model.reencode_memory(taught.image_processor)
    taught.save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="the memory keeps no images"):
        MANNForImageClassification.from_pretrained(tmp_path, reencode=True)


@pytest.mark.parametrize("reencode", [False, True])
def test_a_memory_of_another_modality(
    taught: FewShotImageClassificationPipeline,
    tiny_classifier: Any,
    tiny_tokenizer: Any,
    tmp_path: Path,
    reencode: bool,
) -> None:
    """Both have keys of one size, and neither is told to compute the other's again."""
    texts, images = tiny_classifier(), taught.model
    images.save_memory(tmp_path / "images")
    texts.remember(texts.embed_inputs(tiny_tokenizer, ["my card is lost"]), ["a"], ["my card is lost"])
    texts.save_memory(tmp_path / "texts")
    for model, processing_class, folder, says in (
        (
            texts,
            tiny_tokenizer,
            "images",
            "keeps no texts, but digests of other inputs, such as images: this model reads",
        ),
        (images, taught.image_processor, "texts", "keeps no images, but texts such as 'my card is lost': this model"),
    ):
        before = model.memory
        with pytest.raises(InvalidInputError if reencode else EncoderMismatchError, match=says) as raised:
            model.load_memory(tmp_path / folder, reencode=reencode, processing_class=processing_class)
        assert "reencode" not in str(raised.value) and model.memory is before


def test_a_vit_without_its_pooler(tmp_path: Path) -> None:
    """As those that are published for features: nothing is missing where its first token is the key."""
    save_image_encoder("vit", tmp_path)
    bare = ViTModel.from_pretrained(tmp_path, add_pooling_layer=False)
    bare.save_pretrained(tmp_path)
    model = MANNForImageClassification.from_encoder_pretrained(tmp_path)
    assert model.config.pooling == "cls" and model.encoder.pooler is None


class TestStored:
    """A memory that keeps small copies of its images."""

    @pytest.fixture
    def keeping(self, make: Make) -> FewShotImageClassificationPipeline:
        classifier = make(store_inputs=True)
        classifier.remember(PICTURES, LABELS)
        return classifier

    def test_they_are_pngs_of_the_size_that_the_encoder_reads(self, make: Make) -> None:
        classifier = make(store_inputs=True)
        large = np.random.default_rng(0).integers(0, 256, (100, 300, 3), dtype=np.uint8)
        classifier.remember([large, PICTURES[0]], ["noise", "square"])
        sizes = {}
        for entry in classifier.model.memory.entries:
            assert entry.stored is not None and entry.stored.startswith(b"\x89PNG")
            sizes[entry.label] = Image.open(io.BytesIO(entry.stored)).size
        assert sizes == {"noise": (96, 32), "square": (32, 32)}

    @pytest.mark.parametrize("kept", [True, False])
    def test_they_can_be_written_with_keys_of_ones_own(
        self, keeping: FewShotImageClassificationPipeline, make: Make, kept: bool
    ) -> None:
        memory, other = keeping.model.memory, make(store_inputs=kept)
        ids = other.model.remember(memory.state.keys[0], [entry.example for entry in memory.entries])
        assert ids == [entry.id for entry in memory.entries]
        expected = memory.entries if kept else tuple(entry._replace(stored=None) for entry in memory.entries)
        assert other.model.memory.entries == expected
        if kept:
            other.model.reencode_memory(other.image_processor)
            assert answers(other) == answers(keeping)

    def test_they_are_saved_loaded_and_forgotten(
        self, keeping: FewShotImageClassificationPipeline, tmp_path: Path
    ) -> None:
        keeping.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        assert again.model.memory.entries == keeping.model.memory.entries and answers(again) == answers(keeping)
        whole = (tmp_path / "memory.safetensors").read_bytes()
        stored = next(entry.stored for entry in again.model.memory.entries if entry.label == "disc")
        assert stored in whole
        again.forget(label="disc")
        again.save_pretrained(tmp_path)
        assert stored not in (tmp_path / "memory.safetensors").read_bytes()

    def test_keys_are_computed_again_with_another_encoder(
        self, keeping: FewShotImageClassificationPipeline, make: Make, tmp_path: Path
    ) -> None:
        keeping.save_memory(tmp_path)
        other = make("resnet", store_inputs=True)
        with pytest.raises(EncoderMismatchError):
            other.load_memory(tmp_path)
        other.load_memory(tmp_path, reencode=True)
        fresh = make("resnet")
        ids = fresh.remember(PICTURES, LABELS)
        assert {entry.id for entry in other.model.memory.entries} == set(ids)
        assert answers(other) == answers(fresh), "small pictures are kept as they are"

    def test_a_training_goes_on_with_them(self, keeping: FewShotImageClassificationPipeline) -> None:
        assert not lack_inputs(keeping.model, keeping.model.memory)
        before = answers(keeping)
        with torch.no_grad():
            for parameter in keeping.model.encoder.parameters():
                parameter.mul_(1.1)
        with pytest.raises(EncoderMismatchError):
            keeping(ASKED)
        keeping.model.reencode_memory(keeping.image_processor)
        assert [len(ranked) for ranked in answers(keeping)] == [len(ranked) for ranked in before]

    def test_a_model_that_keeps_none_takes_none_over(
        self, keeping: FewShotImageClassificationPipeline, make: Make, tmp_path: Path
    ) -> None:
        keeping.save_memory(tmp_path)
        other = make()
        other.load_memory(tmp_path)
        assert not any(entry.stored for entry in other.model.memory.entries)
        other.save_memory(tmp_path / "without")
        assert describe(other.model.memory)["version"] == "1" and describe(keeping.model.memory)["version"] == "2"

    def test_what_a_stranger_stored_is_looked_at(
        self, keeping: FewShotImageClassificationPipeline, tmp_path: Path
    ) -> None:
        keeping.save_memory(tmp_path)
        path = tmp_path / "memory.safetensors"
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            tensors, metadata = {name: file.get_tensor(name).clone() for name in names}, file.metadata()
        sizes = tensors["input_sizes"]
        wrapped = torch.cat([torch.tensor([2**63 - 1, 2**63 - 1, 2]), torch.zeros(len(sizes) - 4), sizes.sum()[None]])
        for other in (sizes + 1, -sizes, wrapped.long()):  # the sum of the last is right, but for 2^64
            save_file({**tensors, "input_sizes": other}, path, metadata)
            with pytest.raises(MemoryFileError, match="the sizes of inputs do not fit"):
                keeping.load_memory(tmp_path)
        save_file({**tensors, "inputs": torch.zeros_like(tensors["inputs"])}, path, metadata)
        with pytest.raises(InvalidInputError, match="the stored picture is no picture that can be read"):
            keeping.load_memory(tmp_path, reencode=True)

    def test_the_card_says_how_many_are_kept(self, keeping: FewShotImageClassificationPipeline, tmp_path: Path) -> None:
        keeping.save_pretrained(tmp_path / "all")
        assert "The images in the memory are stored as small PNGs" in (tmp_path / "all" / "README.md").read_text()
        keeping.model.remember(keeping.model.memory.state.keys[0, :1] + 1, ["square"])  # without its picture
        keeping.save_pretrained(tmp_path / "some")
        card = (tmp_path / "some" / "README.md").read_text()
        assert "Some images in the memory (9 of 10) are stored as small PNGs, in `memory.safetensors`:" in card

    def test_one_that_is_junk_keeps_nobody_from_asking(
        self, keeping: FewShotImageClassificationPipeline, told: Any, tmp_path: Path
    ) -> None:
        key = keeping.model.embed_inputs(keeping.image_processor, [shape("disc", 50)])
        keeping.model.remember(key, [Example("moon", "blake2b:0", stored=b"junk")])
        keeping.save_pretrained(tmp_path)
        again = pipeline(TASK, model=str(tmp_path))
        assert answers(again) == answers(pipeline(TASK, model=str(tmp_path)))
        (why, _) = (line for line in told() if "cannot be read" in line)
        assert "a stored image cannot be read again" in why and "the stored picture is no picture" in why
        with pytest.raises(InvalidInputError, match="the stored picture is no picture that can be read"):
            again.model.reencode_memory()

    def test_texts_are_kept_otherwise(self, tiny_classifier: Any) -> None:
        with pytest.raises(
            InvalidInputError,
            match="modality 'text' has no such setting: it is store_texts",
        ):
            tiny_classifier(store_inputs=True)

    def test_another_image_processor_is_noticed(
        self, keeping: FewShotImageClassificationPipeline, caplog: pytest.LogCaptureFixture
    ) -> None:
        made: Any = keeping.image_processor
        other = type(made)(**{**made.to_dict(), "image_mean": [0.1] * 3, "image_std": [0.2] * 3})
        logging.getLogger("transformers").propagate = True
        pipeline(TASK, model=keeping.model, image_processor=other)(ASKED[0])
        assert "now has another key than the memory holds for it" in caplog.text


def test_a_training_with_label_names_is_refused_before_it(make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
    classifier = make("clip", tiny_tokenizer)
    data = Dataset.from_dict({"image": PICTURES, "label": LABELS}).cast_column("image", DataImage())
    settings: Any = {"input_column": "image", "n_way": 2, "k_shot": 1, "n_query": 1, "report_to": "none"}
    args = EpisodicTrainingArguments(str(tmp_path), label_names=True, **settings)
    with pytest.raises(InvalidInputError, match="label_names=True: label names are words, and episodes of images"):
        EpisodicTrainer(model=classifier.model, args=args, train_dataset=data)
    episode = Episode(Examples([PICTURES[0]], [0]), Examples([PICTURES[1]], [0]), ("square",))
    with pytest.raises(InvalidInputError, match="label_names=True: label names are words, and episodes of images"):
        answer_episodes(classifier.model, None, [episode], label_names=True)


def test_the_argument_of_inputs_has_two_names(make: Make) -> None:
    classifier = make()
    (first,) = classifier.remember(inputs=PICTURES[:1], labels=["a"])
    assert classifier.remember(images=PICTURES[:1], labels=["a"]) == [first]
    with pytest.raises(InvalidTypeError, match="inputs and images are two names of one argument: give it once"):
        classifier.remember(PICTURES[:1], ["a"], images=PICTURES[:1])
    for wrong in ("texts", "label"):
        given: Any = {wrong: PICTURES[:1]}
        with pytest.raises(InvalidTypeError, match=f"no argument '{wrong}'"):
            classifier.remember(PICTURES[:1], ["a"], **given)


class TestZeroShot:
    @pytest.mark.parametrize("kind", ["clip", "siglip"])
    def test_descriptions_alone_answer_images(self, make: Make, kind: str, tiny_tokenizer: Any) -> None:
        classifier = make(kind, tiny_tokenizer, store_inputs=True)
        ids = classifier.remember(labels=["cat", "dog"], descriptions=["a cat", "a dog"])
        (answer,) = classifier(ASKED[0], evidence=None)
        assert answer["label"] in ("cat", "dog") and {part["id"] for part in answer["evidence"]} <= {*ids}
        classifier.remember([ASKED[0]], ["moon"])
        before = answers(classifier)
        classifier.model.reencode_memory(classifier.image_processor)
        assert answers(classifier) == before

    @pytest.mark.parametrize("kind", ["clip", "siglip"])
    def test_labels_alone_have_the_keys_of_their_names(
        self, make: Make, kind: str, tiny_tokenizer: Any, tmp_path: Path
    ) -> None:
        classifier = make(kind, tiny_tokenizer, store_inputs=True)
        ids = classifier.remember(labels=["grey_cat", "dog"])
        memory = classifier.model.memory
        classifier.save_pretrained(tmp_path)
        card = (tmp_path / "README.md").read_text()
        assert "the 2 descriptions in the memory, of 2 labels" in card and "| `grey_cat` | 0 | grey cat |" in card
        assert "What describes a label is stored as text" in card and "PNG" not in card
        entries = [(entry.id, entry.text, entry.label, entry.kind) for entry in memory.entries]
        assert entries == [(ids[0], "grey cat", "grey_cat", "description"), (ids[1], "dog", "dog", "description")]
        names = classifier.model.name_keys(["grey_cat", "dog"], classifier.image_processor)
        torch.testing.assert_close(memory.state.keys[0], torch.stack([*names.values()]))
        assert classifier(ASKED[0])[0]["label"] in ("grey_cat", "dog")
        own = make(kind, tiny_tokenizer, store_inputs=True)
        assert own.remember(labels=["grey_cat", "dog"], descriptions=["grey cat", "dog"]) == ids, "the same by hand"
        torch.testing.assert_close(own.model.memory.state.keys, memory.state.keys)
        classifier.model.reencode_memory(classifier.image_processor)
        torch.testing.assert_close(classifier.model.memory.state.keys, memory.state.keys)

    def test_labels_alone_where_no_words_are_read(self, make: Make) -> None:
        with pytest.raises(InvalidInputError, match="the encoder reads images alone, no words: give examples"):
            make().remember(labels=["cat", "dog"])

    def test_the_sentence_and_its_padding(self, make: Make, tiny_tokenizer: Any) -> None:
        """As transformers' own zero-shot image classification gives them to each family."""
        for kind in ("clip", "siglip"):
            words = make(kind, tiny_tokenizer).input_processor.words
            assert words is not None and words.phrase("cat") == "This is a photo of cat."
            ids = words.collate(["cat"], [0])["input_ids"]
            assert ids.shape[1] == (16 if kind == "siglip" else len(tiny_tokenizer("cat")["input_ids"]))

    def test_encoders_that_read_none(self, make: Make) -> None:
        with pytest.raises(InvalidInputError, match="descriptions are words, and the encoder reads images alone"):
            make().remember(labels=["cat"], descriptions=["a cat"])


@pytest.mark.parametrize("kind", ["training statistics", "a hook"])
def test_an_encoder_that_changed_without_its_weights_is_noticed(kind: str) -> None:
    """Batch normalization keeps its running statistics in buffers; a hook may change what a layer gives."""
    torch.manual_seed(0)
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=32, num_channels=3)
    classifier: Any = pipeline(TASK, model=model)
    classifier.remember(PICTURES, LABELS)
    if kind == "a hook":
        model.encoder.blocks[0].register_forward_hook(lambda module, inputs, output: output * output)
    else:
        model.train()
        with torch.no_grad():
            model.embed(pixel_values=5 * torch.randn(64, 3, 32, 32))
        model.eval()
    for call in (lambda: classifier(ASKED[0]), lambda: classifier.remember(ASKED[:1], ["square"])):
        with pytest.raises(EncoderMismatchError):
            call()


def test_a_pretrained_encoder_without_its_image_processor(make: Make, tmp_path: Path) -> None:
    model = make().model
    model.save_pretrained(tmp_path / "bare")
    shutil.rmtree(tmp_path / "encoder-vit")
    with pytest.raises(InvalidInputError, match="no image processor was found"):
        pipeline(TASK, model=str(tmp_path / "bare"))


class TestWhereTheImageProcessorComesFrom:
    def test_a_name_is_loaded(self, make: Make, tmp_path: Path) -> None:
        place: Any
        model = make().model
        settings = image_processor_of((16, 16)).to_dict()
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "preprocessor_config.json").write_text(json.dumps(settings))
        for place in (str(tmp_path / "other"), tmp_path / "other"):
            found: Any = pipeline(TASK, model=model, image_processor=place)
            assert found.image_processor.size["height"] == 16

    def test_a_name_of_none(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidInputError, match="no image processor was found .*empty"):
            pipeline(TASK, model=make().model, image_processor=str(tmp_path / "empty"))

    @pytest.mark.parametrize("kind", ["clip", "siglip"])
    def test_a_missing_tokenizer_is_said_to_be_missing(self, make: Make, kind: str, tmp_path: Path) -> None:
        save_image_encoder(kind, tmp_path)
        model = MANNForImageClassification.from_encoder_pretrained(tmp_path)
        with pytest.raises(FolderError, match=r"has an image processor and no tokenizer .*spiece.model"):
            pipeline(TASK, model=model)
        alone: Any = AutoImageProcessor.from_pretrained(tmp_path)
        assert pipeline(TASK, model=model, image_processor=alone).remember(PICTURES[:1], ["square"])


class TestGivenInParts:
    """What reads images and words may be given whole, in its two parts, or as its image processor alone."""

    WAYS: ClassVar[dict[str, Callable[[Any], dict[str, Any]]]] = {
        "found": lambda both: {},
        "processor": lambda both: {"processor": both},
        "parts": lambda both: {"image_processor": both.image_processor, "tokenizer": both.tokenizer},
        "whole as image processor": lambda both: {"image_processor": both},
        "tokenizer": lambda both: {"tokenizer": both.tokenizer},
        "alone": lambda both: {"image_processor": both.image_processor},
        "older name": lambda both: {"feature_extractor": both.image_processor},
    }

    @pytest.mark.parametrize("by", ["pipeline", "class"])
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("kind", ["clip", "siglip"])
    def test_each_is_used_saved_and_loaded(
        self, make: Make, kind: str, way: str, by: str, tiny_tokenizer: Any, tmp_path: Path, told: Any
    ) -> None:
        model, with_words = make(kind, tiny_tokenizer).model, way not in ("alone", "older name")
        given = self.WAYS[way](AutoProcessor.from_pretrained(tmp_path / f"encoder-{kind}"))
        made: Any = pipeline if by == "pipeline" else lambda task, **parts: FewShotImageClassificationPipeline(**parts)
        classifier = made(TASK, model=model, **given)
        classifier.remember(PICTURES, LABELS)
        assert bool(model.memory.names) == with_words
        assert any("without a tokenizer" in line for line in told()) == (not with_words)
        classifier.save_pretrained(tmp_path / "saved")
        assert model.config.label_names, "the model itself stays as it was"
        shutil.rmtree(tmp_path / f"encoder-{kind}")
        again = pipeline(TASK, model=str(tmp_path / "saved"))
        assert answers(again) == answers(classifier)
        again.remember([shape("disc", 50)], ["moon"])
        assert ("moon" in again.model.memory.names) == with_words == again.model.config.label_names

    def test_parts_by_their_folders(self, make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
        save_image_encoder("clip", tmp_path / "images")  # without a tokenizer
        tiny_tokenizer.save_pretrained(tmp_path / "words")
        images, words = str(tmp_path / "images"), str(tmp_path / "words")
        model = MANNForImageClassification.from_encoder_pretrained(images)
        for given in ({"image_processor": images, "tokenizer": words}, {"tokenizer": words}):
            parts: Any = given
            classifier = pipeline(TASK, model=model.with_own_memory(), **parts)
            classifier.remember(labels=["cat"])
            assert len(classifier.model.memory) == 1
        whole = pipeline(TASK, model=model, processor=str(make("clip", tiny_tokenizer).model.config.encoder_name))
        assert whole.input_processor.words is not None

    def test_what_is_not_used_is_refused(self, make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="tokenizer: a model of images alone has no use for it"):
            pipeline(TASK, model=make("vit").model, tokenizer=tiny_tokenizer)
        model = make("clip", tiny_tokenizer).model
        both = AutoProcessor.from_pretrained(tmp_path / "encoder-clip")
        with pytest.raises(InvalidInputError, match="processor came with another tokenizer: give it alone, or its"):
            pipeline(TASK, model=model, processor=both, tokenizer=tiny_tokenizer)
        assert pipeline(TASK, model=model, processor=both, image_processor=both.image_processor)

    def test_a_vision_encoder_takes_its_part_of_both(self, make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
        make("clip", tiny_tokenizer)
        both = AutoProcessor.from_pretrained(tmp_path / "encoder-clip")
        classifier = pipeline(TASK, model=make("vit").model, processor=both)
        assert classifier.image_processor is both.image_processor

    def test_the_later_of_two_saves(self, make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
        """Nothing of a processor of both stays, by which the image processor would be overlooked."""
        classifier = make("clip", tiny_tokenizer)
        classifier.save_pretrained(tmp_path / "saved")
        other = image_processor_of((SIZE, 2 * SIZE))
        pipeline(TASK, model=classifier.model, image_processor=other).save_pretrained(tmp_path / "saved")
        again: Any = pipeline(TASK, model=str(tmp_path / "saved"))
        assert again.input_processor.image_processor.size["width"] == 2 * SIZE

    def test_a_tokenizer_that_was_put_beside_later(self, make: Make, tiny_tokenizer: Any, tmp_path: Path) -> None:
        """As the error for a missing one says."""
        classifier = make("clip", tiny_tokenizer)
        classifier.remember(PICTURES, LABELS)
        alone = pipeline(TASK, model=classifier.model, image_processor=image_processor_of((SIZE, SIZE)))
        alone.save_pretrained(tmp_path / "saved")
        with pytest.raises(FolderError, match="has an image processor and no tokenizer"):
            pipeline(TASK, model=str(tmp_path / "saved"))  # whose memory holds words
        tiny_tokenizer.save_pretrained(tmp_path / "saved")
        assert answers(pipeline(TASK, model=str(tmp_path / "saved"))) == answers(classifier)


def test_pictures_of_many_bits(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    found = as_image(Image.fromarray(numbers))
    assert found.getextrema()[0][1] > 200 and content_of(found) == content_of(as_image(numbers))
    deep = (numbers * 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for way in (deep, tmp_path / "deep.png", Image.fromarray(deep.astype(np.int32))):
        assert content_of(as_image(way)) == content_of(as_image((deep >> 8).astype(np.uint8)))


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_no_picture_has(channels: int) -> None:
    with pytest.raises(InvalidInputError, match=f"reads images of {channels} channels; there may be 1"):
        MANNForImageClassification.from_encoder_config("conv4", image_size=32, num_channels=channels)


def test_a_grey_picture_that_is_three_pixels_high() -> None:
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=32, num_channels=1)
    classifier: Any = pipeline(TASK, model=model)
    assert len(classifier.remember([np.zeros((3, 28), np.uint8), np.ones((3, 28))], ["a", "b"])) == 2
