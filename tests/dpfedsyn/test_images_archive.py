"""Archives of images: what is written is read, and every fault of a file is named."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.errors import DataError
from dpfedsyn.images import archive
from dpfedsyn.images.schema import ImageSchema


def schema_of(largest: int = 16) -> ImageSchema:
    """Images of 3 x 4 with two labels."""
    return ImageSchema("stamps", ("plain", "crossed"), 3, 4, 12, 0.5, largest)


STAMPS = schema_of()
IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 3, 4) % 17
LABELS = np.array([0, 1, 1, 0, 1], dtype=np.uint8)


def saved(folder: Path, **arrays: Any) -> Path:
    """A file with these arrays in place of the sound ones; None leaves one out."""
    content = {"images": IMAGES, "labels": LABELS, **arrays}
    path = folder / "records.npz"
    np.savez_compressed(path, **{k: v for k, v in content.items() if v is not None})
    return path


def fault_of(path: Path, schema: ImageSchema = STAMPS) -> str:
    """The message that reading this file gives; it names the file."""
    with pytest.raises(DataError) as refused:
        archive.read(path, schema)
    assert refused.value.exit_code == 2
    assert str(refused.value).startswith(str(path))
    return str(refused.value)


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    """A float copy with one other value."""
    copy = array.astype(np.float64)
    copy[place] = value
    return copy


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1, 16, 255, 256, 65_535]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, largest: int
) -> None:
    """Whole pixel values come back exactly, in the smallest sufficient type."""
    rng, schema = np.random.default_rng(seed), schema_of(largest)
    values = rng.integers(0, largest + 1, (n, 3, 4))
    labels = rng.integers(0, 2, n)
    path = tmp_path_factory.mktemp("archive") / "records.npz"
    path.write_bytes(archive.write(archive.shares(values, schema), labels, schema))
    images, read_labels = archive.read(path, schema)
    assert (images.dtype, read_labels.dtype) == (np.float32, np.int64)
    assert np.array_equal(archive.pixels(images, schema), values)
    assert np.array_equal(read_labels, labels)
    with np.load(path) as file:
        assert np.array_equal(file["images"], values)
        assert file["images"].dtype == (np.uint8 if largest <= 255 else np.uint16)


def test_no_clock_enters_an_archive() -> None:
    """Same input, same bytes: every member bears the date at which ZIP's calendar begins."""
    written = archive.write(IMAGES / 16, LABELS.astype(np.int64), STAMPS)
    assert written == archive.write(IMAGES / 16, LABELS.astype(np.int64), STAMPS)
    with zipfile.ZipFile(io.BytesIO(written)) as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("kind", [bool, np.int16, np.uint64, np.float16, np.float64, ">i4", ">f8"])
def test_any_type_of_number_is_read(tmp_path: Path, kind: Any) -> None:
    """Byte order, width and sign do not matter; nor does the layout in memory."""
    values = np.asfortranarray((IMAGES > 8).astype(kind))
    images, labels = archive.read(
        saved(tmp_path, images=values, labels=LABELS.astype(kind)), STAMPS
    )
    np.testing.assert_array_equal(images, (IMAGES > 8) / np.float32(16))
    assert labels.tolist() == LABELS.tolist()


def test_a_label_that_no_image_has_is_no_fault(tmp_path: Path) -> None:
    """A silo may hold one kind of image only; other arrays are ignored."""
    path = saved(tmp_path, labels=np.ones(5, np.uint8), comment=np.zeros(3))
    assert archive.read(path, STAMPS)[1].tolist() == [1] * 5


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": None}, "no array 'images', it has labels"),
        ({"labels": None}, "no array 'labels', it has images"),
        ({"images": np.array([[1], [1, 2], 0, 0, 0], dtype=object)}, "as of images of mixed sizes"),
        ({"labels": np.array([0, 1, "a", 0, 1], dtype=object)}, "'labels' holds objects"),
        ({"labels": LABELS.astype(str)}, "'labels' holds <U3 instead of numbers"),
        ({"images": IMAGES.astype(complex)}, "'images' holds complex128 instead of numbers"),
        (
            {"images": IMAGES.reshape(5, 12)},
            r"shape (5, 12), but schema 'stamps' has images of 3 x 4",
        ),
        ({"images": IMAGES.reshape(5, 4, 3)}, "shape (5, 4, 3), but schema 'stamps'"),
        ({"images": IMAGES[..., None]}, "save (n, 3, 4)"),
        ({"images": np.uint8(3)}, "shape (), but"),
        ({"labels": LABELS[:4]}, "5 images came with labels of shape (4,)"),
        ({"labels": LABELS[:, None]}, "give one label each, (5,)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "the file holds no images"),
        (
            {"images": changed(IMAGES, (3, 1, 2), 17)},
            "image 3 (of 5, from 0) and 0 more have pixels such as 17.0, which is not a whole "
            "number from 0 to 16",
        ),
        ({"images": changed(IMAGES, (2, 0, 0), -1)}, "image 2 (of 5, from 0) and 0 more"),
        ({"images": changed(IMAGES, (4, 0, 0), np.nan)}, "pixels such as nan"),
        ({"images": changed(IMAGES, (0, 2, 3), np.inf)}, "image 0 (of 5, from 0)"),
        ({"images": IMAGES / 16}, "and 4 more have pixels such as 0.0625"),
        ({"images": IMAGES.astype(np.int8) - 1}, "pixels such as -1"),
        (
            {"labels": changed(LABELS, 3, 2)},
            "image 3 (of 5, from 0) and 0 more have labels such as 2.0, which is not a whole "
            "number from 0 to 1 (plain, crossed)",
        ),
        ({"labels": changed(LABELS, 1, 0.5)}, "labels such as 0.5"),
        ({"labels": changed(LABELS, 1, np.nan)}, "labels such as nan"),
        ({"labels": LABELS.astype(np.int8) - 1}, "labels such as -1"),
    ],
)
def test_each_fault_names_its_place_and_the_mend(
    tmp_path: Path, arrays: dict[str, Any], expected: str
) -> None:
    """One broken array gives one message with the first bad image and what to do."""
    message = fault_of(saved(tmp_path, **arrays))
    assert expected in message
    assert any(mend in message for mend in ("save", "write", "correct", "give", "fill"))


def test_file_that_is_absent_or_a_folder_is_named(tmp_path: Path) -> None:
    """Both give one DataError with the path."""
    assert "cannot be read (No such file" in fault_of(tmp_path / "none.npz")
    assert "cannot be read (Is a directory" in fault_of(tmp_path)


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    """Nothing, text, and a single NPY array are no archives."""
    bare = io.BytesIO()
    np.save(bare, IMAGES)
    for content in (b"", b"age,sex\n1,2\n", bare.getvalue()):
        (tmp_path / "other.npz").write_bytes(content)
        assert "not a sound NPZ archive" in fault_of(tmp_path / "other.npz")


@pytest.mark.parametrize(
    "member",
    [
        b"no array",
        b"\x93NUMPY\x03\x00",
        b"\x93NUMPY\x01\x00\x10\x00{'shape': (9,)}",
        b"\x93NUMPY\x01\x00\x50\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999999,)}".ljust(80),
    ],
)
def test_a_member_that_is_no_array_is_refused(tmp_path: Path, member: bytes) -> None:
    """A sound ZIP with unsound content, also one that promises more values than memory holds."""
    path = tmp_path / "records.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", member)
        file.writestr("labels.npy", member)
    assert "not a sound NPZ archive" in fault_of(path)


@given(st.data())
def test_no_damage_changes_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A flipped byte or a cut end is refused, or it hit nothing that matters."""
    content = bytearray(archive.write(IMAGES / 16, LABELS.astype(np.int64), STAMPS))
    path = tmp_path_factory.mktemp("damage") / "records.npz"
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    try:
        images, labels = archive.read(path, STAMPS)
    except DataError:
        return
    assert np.array_equal(archive.pixels(images, STAMPS), IMAGES)
    assert labels.tolist() == LABELS.tolist()
