"""The commands with pictures in place of texts."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mann_hf import FewShotImageClassificationPipeline, MANNForImageClassification
from mann_hf.cli.modalities import MODALITIES
from mann_hf.controllers.pictures import MOST_PIXELS
from mann_hf.errors import FolderChangedError, InvalidInputError
from tests.pictures import KINDS, counting_decoded, save_image_encoder, shape

from .conftest import Shell, memory

CLASSES = ("disc", "square")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_image_encoder("vit", tmp_path_factory.mktemp("pictures") / "encoder")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a folder of three pictures for each of CLASSES."""
    for kind in CLASSES:
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(3):
            shape(kind, number).save(tmp_path / "images" / kind / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def table(images: Path) -> Path:
    """A table beside them, whose paths begin at its own folder."""
    rows = [f"{kind}/{number}.png,{kind}" for kind in CLASSES for number in range(3)]
    path = images.parent / "images" / "pictures.csv"
    path.write_text("image,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def known(shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> Path:
    """A folder that was taught the pictures of `images`."""
    shell("remember", tmp_path / "known", images, "--encoder", encoder)
    return tmp_path / "known"


def answers(folder: Path, picture: Any) -> Any:
    model = MANNForImageClassification.from_pretrained(folder)
    return FewShotImageClassificationPipeline(model=model)(picture, top_k=None)


class TestRemember:
    def test_a_folder_of_classes(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        folder = tmp_path / "shapes"
        said = shell("remember", folder, images, "--encoder", encoder)
        assert said == f"Remembered 6 images; {folder} now holds 6 images of 2 labels.\n"
        in_python = FewShotImageClassificationPipeline(
            model=MANNForImageClassification.from_encoder_pretrained(encoder)
        )
        in_python.remember(sorted(images.rglob("*.png")), [kind for kind in CLASSES for _ in range(3)])
        asked = shape("disc", 9)
        assert [(one["label"], one["score"]) for one in answers(folder, asked)] == [
            (one["label"], pytest.approx(one["score"], abs=1e-6)) for one in in_python(asked, top_k=None)
        ]
        assert "An image classifier" in (folder / "README.md").read_text()

    def test_a_table_of_paths_from_elsewhere(
        self, shell: Shell, encoder: Path, table: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path.parent)
        found = shell.json("remember", tmp_path / "by-table", table, "--encoder", encoder)
        assert found["entries"] == 6 and found["labels"] == [*CLASSES]
        assert memory(tmp_path / "by-table") == memory(known)

    def test_a_folder_with_a_table(self, shell: Shell, encoder: Path, table: Path, known: Path, tmp_path: Path) -> None:
        shell("remember", tmp_path / "again", table.parent, "--encoder", encoder)
        assert memory(tmp_path / "again") == memory(known)

    def test_more_to_one_that_is_there(self, shell: Shell, known: Path, images: Path) -> None:
        (images / "disc" / "3.png").write_bytes((images / "disc" / "0.png").read_bytes())
        (images / "cross").mkdir()
        shape("cross", 1).save(images / "cross" / "1.jpg")
        said = shell("remember", known, images)
        assert said == f"Remembered 8 images; {known} now holds 7 images of 3 labels.\n"
        assert "1 row repeats an image with its label; each is stored once." in shell.stderr

    def test_a_picture_with_two_labels_is_named(
        self, shell: Shell, encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shape("disc", 0).save(table.parent / "square" / "copy.png", compress_level=0)
        with table.open("a") as file:
            file.write("square/copy.png,square\ndisc/0.png,disc\n")
        decoded = counting_decoded(monkeypatch)
        shell("remember", tmp_path / "x", table, "--encoder", encoder)
        assert len(decoded) == 8, "each once"
        note = "1 image has different labels in different rows, 'disc/0.png', 'square/copy.png': 'disc', 'square'."
        assert shell.stderr.count("different labels") == 1 and note in shell.stderr
        table.write_text("image,label\ndisc/0.png,disc\ndisc/0.png,square\n")
        shell("remember", tmp_path / "x", table)
        assert "1 image has different labels in different rows, 'disc/0.png': 'disc', 'square'." in shell.stderr

    @pytest.mark.parametrize("column", ["picture", "file_name", "Bild"])
    def test_other_names_of_columns(
        self, shell: Shell, encoder: Path, table: Path, tmp_path: Path, column: str
    ) -> None:
        table.write_text(table.read_text().replace("image,", f"{column},"))
        assert shell.json("remember", tmp_path / "x", table, "--encoder", encoder)["entries"] == 6
        assert f"reads images from the column {column!r} (--image-column)" in shell.stderr

    def test_a_column_of_images_beside_texts(self, shell: Shell, encoder: Path, table: Path, tmp_path: Path) -> None:
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([f"text,{header}", *(f"a caption,{row}" for row in rows)]))
        error = shell.fails("remember", tmp_path / "x", table, "--encoder", encoder, after=None)
        assert "holds texts, and --encoder" in error and "is no text encoder" in error
        found = shell.json("remember", tmp_path / "y", table, "--encoder", encoder, "--image-column", "image")
        assert found["entries"] == 6

    def test_bad_pictures_are_named(self, shell: Shell, encoder: Path, table: Path, tmp_path: Path) -> None:
        (table.parent / "disc" / "1.png").write_bytes(b"no picture")
        (table.parent / "square" / "2.png").unlink()
        error = shell.fails("remember", tmp_path / "x", table, "--encoder", encoder, after=None)
        assert f"pictures.csv: row 2 (line 3), column 'image': '{table.parent}/disc/1.png' is no picture" in error
        assert "(1 more row is wrong)" in error and "--skip-bad-rows" in error and not (tmp_path / "x").exists()
        found = shell.json("remember", tmp_path / "x", table, "--encoder", encoder, "--skip-bad-rows")
        assert found["entries"] == 4 and "skipped 2 of 6 rows" in shell.stderr and "there is no file" in shell.stderr
        table.write_text(table.read_text() + "disc/0.png,\n")
        error = shell.fails("remember", tmp_path / "y", table, "--encoder", encoder, after=None)
        assert "row 2 (line 3)" in error and "(2 more rows are wrong)" in error, (
            "the row without a label is one of them"
        )

    def test_bad_pictures_of_a_folder(self, shell: Shell, known: Path, images: Path) -> None:
        (images / "disc" / "1.png").write_bytes(b"no picture")
        error = shell.fails("remember", known, images, after=None)
        assert f"{images}: disc/1.png, row 1" in error and "is no picture that can be read" in error

    def test_pixels_are_not_kept(
        self, shell: Shell, known: Path, images: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mann_hf.controllers.pictures import Picture

        remember, given = FewShotImageClassificationPipeline.remember, []

        def noted(self: Any, inputs: Any, *rest: Any, **kwargs: Any) -> list[int]:
            given.extend(inputs)
            return remember(self, inputs, *rest, **kwargs)

        monkeypatch.setattr(FewShotImageClassificationPipeline, "remember", noted)
        shell("remember", known, images)
        assert len(given) == 6 and all(isinstance(one, Picture) and isinstance(one.image, str) for one in given)


class TestPicturesInCells:
    def test_of_parquet(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        from datasets import Dataset, Features, Image, Value

        paths = [str(path) for path in sorted(images.rglob("*.png"))]
        features = Features({"image": Image(), "label": Value("string")})
        data = Dataset.from_dict({"image": paths, "label": ["a"] * len(paths)}, features=features)
        data.to_parquet(tmp_path / "cells.parquet")
        error = shell.fails("remember", tmp_path / "x", tmp_path / "cells.parquet", "--encoder", encoder, after=None)
        assert "the column 'image' holds no paths of files" in error and "a folder for each class" in error
        Dataset.from_dict({"image": paths, "label": ["a"] * len(paths)}).to_parquet(tmp_path / "paths.parquet")
        assert shell.json("remember", tmp_path / "y", tmp_path / "paths.parquet", "--encoder", encoder)["entries"] == 6

    def test_of_json(self, shell: Shell, encoder: Path, write: Callable[..., Path], tmp_path: Path) -> None:
        table = write("cells.json", json.dumps([{"image": {"bytes": "x" * 9999}, "label": "a"}]))
        error = shell.fails("remember", tmp_path / "x", table, "--encoder", encoder, after=None)
        assert "a cell is no path but of type dict" in error and len(error) < 400


class TestStoreInputs:
    def test_copies_are_kept(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        folder = tmp_path / "kept"
        shell("remember", folder, images, "--encoder", encoder, "--store-inputs")
        memory = MANNForImageClassification.from_pretrained(folder).memory
        assert all(entry.stored and entry.stored.startswith(b"\x89PNG") for entry in memory.entries)
        shell("remember", folder, images, "--store-inputs")

    def test_where_they_cannot_be(self, shell: Shell, known: Path, images: Path, shots: Path, tmp_path: Path) -> None:
        error = shell.fails("remember", known, images, "--store-inputs")
        assert "has --store-inputs False, and True was asked for" in error
        error = shell.fails("remember", tmp_path / "x", shots, "--store-inputs", status=2, after=None)
        assert "--store-inputs: a memory keeps texts as they are" in error


def test_the_page_is_given_the_classifier(shell: Shell, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mann_hf.demo

    def launch(classifier: Any, **kwargs: Any) -> None:
        raise InvalidInputError(f"launched {type(classifier).__name__}")

    monkeypatch.setattr(mann_hf.demo, "launch", launch)
    assert "launched FewShotImageClassificationPipeline" in shell.fails("demo", known, after=None)


def test_the_guide_names_what_is_read() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "shell.md").read_text()
    section = guide.partition("\n## Images\n")[2].partition("\n## ")[0]
    assert all(f"`{ending}`" in section for ending in MODALITIES["image"].endings)
    assert f"{MOST_PIXELS:,} pixels" in " ".join(section.split())


class TestTablesBesideClasses:
    def test_it_is_said_that_folders_give_no_labels(self, shell: Shell, known: Path, table: Path) -> None:
        note = (
            f"{table.parent}: takes images and labels from pictures.csv, and not from the folders of images, 'disc', "
            "'square'; move tables out to read those."
        )
        shell("remember", known, table.parent)
        assert note in shell.stderr
        table.rename(table.with_name("classes.json")).write_text('["disc", "square"]')
        error = shell.fails("remember", known, table.parent, after=None)
        assert 'is no object such as {"image": "...", "label": "..."}' in error

    def test_columns_of_either_kind(self, shell: Shell, encoder: Path, table: Path, tmp_path: Path) -> None:
        table.write_text("id,name\n0,disc\n")
        error = shell.fails("remember", tmp_path / "x", table, "--encoder", encoder, after=None)
        assert "has no column 'text' or 'image' nor another usual name; it has 'id', 'name': choose with" in error
        assert "choose with --text-column or --image-column; if the first line is a row" in error


class TestMixesAreRefused:
    def test_texts_to_images(self, shell: Shell, known: Path, shots: Path) -> None:
        error = shell.fails("remember", known, shots, after=None)
        assert "has no column 'image'" in error and "--image-column" in error
        assert "--text-column is of texts, and the inputs are images" in shell.fails(
            "remember", known, shots, "--text-column", "text"
        )

    def test_images_to_texts(self, shell: Shell, taught: Path, images: Path) -> None:
        error = shell.fails("remember", taught, images)
        assert "no folders of texts (.txt) by class; its 6 images are for a classifier of images." in error

    def test_both_in_one_folder(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        (images / "disc" / "what.txt").write_text("a disc is round")
        error = shell.fails("remember", tmp_path / "x", images)
        assert "holds 1 text (disc/what.txt) and 6 images (disc/0.png), and a classifier takes one kind" in error
        assert "choose the kind with --text-column text or --image-column image." in error
        found = shell.json("remember", tmp_path / "x", images, "--encoder", encoder, "--image-column", "image")
        assert found["entries"] == 6 and "left out 1 .txt file, such as disc/what.txt" in shell.stderr

    def test_a_note_beside_the_classes_is_none(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        (images / "licence.txt").write_text("free")
        assert shell.json("remember", tmp_path / "x", images, "--encoder", encoder)["entries"] == 6

    def test_an_encoder_of_texts(self, shell: Shell, tiny_encoder: Path, images: Path, tmp_path: Path) -> None:
        error = shell.fails("remember", tmp_path / "x", images, "--encoder", tiny_encoder, after=None)
        assert f"{images} holds images, and --encoder {tiny_encoder} does not read them: BertModel is no image" in error

    def test_descriptions(self, shell: Shell, known: Path, images: Path) -> None:
        error = shell.fails("remember", known, images, "--descriptions", status=2, after=None)
        assert "descriptions are texts, and" in error

    def test_inputs_of_somebody_else(self, shell: Shell, known: Path) -> None:
        config = json.loads((known / "config.json").read_text())
        (known / "config.json").write_text(json.dumps({**config, "modality": "rows"}))
        for command in (["predict", known, "x"], ["push", known, "a/b"], ["forget", known, "--id", 1]):
            assert "the modality 'rows', and the shell knows text and image" in shell.fails(*command)


class TestPredict:
    def test_one(self, shell: Shell, known: Path, images: Path) -> None:
        first, *evidence = shell("predict", known, images / "disc" / "0.png").splitlines()
        assert first.startswith("disc\t") and "\tblake2b:" in evidence[0]
        (answer,) = shell.json("predict", known, images / "disc" / "0.png")
        assert answer["label"] == "disc" and answer["evidence"][0]["image"].startswith("blake2b:")

    def test_a_folder_and_a_table(self, shell: Shell, known: Path, images: Path, table: Path) -> None:
        by_table = shell("predict", known, table).splitlines()
        assert [line.split("\t")[2] for line in by_table] == [
            f"{kind}/{number}.png" for kind in CLASSES for number in range(3)
        ]
        table.unlink()
        assert shell("predict", known, images).splitlines() == by_table
        (images / "loose.jpg").write_bytes((images / "disc" / "0.png").read_bytes())
        assert len(shell("predict", known, images).splitlines()) == 7

    def test_written(self, shell: Shell, known: Path, table: Path, tmp_path: Path) -> None:
        found = shell.json("predict", known, table, "--output", tmp_path / "out.csv")
        assert found == {"output": str(tmp_path / "out.csv"), "images": 6}
        with open(tmp_path / "out.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["image", "label", "predicted_label", "predicted_score"]
        assert rows[0]["image"] == "disc/0.png" and {row["predicted_label"] for row in rows} <= {*CLASSES}
        picture = table.parent / "disc" / "0.png"
        assert "is the table that is asked about" in shell.fails("predict", known, table, "--output", table)
        shell("predict", known, picture, "--output", tmp_path / "one.jsonl")
        assert json.loads((tmp_path / "one.jsonl").read_text())["image"] == str(picture)

    def test_no_such_picture(self, shell: Shell, known: Path, images: Path, tmp_path: Path) -> None:
        error = shell.fails("predict", known, images / "disc" / "0.pgn", after=None)
        assert f"there is no file '{images}/disc/0.pgn'; did you mean '{images}/disc/0.png'?" in error
        (tmp_path / "notes.md").write_text("hello")
        assert "is no picture that can be read" in shell.fails("predict", known, tmp_path / "notes.md", after=None)

    def test_only_files_that_are_there_are_proposed(
        self, shell: Shell, known: Path, images: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(images)
        assert "no file 'nope.png'; give an image, or a table." in shell.fails("predict", known, "nope.png", after=None)
        shape("disc", 5).save(images / "square" / "7.png")
        assert "no file '7.png'; did you mean 'square/7.png'?" in shell.fails("predict", known, "7.png", after=None)
        error = shell.fails("predict", known, "*.png", after=None)
        assert "there is no file '*.png', and patterns are not read; give the folder, or a table." in error

    def test_urls_are_not_fetched(self, shell: Shell, known: Path, table: Path) -> None:
        url = "https://example.org/cat.png"
        assert f"'{url}' is a URL, and URLs are not fetched" in shell.fails("predict", known, url, after=None)
        table.write_text(f"image\n{url}\n")
        error = shell.fails("predict", known, table, after=None)
        assert f"row 1 (line 2), column 'image': '{url}' is a URL, and URLs are not fetched" in error

    def test_skipped(self, shell: Shell, known: Path, table: Path, tmp_path: Path) -> None:
        (table.parent / "disc" / "1.png").unlink()
        shell("predict", known, table, "--skip-bad-rows", "--output", tmp_path / "out.jsonl")
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [row["row"] for row in rows] == [1, 3, 4, 5, 6] and [row["image"][-5:] for row in rows][1] == "2.png"


def test_pictures_that_would_be_lost_are_called_so(known: Path, encoder: Path) -> None:
    other = MANNForImageClassification.from_encoder_pretrained(encoder)
    with pytest.raises(FolderChangedError, match="and 6 images of it that this model does not know would be lost"):
        other.save_pretrained(known)


class TestForget:
    def test_a_picture(self, shell: Shell, known: Path, images: Path) -> None:
        said = shell("forget", known, "--image", images / "disc" / "0.png")
        assert said == f"Forgot 1 image; {known} now holds 5 images.\n"
        error = shell.fails("forget", known, "--image", images / "disc" / "0.png", after=None)
        assert "the memory holds no image" in error and "--label" not in error

    def test_a_label_and_an_id(self, shell: Shell, known: Path, images: Path) -> None:
        evidence = shell.json("predict", known, images / "disc" / "0.png")[0]["evidence"]
        assert shell.json("forget", known, "--id", evidence[0]["id"])["entries"] == 5
        assert shell.json("forget", known, "--label", "square")["labels"] == ["disc"]

    def test_of_the_other_kind(self, shell: Shell, known: Path, taught: Path) -> None:
        assert "--text: the classifier takes images (--image)" in shell.fails("forget", known, "--text", "x", status=2)
        assert "--image: the classifier takes texts (--text)" in shell.fails("forget", taught, "--image", "x", status=2)


class TestEvaluate:
    def test_figures(self, shell: Shell, known: Path, table: Path) -> None:
        found = shell.json("evaluate", known, table, "--per-label")
        assert found["images"] == found["images_in_memory"] == 6 and 0.5 <= found["accuracy"] <= 1
        assert found["per_label"]["disc"]["images"] == 3 and "texts" not in found
        assert "6 of 6 images are in the memory" in shell.stderr
        printed = shell("evaluate", known, table, "--per-label")
        assert printed.startswith("images ") and "label   images" in printed

    def test_in_the_card(self, shell: Shell, known: Path, table: Path) -> None:
        shell("evaluate", known, table, "--to-card")
        card = (known / "README.md").read_text()
        assert "answers from 6 stored images, 6 of the 6 images asked about among them, n = 6" in card

    def test_skipped(self, shell: Shell, known: Path, table: Path) -> None:
        (table.parent / "disc" / "1.png").unlink()
        assert shell.json("evaluate", known, table, "--skip-bad-rows")["images"] == 5


def test_push(shell: Shell, known: Path, hub: Any, hub_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert shell("push", known, "me/shapes").startswith("The classifier is at ")
    assert shell("push", known, "me/memory", "--memory-only").startswith("The memory of 6 images is at ")
    assert shell.json("predict", "me/shapes", known.parent / "images" / "disc" / "0.png")[0]["label"] == "disc"


class TestTrain:
    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        for kind in (*KINDS, *(f"grey {kind}" for kind in KINDS)):
            (tmp_path / "many" / kind).mkdir(parents=True)
            for number in range(4):
                picture = shape(kind.split()[-1], number, "L" if " " in kind else "RGB")
                picture.save(tmp_path / "many" / kind / f"{number}.png")
        return tmp_path / "many"

    @pytest.mark.parametrize("as_table", [False, True])
    def test_pictures(self, shell: Shell, encoder: Path, many: Path, tmp_path: Path, as_table: bool) -> None:
        data: Any = many
        if as_table:
            data = many / "all.jsonl"
            lines = [
                json.dumps({"image": str(path.relative_to(many)), "label": path.parent.name})
                for path in many.rglob("*.png")
            ]
            data.write_text("\n".join(lines))
        short = ["--n-way", 2, "--n-query", 1, "--max-steps", 1, "--eval-episodes", 2]
        found = shell.json("train", data, "--encoder", encoder, "--output", tmp_path / "trained", *short)
        assert found["steps"] == 1
        config = json.loads((tmp_path / "trained" / "config.json").read_text())
        assert config["modality"] == "image" and (tmp_path / "trained" / "preprocessor_config.json").exists()
        card = (tmp_path / "trained" / "README.md").read_text()
        assert "An image classifier" in card and "| data | classes | images |" in card
        assert shell.json("remember", tmp_path / "trained", many)["entries"] == 24

    def test_too_few_are_called_images(self, shell: Shell, encoder: Path, images: Path, tmp_path: Path) -> None:
        out = ["--output", tmp_path / "trained", "--n-way", 2, "--valid", images]
        error = shell.fails("train", images, "--encoder", encoder, *out, after=None)
        assert "0 classes with at least 6 images" in error and "text" not in error

    def test_a_model_of_texts_is_not_trained_on_images(
        self, shell: Shell, taught: Path, many: Path, tmp_path: Path
    ) -> None:
        error = shell.fails("train", many, "--encoder", taught, "--output", tmp_path / "x", after=None)
        assert "its 24 images are for a classifier of images" in error

    def test_bad_pictures(self, shell: Shell, encoder: Path, many: Path, tmp_path: Path) -> None:
        (many / "disc" / "0.png").write_bytes(b"no")
        error = shell.fails("train", many, "--encoder", encoder, "--output", tmp_path / "x", after=None)
        assert "disc/0.png, row 1, column 'image'" in error

    def test_both_kinds(self, shell: Shell, shots: Path, many: Path, write: Callable[..., Path]) -> None:
        run = write("run.yaml", f"train:\n  a: {shots}\n  b: {many}\n")
        assert "some tables hold texts and others images" in shell.fails("train", run, after=None)


def test_grey_pictures(shell: Shell, tmp_path: Path, images: Path) -> None:
    """An encoder of one channel takes coloured pictures as grey, and knows them again."""
    model = MANNForImageClassification.from_encoder_config("conv4", image_size=32, num_channels=1)
    FewShotImageClassificationPipeline(model=model).save_pretrained(tmp_path / "grey")
    shell("remember", tmp_path / "grey", images)
    assert np.isclose(shell.json("evaluate", tmp_path / "grey", images)["images_in_memory"], 6)
