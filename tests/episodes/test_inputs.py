"""Episodes of inputs that are no texts: images, and rows of numbers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Array2D, Dataset, Features, Image, Value
from torch import Tensor

from mann_hf.controllers.image_processor import ImageProcessor, image_processor_of
from mann_hf.controllers.processor import InputProcessor
from mann_hf.episodes import (
    Episode,
    EpisodeCollator,
    EpisodeSampler,
    Examples,
    LabelledTable,
    select_classes,
    split_classes,
)
from mann_hf.errors import InvalidInputError

NAMES = ["a", "b", "c"]


def pictures() -> Dataset:
    """Four of each class, one of them twice; the first of "a" is one of "b", too."""
    pillow = pytest.importorskip("PIL.Image")
    rows = []
    for label, name in enumerate(NAMES):
        for number in (0, 1, 2, 3, 3):
            colour = 0 if (label, number) == (1, 0) else 40 * label + 10 * number
            rows.append({"image": pillow.new("L", (4, 4), colour), "label": name})
    return Dataset.from_list(rows, features=Features({"image": Image(), "label": Value("string")}))


def numbers(rows: int = 4) -> Dataset:
    features = Features({"values": Array2D((2, 3), "float32"), "label": Value("string")})
    made = [{"values": np.full((2, 3), 10 * k + n), "label": name} for k, name in enumerate(NAMES) for n in range(rows)]
    return Dataset.from_list(made, features=features)


class Rows(InputProcessor):
    """Rows of numbers as one tensor."""

    noun = "row"
    pads = True

    def check(self, inputs: Any) -> list[Any]:
        return list(inputs)

    def encode(self, inputs: Sequence[Any]) -> list[Any]:
        return [np.asarray(one, dtype=np.float32) for one in inputs]

    def batches(self, encodings: Sequence[Any], batch_size: int | None = None) -> list[list[int]]:
        return [list(range(0, len(encodings), 2)), list(range(1, len(encodings), 2))]

    def collate(self, encodings: Sequence[Any], rows: Sequence[int]) -> dict[str, Tensor]:
        return {"values": torch.from_numpy(np.stack([encodings[row] for row in rows]))}

    def save_pretrained(self, folder: Path) -> None: ...


class TestImages:
    def test_the_same_picture_counts_once(self) -> None:
        table = LabelledTable(pictures(), input_column="image")
        assert {name: rows.tolist() for name, rows in table.distinct.items()} == {
            "a": [0, 1, 2, 3],
            "b": [5, 6, 7, 8],
            "c": [10, 11, 12, 13],
        }
        [(key, classes)] = table.shared.items()
        assert key == table.keys[0] == table.keys[5] and classes == {"a", "b"}

    def test_they_are_decoded_as_they_are_drawn(self) -> None:
        sampler = EpisodeSampler(pictures(), n_way=2, k_shot=1, n_query=2, input_column="image")
        episode = sampler[0]
        assert [one.size for one in [*episode.support.inputs, *episode.query.inputs]] == [(4, 4)] * 6
        for part in (episode.support, episode.query):
            for one, label in zip(part.inputs, part.labels, strict=True):
                colour = one.getpixel((0, 0))
                assert episode.names[label] in ("ab" if colour == 0 else NAMES[colour // 40])

    def test_other_pictures_have_another_fingerprint(self) -> None:
        one, other = (EpisodeSampler(data, 2, 1, 1, input_column="image") for data in (pictures(), pictures()))
        less = EpisodeSampler(pictures().select(range(14)), 2, 1, 1, input_column="image")
        assert one.fingerprint == other.fingerprint != less.fingerprint

    def test_too_few_are_told_in_words_for_any_input(self) -> None:
        with pytest.raises(InvalidInputError, match=r"0 classes with at least 6 inputs .*inputs in several classes do"):
            EpisodeSampler(pictures(), n_way=2, k_shot=1, n_query=5, input_column="image")

    def test_a_missing_one_is_named(self) -> None:
        rows = [{"image": None, "label": "a"}, *pictures()]
        data = Dataset.from_list(rows, features=pictures().features)
        with pytest.raises(InvalidInputError, match="column 'image': row 0 .counted from 0. has no input; leave such"):
            EpisodeSampler(data, n_way=2, k_shot=1, n_query=1, input_column="image")

    @pytest.mark.parametrize("content", [b"not a picture", None])
    def test_one_that_cannot_be_read_is_named_by_its_row(self, content: bytes | None) -> None:
        good = pictures().cast_column("image", Image(decode=False))
        rows = [*good.select(range(12)), {"image": {"bytes": content, "path": "absent.png"}, "label": "c"}]
        table = LabelledTable(Dataset.from_list(rows, features=pictures().features), input_column="image")
        says = "of no format that is read" if content else "absent.png"
        with pytest.raises(InvalidInputError, match=rf"^the data set, column 'image': row 12 .counted.*{says}"):
            table.inputs[12]
        assert len([table.inputs[row] for row in range(12)]) == 12

    def test_a_large_one_is_decoded_without_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)  # of 16, for which Pillow warns
        table = LabelledTable(pictures(), input_column="image")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert table.inputs[0].size == (4, 4)

    def test_a_path_that_is_none_is_named_without_its_place_in_the_batch(self) -> None:
        processor = ImageProcessor(image_processor_of((4, 4)))
        episode = Episode(Examples([np.zeros((4, 4)), "absent.png"], [0, 1]), Examples([], []), ("a", "b"))
        with pytest.raises(InvalidInputError, match=r"^there is no file 'absent.png'"):
            EpisodeCollator(processor)([episode])

    def test_classes_are_selected_and_split(self) -> None:
        chosen = select_classes(pictures(), ["b"], input_column="image")
        assert chosen["label"][:] == ["b"] * 5
        parts = split_classes(pictures(), (1, 1, 1), input_column="image")
        assert {name for part in parts.values() for name in part["label"]} == set(NAMES)


class TestNumbers:
    def test_each_is_packed_once_and_indices_find_it(self) -> None:
        sampler = EpisodeSampler(numbers(), n_way=2, k_shot=1, n_query=1, input_column="values")
        episodes = [sampler[0], sampler[1]]
        batch = EpisodeCollator(Rows(), group_by_length=True)(episodes)
        values = torch.cat([group["values"] for group in batch.inputs])
        assert [set(group) for group in batch.inputs] == [{"values"}, {"values"}] and values.shape[1:] == (2, 3)
        for index, part in (("support_index", "support"), ("query_index", "query")):
            for row, episode in zip(getattr(batch, index), episodes, strict=True):
                assert np.array_equal(values[row], np.stack(getattr(episode, part).inputs))

    def test_one_that_several_episodes_share_is_encoded_once(self) -> None:
        sampler = EpisodeSampler(numbers(), n_way=2, k_shot=1, n_query=1, input_column="values")
        episode = sampler[0]
        assert EpisodeCollator(Rows())([episode, episode]).input_count == 4

    def test_a_column_of_texts_is_checked_as_texts(self) -> None:
        data = Dataset.from_dict({"utterance": ["one", " "], "label": ["a", "b"]})
        with pytest.raises(InvalidInputError, match="column 'utterance': text 1 .counted from 0. is blank"):
            LabelledTable(data, input_column="utterance")

    def test_a_missing_column_names_its_argument(self) -> None:
        with pytest.raises(InvalidInputError, match="no column 'image'; it has .*Say which it is with input_column="):
            EpisodeSampler(numbers(), 2, 1, 1, input_column="image")


@pytest.mark.parametrize("column", ["image", "picture"])
def test_a_column_of_paths_is_called_as_one_says_and_not_by_its_name(column: str) -> None:
    data = Dataset.from_dict({column: ["a.png", "b.png"], "label": ["a", "b"]})
    assert LabelledTable(data, input_column=column).noun == "input"
    with pytest.raises(InvalidInputError, match="0 classes with at least 2 images"):
        EpisodeSampler(data, n_way=2, k_shot=1, n_query=1, input_column=column, noun="image")


def test_label_names_are_no_images() -> None:
    """A word among pictures would be taken for the path of one."""
    processor = ImageProcessor(image_processor_of((4, 4)))
    with pytest.raises(InvalidInputError, match="episodes of images are made of images alone: leave it out"):
        EpisodeCollator(processor, label_names=True)
    assert not EpisodeCollator(processor).label_names
