import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from mann_hf.controllers import pictures
from mann_hf.controllers.pictures import as_image, check_pictures, content_of
from mann_hf.errors import InvalidInputError, InvalidTypeError
from tests.pictures import counting_decoded

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


def forms(tmp_path: Path, pixels: np.ndarray) -> list[Any]:
    """One picture in every form that users have."""
    image = Image.fromarray(pixels)
    image.save(tmp_path / "one.png")
    channels_first = torch.from_numpy(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())
    return [
        image,
        str(tmp_path / "one.png"),
        tmp_path / "one.png",
        pixels,
        pixels.astype(np.int64),
        pixels / 255,
        (pixels / 255).astype(np.float32),
        channels_first,
        channels_first / 255,
        image.convert("RGBA"),
    ]


@pytest.mark.parametrize("pixels", [PIXELS, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_the_same_whichever_way_it_came(tmp_path: Path, pixels: np.ndarray, channels: int) -> None:
    found = [as_image(form, channels) for form in forms(tmp_path, pixels)]
    assert {image.mode for image in found} == {"L" if channels == 1 else "RGB"}
    assert len({content_of(image) for image in found}) == 1
    if channels == 3 and pixels.ndim == 3:
        assert np.array_equal(np.asarray(found[0]), pixels)


def test_others_are_told_apart() -> None:
    turned, taller = PIXELS.transpose(1, 0, 2), PIXELS.reshape(7, 5, 3)
    brighter = np.where(PIXELS[0, 0, 0] == PIXELS, PIXELS + 1, PIXELS).astype(np.uint8)
    contents = {content_of(as_image(np.ascontiguousarray(each))) for each in (PIXELS, turned, taller, brighter)}
    assert len(contents) == 4


def test_a_photo_is_upright_as_its_file_says(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    found = as_image(tmp_path / "turned.png")
    assert np.array_equal(np.asarray(found), np.rot90(PIXELS, -1))
    with Image.open(tmp_path / "turned.png") as opened:
        assert content_of(as_image(opened)) == content_of(found)


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    deep = Image.fromarray(np.array([[0, 256, 65535]], dtype=np.uint16))
    assert np.asarray(as_image(deep, 1)).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("highest", [200, 255, 256, 65535])
def test_sixteen_bits_are_scaled_whatever_the_largest_number_is(tmp_path: Path, highest: int) -> None:
    numbers = np.full((4, 4), 100, np.uint16)
    numbers[0, 0] = highest
    Image.fromarray(numbers).save(tmp_path / "deep.png")
    colour = np.stack([numbers] * 3, axis=-1)
    for way in (tmp_path / "deep.png", numbers, numbers.astype(">u2"), Image.fromarray(numbers.astype(np.int32))):
        assert np.array_equal(np.asarray(as_image(way, 1)), numbers >> 8)
    assert np.array_equal(np.asarray(as_image(colour)), colour >> 8)


def test_numbers_of_more_bits_are_refused() -> None:
    for numbers in ([[0, 65536]], [[-1, 3]]):
        with pytest.raises(InvalidInputError, match="numbers outside of 0 to 65535"):
            as_image(Image.fromarray(np.array(numbers, dtype=np.int32)))


def transparent_forms(tmp_path: Path, pixels: np.ndarray) -> list[Any]:
    """A picture [h, w, 4] in every form that has transparency."""
    image = Image.fromarray(pixels)
    image.save(tmp_path / "clear.png")
    image.save(tmp_path / "clear.webp", lossless=True, exact=True)
    channels_first = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    return [image, tmp_path / "clear.png", tmp_path / "clear.webp", pixels, channels_first, channels_first / 255]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Icons have their shape in the transparency alone."""
    icon = np.zeros((6, 6, 4), np.uint8)
    icon[2:4, 1:5, 3] = 255
    expected = np.where(icon[..., 3] == 255, 0, 255).astype(np.uint8)
    palette = Image.fromarray(expected).convert("P")
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    grey = Image.fromarray(icon).convert("LA")
    ways = [*transparent_forms(tmp_path, icon), grey, grey.convert("La"), tmp_path / "palette.png"]
    for channels in (1, 3):
        found = [as_image(way, channels) for way in ways]
        assert all(np.array_equal(np.asarray(image.convert("L")), expected) for image in found)
        assert {content_of(image) for image in found} == {content_of(as_image(expected, channels))}
    half = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 128, np.uint8)])
    between = PIXELS * (128 / 255) + 255 * (127 / 255)
    assert np.abs(np.asarray(as_image(half)) - between).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_pictures_are_the_same_with_and_without_transparency(tmp_path: Path, channels: int) -> None:
    opaque = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    ways = [*transparent_forms(tmp_path, opaque), PIXELS]
    assert len({content_of(as_image(way, channels)) for way in ways}) == 1
    grey = Image.fromarray(GREY)
    assert content_of(as_image(grey.convert("LA"), channels)) == content_of(as_image(grey, channels))


def test_one_or_several() -> None:
    assert [len(check_pictures(given)) for given in (PIXELS, [PIXELS], [GREY, PIXELS], (PIXELS,), [])] == [
        1,
        1,
        2,
        1,
        0,
    ]
    assert len(check_pictures(np.stack([PIXELS, PIXELS]))) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((0, 0, 3), np.uint8), "nothing to see"),
        (np.full((4, 4, 3), np.nan), "NaN, infinity or numbers outside of 0 to 1"),
        (np.full((4, 4), 2.5), "outside of 0 to 1"),
        (np.full((4, 4), -1), "whole numbers from -1 to -1; they may be from 0 to 255"),
        (np.full((4, 4), 300), "whole numbers from 300 to 300; they may be from 0 to 255"),
        (np.zeros((4, 4), complex), "an array of complex128; give bytes from 0 to 255"),
        (np.zeros((4, 4, 2), np.uint8), r"an array of the shape \[4, 4, 2\]; give .h, w., or .h, w, C. with"),
        (torch.zeros(5, 4, 3), r"a tensor of the shape \[5, 4, 3\]; give .h, w., or .C, h, w. with"),
        (torch.zeros(3, 4, 5, device="meta"), "a tensor on the device 'meta'"),
        (torch.zeros(3, 4, 5).to_sparse(), "a tensor that is sparse"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_place(given: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"image 1 \(counted from 0\): .*{says}"):
        check_pictures([PIXELS, given])


@pytest.mark.parametrize("given", [None, 3, {"a": PIXELS}, {1, 2}, object()], ids=lambda one: type(one).__name__)
def test_another_type_is_refused(given: Any) -> None:
    with pytest.raises(InvalidTypeError, match="image"):
        check_pictures(given)
    with pytest.raises(InvalidTypeError, match="image"):
        check_pictures([given])


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"not a picture")
    Image.fromarray(PIXELS).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    for name, says in {"no.png": "no picture", "cut.png": "no picture", "absent.png": "no file", "": "no file"}.items():
        with pytest.raises(InvalidInputError, match=f"^(?!image 0).*{says}"):
            check_pictures(str(tmp_path / name))


def test_a_picture_that_is_too_large_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "one.png")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 34)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was unpacked"))
    with pytest.raises(InvalidInputError, match="7 x 5 pixels is too large"):
        as_image(tmp_path / "one.png")


@pytest.mark.parametrize(("name", "decoded"), [("one.png", 0), ("one.jpg", 0), ("one.bmp", 1)])
def test_a_file_is_decoded_when_its_pixels_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoded: int
) -> None:
    file, calls = tmp_path / name, counting_decoded(monkeypatch)
    Image.fromarray(PIXELS).save(file)
    (picture,) = check_pictures(file)
    assert len(calls) == decoded, "of other formats nothing but decoding tells that they are whole"
    assert content_of(picture.pixels()) == picture.content and len(calls) == decoded + 1
    assert np.array_equal(np.asarray(picture.pixels()), np.asarray(Image.open(file)))
    (picture,) = check_pictures(file)
    assert picture.content == content_of(as_image(file)), "also where it is asked before the pixels"


@pytest.mark.parametrize("form", pictures.FORMATS)
def test_every_format_that_is_read(tmp_path: Path, form: str) -> None:
    image = Image.fromarray(PIXELS)
    try:
        image.save(tmp_path / "one", format=form, **({"sizes": [(7, 5)]} if form == "ICO" else {}))
    except (KeyError, OSError):
        pytest.skip("this build of Pillow does not write it")
    (picture,) = check_pictures(tmp_path / "one")
    assert picture.pixels().size == (7, 5) and picture.content == content_of(as_image(tmp_path / "one"))


@pytest.mark.parametrize("form", ["jpeg", "bmp", "webp"])
def test_a_file_that_was_cut_is_refused_at_once(tmp_path: Path, form: str) -> None:
    file = tmp_path / "cut"
    Image.fromarray(np.kron(PIXELS, np.ones((9, 9, 1), np.uint8))).save(file, format=form)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InvalidInputError, match=r"^image 1 \(counted from 0\): .*cut' is no picture"):
        check_pictures([PIXELS, str(file)])


def test_what_is_found_damaged_later_is_named_too(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "one.png")
    _, picture = check_pictures([PIXELS, tmp_path / "one.png"])
    (tmp_path / "one.png").unlink()
    with pytest.raises(InvalidInputError, match=r"^image 1 \(counted from 0\): there is no file"):
        picture.pixels()


@pytest.mark.parametrize("in_table", [True, False])
def test_a_column_of_a_data_set_is_not_decoded_as_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_table: bool
) -> None:
    file = tmp_path / "one.png"
    Image.fromarray(PIXELS).save(file)
    cells: list[Any] = [{"bytes": file.read_bytes()}] * 2 if in_table else [str(file)] * 2
    column = Dataset.from_dict({"image": cells}, features=Features({"image": ImageFeature()})).with_format("numpy")
    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
        found = check_pictures(column["image"])
    assert [picture.content for picture in found] == [content_of(as_image(PIXELS))] * 2
    empty = Dataset.from_dict({"image": [*cells, None]}, features=column.features)["image"]
    with pytest.raises(InvalidInputError, match="image 2"):
        check_pictures(empty)
    turned = column.with_transform(lambda rows: {"image": [one.rotate(180) for one in rows["image"]]})["image"]
    assert check_pictures(turned)[0].content == content_of(as_image(PIXELS[::-1, ::-1]))
    grey = Dataset.from_dict({"image": cells}, features=Features({"image": ImageFeature(mode="L")}))["image"]
    assert check_pictures(grey)[0].content == content_of(as_image(Image.fromarray(PIXELS).convert("L")))


class TestFilesThatWereRead:
    """Bytes, files that are open, and cells of a data set that were not decoded."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        Image.fromarray(PIXELS).save(tmp_path / "one.png")
        return tmp_path / "one.png"

    def test_they_are_the_picture(self, file: Path) -> None:
        content = file.read_bytes()
        ways: list[Any] = [content, bytearray(content), io.BytesIO(content), {"bytes": content, "path": None}]
        ways += [{"bytes": content, "path": "elsewhere.png"}, {"bytes": None, "path": str(file)}, {"path": str(file)}]
        for way in (*ways, [*ways]):
            assert {picture.content for picture in check_pictures(way)} == {content_of(as_image(PIXELS))}
        with file.open("rb") as opened:
            opened.read(20)
            found = [*check_pictures(opened), *check_pictures([opened])]
        assert [content_of(picture.pixels()) for picture in found] == [content_of(as_image(PIXELS))] * 2

    def test_a_column_that_is_not_decoded(self, file: Path) -> None:
        cells: list[Any] = [{"bytes": file.read_bytes(), "path": None}, {"bytes": None, "path": str(file)}]
        data = Dataset.from_dict({"image": cells}, features=Features({"image": ImageFeature(decode=False)}))
        for given in (data["image"], list(data["image"])):
            assert [picture.content for picture in check_pictures(given)] == [content_of(as_image(PIXELS))] * 2
        assert len(check_pictures(data[0]["image"])) == 1

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (b"not a picture", "image 1 .*content of a file is no picture that can be read .of no format that is read"),
            (b"", "image 1 .*it is empty"),
            ({"bytes": b"", "path": "a.png"}, "image 1 .*'a.png' is no picture .*it is empty"),
            ({"bytes": None, "path": None}, "image 1 .*neither bytes nor the path of a file"),
        ],
    )
    def test_those_that_hold_none(self, given: Any, says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            check_pictures([PIXELS, given])

    def test_files_that_give_nothing(self, file: Path) -> None:
        with file.open(encoding="utf-8") as opened, pytest.raises(InvalidTypeError, match=r"one.png' is open as text"):
            check_pictures(opened)
        closed = file.open("rb")
        closed.close()
        with pytest.raises(InvalidInputError, match=r"one.png' cannot be read .*closed file"):
            check_pictures(closed)


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("https://example.org/a.png", "'https://example.org/a.png' is a URL.*not fetched: download the picture"),
        ("HTTP://example.org/" + 10**6 * "a", "is a URL, and URLs are not fetched"),
        ("data:image/png;base64," + 10**6 * "A", r"is a URL.* give the bytes .*base64.b64decode"),
    ],
    ids=["web", "long", "data"],
)
def test_urls_are_not_fetched(url: str, cure: str) -> None:
    with pytest.raises(InvalidInputError, match=cure) as caught:
        check_pictures([PIXELS, url])
    assert len(str(caught.value)) < 300


def test_a_path_of_a_million_letters_is_not_repeated() -> None:
    with pytest.raises(InvalidInputError, match="there is no file") as caught:
        check_pictures("A" * 10**6)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("form", ["png", "jpeg", "bmp", "gif", "tiff"])
def test_a_file_that_was_cut_is_said_to_be_truncated(form: str) -> None:
    content = io.BytesIO()
    Image.fromarray(np.kron(PIXELS, np.ones((9, 9, 1), np.uint8))).save(content, format=form)
    with pytest.raises(InvalidInputError, match="no picture that can be read .it is truncated"):
        check_pictures(content.getvalue()[: len(content.getvalue()) * 2 // 3])


@pytest.mark.parametrize("side", [9_700, 100_000])
def test_a_bomb_is_refused_without_a_warning(side: int) -> None:
    """Of one size Pillow warns, and of the other it raises an error."""
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, format="png")
    made = bytearray(content.getvalue())
    made[16:24] = struct.pack(">II", side, side)
    made[29:33] = struct.pack(">I", zlib.crc32(made[12:29]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInputError, match="too large; there may be 67,108,864"):
            check_pictures(bytes(made))


def test_errors_count_from_the_place_of_the_first() -> None:
    with pytest.raises(InvalidInputError, match=r"^image 257 \(counted from 0\): there is no file"):
        check_pictures([PIXELS, "absent.png"], start=256)
    with pytest.raises(InvalidInputError, match=r"^there is no file 'absent.png'"):
        check_pictures([PIXELS, "absent.png"], start=None)
