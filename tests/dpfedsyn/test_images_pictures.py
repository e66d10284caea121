"""Folders of pictures: read like an archive of the same images, every fault with its file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpfedsyn.errors import DataError
from dpfedsyn.images import ImageEncoder, ImageSchema, archive, pictures

SCHEMA = ImageSchema("shapes", ("no", "yes"), height=4, width=6, frequencies=5, grey=0.5)
RNG = np.random.default_rng(3)


def save(folder: Path, name: str, values: np.ndarray) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of two labels."""
    for name in ("no/b.png", "no/a.png", "yes/c.pgm"):
        save(tmp_path / "silo", name, RNG.integers(0, 256, (4, 6), dtype=np.uint8))
    return tmp_path / "silo"


def test_a_folder_is_read_as_an_archive_of_its_pictures(folder: Path, tmp_path: Path) -> None:
    """Labels by folder, ids by path, vectors to the bit."""
    found = ImageEncoder(SCHEMA).read(folder, silo="s")
    assert found.ids == ("no/a.png", "no/b.png", "yes/c.pgm")
    assert found.y.tolist() == [0, 0, 1]
    images, labels, _ = pictures.read(folder, SCHEMA)
    (tmp_path / "same.npz").write_bytes(archive.write(images, labels, SCHEMA))
    same = ImageEncoder(SCHEMA).read(tmp_path / "same.npz")
    assert np.array_equal(found.x, same.x)
    assert np.array_equal(found.plain, same.plain)


def test_another_picture_moves_no_id(folder: Path) -> None:
    """Splits go by ids, so that adding a record never moves another."""
    before = pictures.read(folder, SCHEMA)[2]
    save(folder, "no/aa.png", np.zeros((4, 6), dtype=np.uint8))
    assert set(before) < set(pictures.read(folder, SCHEMA)[2])


def test_colours_become_greys(folder: Path) -> None:
    """As Pillow weighs them; the schema's images are grey."""
    save(folder, "yes/d.png", np.full((4, 6, 3), 51, dtype=np.uint8))
    assert np.allclose(pictures.read(folder, SCHEMA)[0][-1], 0.2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no/d.png", b"no picture", r"no/d\.png: not a picture"),
        ("no/d.png", None, r"no/d\.png: 4 x 5 pixels, the schema has 4 x 6"),
        ("maybe/d.png", b"", r"'maybe' is not among the public labels no, yes"),
    ],
)
def test_faults_name_the_file(name: str, content: bytes | None, words: str, folder: Path) -> None:
    """Nothing is read of a folder with one."""
    if content is None:
        save(folder, name, np.zeros((4, 5), dtype=np.uint8))
    else:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        ImageEncoder(SCHEMA).read(folder)


def test_an_empty_folder_and_other_depths_are_refused(folder: Path, tmp_path: Path) -> None:
    """Each with what would do."""
    (tmp_path / "empty" / "no").mkdir(parents=True)
    with pytest.raises(DataError, match="no pictures below it"):
        pictures.read(tmp_path / "empty", SCHEMA)
    shallow = ImageSchema("s", ("no", "yes"), 4, 6, 5, grey=0.5, largest=16)
    with pytest.raises(DataError, match="set largest = 255"):
        pictures.read(folder, shallow)
