"""Encoding of images: a map of one image and the public schema, undone but for high frequencies."""

import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from dpfedsyn.errors import DataError
from dpfedsyn.images import ImageEncoder, ImageSchema, archive
from dpfedsyn.images.encoder import UNLABELLED

EXAMPLES = Path(str(files("dpfedsyn") / "examples"))
MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
SHIPPED = ImageSchema.load(EXAMPLES / "digits" / "schema.toml")
DIGITS = ImageEncoder(replace(SHIPPED, frequencies=64))  # all of them: nothing is lost


@st.composite
def encoders(draw: st.DrawFn) -> ImageEncoder:
    """Any schema of small images."""
    height, width = draw(st.integers(2, 9)), draw(st.integers(2, 9))
    labels = tuple(f"label {k}" for k in range(draw(st.integers(2, 4))))
    pixels = draw(st.booleans())
    return ImageEncoder(
        ImageSchema(
            "made-up",
            labels,
            height,
            width,
            frequencies=height * width if pixels else draw(st.integers(1, height * width)),
            grey=draw(st.floats(0, 1)),
            largest=draw(st.sampled_from([1, 16, 255, 65_535])),
            scale=draw(st.sampled_from([0.001, 0.5, 1.0, 3.0, 1000.0])),
            canonical=not pixels and draw(st.booleans()),
            basis="pixels" if pixels else "frequencies",
        )
    )


def images_of(encoder: ImageEncoder, n: int, seed: int) -> np.ndarray:
    """Images of whole pixel values: black, white, dark, and noise, as float32 in [0, 1]."""
    schema, rng = encoder.schema, np.random.default_rng(seed)
    values = rng.integers(0, schema.largest + 1, (n, schema.height, schema.width))
    values[1::4] = rng.choice([0, schema.largest])
    values[2::4] *= rng.random(values[2::4].shape) < 0.1
    return archive.shares(values, schema)


@given(encoders(), st.integers(1, 6), st.integers(0, 2**32 - 1), st.data())
def test_an_image_alone_is_encoded_as_within_any_file(
    encoder: ImageEncoder, n: int, seed: int, data: st.DataObject
) -> None:
    """Guarantee of dpfedsyn.images.encoder: An image's vector depends on that image and the schema
    alone: it does not change by a bit when others are removed or reordered."""
    images = images_of(encoder, n, seed)
    kept = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    assert np.array_equal(encoder.encode(images[kept]), encoder.encode(images)[kept])


def test_the_place_in_a_large_file_does_not_matter() -> None:
    """Also where images are encoded piece by piece: 6,000 as large as MNIST's, in another order."""
    encoder = ImageEncoder(ImageSchema.load(EXAMPLES / "mnist" / "schema.toml"))
    images = np.random.default_rng(1).random((6000, 28, 28), dtype=np.float32) ** 4
    x = encoder.encode(images)
    assert np.array_equal(encoder.encode(images[::-1]), x[::-1])
    assert np.array_equal(encoder.encode(images[2047:2049]), x[2047:2049])


@given(encoders(), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_no_vector_is_longer_than_the_public_radius(
    encoder: ImageEncoder, n: int, seed: int
) -> None:
    """The radius bounds the float32 vectors themselves, without slack."""
    x = encoder.encode(images_of(encoder, n, seed))
    assert x.shape == (n, encoder.dimension)
    assert x.dtype == np.float32
    assert all(np.linalg.norm(x.astype(np.float64), axis=1) <= encoder.radius)


@given(encoders())
def test_the_radius_is_attained(encoder: ImageEncoder) -> None:
    """A black or white image reaches it, whatever frequencies are kept, so no smaller one would
    do (pose apart, which such an image does not have)."""
    encoder = ImageEncoder(replace(encoder.schema, canonical=False))
    value = 0.0 if encoder.schema.grey > 0.5 else 1.0
    x = encoder.encode(np.full((1, encoder.schema.height, encoder.schema.width), value))
    assert np.linalg.norm(x.astype(np.float64)) == pytest.approx(encoder.radius, rel=1e-6)


@given(encoders(), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_decoding_loses_high_frequencies_and_rounding_only(
    encoder: ImageEncoder, n: int, seed: int
) -> None:
    """The decoded image is no further from the original than its low-pass projection, plus half a
    pixel value each; with all frequencies it is the original."""
    encoder = ImageEncoder(replace(encoder.schema, canonical=False))
    schema, images = encoder.schema, images_of(encoder, n, seed)
    pixels, basis = schema.height * schema.width, encoder.geometry.basis
    flat = images.reshape(n, pixels)
    back = encoder.decode(encoder.encode(images), np.zeros(n, dtype=np.int64)).plain
    loss = np.linalg.norm(flat - flat.astype(np.float64) @ basis.T @ basis, axis=1)
    rounding = 0.5 / schema.largest * np.sqrt(pixels)
    assert (np.linalg.norm(back - flat, axis=1) <= loss + rounding + 1e-5).all()
    if schema.frequencies == pixels:
        assert np.array_equal(back, flat)


@given(encoders(), st.integers(0, 5), st.integers(0, 2**32 - 1), st.floats(0, 1e30))
def test_any_real_vector_decodes_to_valid_images(
    encoder: ImageEncoder, n: int, seed: int, size: float
) -> None:
    """Whole pixel values in range, and the archive holds what `x`, `y` and `plain` say."""
    schema, rng = encoder.schema, np.random.default_rng(seed)
    y = rng.integers(0, len(schema.labels), n)
    made = encoder.decode(rng.normal(size=(n, encoder.dimension)) * size, y)
    values = made.plain.astype(np.float64) * schema.largest
    np.testing.assert_allclose(values, np.rint(values), atol=0.01)
    assert ((made.plain >= 0) & (made.plain <= 1)).all()
    images = made.plain.reshape(n, schema.height, schema.width)
    assert np.array_equal(made.x, encoder.encode(images))
    assert np.array_equal(made.y, y)
    assert made.files[".npz"] == archive.write(images, y, schema)
    assert made.files[".png"].startswith(b"\x89PNG")
    assert made.frame is None


@pytest.mark.parametrize("size", [1e300, np.finfo(np.float64).max])
def test_huge_vectors_do_not_overflow(size: float) -> None:
    """The largest numbers there are decode to black and white, without a warning."""
    encoder = ImageEncoder(replace(DIGITS.schema, canonical=True, scale=0.001))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (3, encoder.dimension))
    assert np.isfinite(encoder.decode(signs * size, [0, 1, 2]).x).all()


def test_written_images_are_read_as_the_same_records(tmp_path: Path) -> None:
    """An archive of synthetic images is a valid file of records, with the same vectors."""
    x = np.random.default_rng(0).normal(size=(20, DIGITS.dimension))
    made = DIGITS.decode(x, np.arange(20) % 10)
    (tmp_path / "made.npz").write_bytes(made.files[".npz"])
    records = DIGITS.read(tmp_path / "made.npz")
    assert np.array_equal(records.x, made.x)
    assert np.array_equal(records.y, made.y)
    assert np.array_equal(records.plain, made.plain)


def test_public_facts_follow_from_the_schema() -> None:
    """Dimension, labels, digest and geometry; pose comes last, as zeros in the basis."""
    schema = replace(DIGITS.schema, frequencies=20, canonical=True)
    encoder = ImageEncoder(schema)
    assert (DIGITS.dimension, encoder.dimension) == (64, 23)
    assert encoder.labels == tuple("0123456789")
    assert encoder.digest == schema.digest
    assert encoder.two_valued.shape == (23, 2)
    assert np.isnan(encoder.two_valued).all()
    geometry = encoder.geometry
    assert (geometry.height, geometry.width, geometry.basis.shape) == (8, 8, (23, 64))
    expected = np.diag([1.0] * 20 + [0.0] * 3)
    np.testing.assert_allclose(geometry.basis @ geometry.basis.T, expected, atol=1e-13)


@given(encoders(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_vectors_have_their_documented_values(encoder: ImageEncoder, n: int, seed: int) -> None:
    """scale * basis (pixel - grey), by one product with the geometry's basis."""
    encoder = ImageEncoder(replace(encoder.schema, canonical=False))
    images = images_of(encoder, n, seed).reshape(n, -1)
    centred = images.astype(np.float64) - encoder.schema.grey
    expected = encoder.schema.scale * centred @ encoder.geometry.basis.T
    x = encoder.encode(images.reshape(n, encoder.schema.height, encoder.schema.width))
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6 * encoder.schema.scale)


def test_the_shipped_digits_are_those_of_scikit_learn() -> None:
    """All 1,797, pixel by pixel; ids count from 0 and labels can be partitioned by."""
    records = DIGITS.read(EXAMPLES / "digits" / "digits.npz", silo="school")
    original = load_digits()
    assert np.array_equal(records.plain * 16, original.data)
    assert np.array_equal(records.y, original.target)
    assert records.ids == tuple(str(k) for k in range(1797))
    assert records.silo == "school"
    assert records.groups["label"].tolist() == [str(label) for label in original.target]
    with np.load(EXAMPLES / "digits" / "digits.npz") as file:
        assert {name: file[name].dtype for name in file} == {
            "images": np.uint8,
            "labels": np.uint8,
        }


def test_the_shipped_digits_come_back_exactly() -> None:
    """Their schema keeps every frequency, so decoding undoes encoding."""
    records = DIGITS.read(EXAMPLES / "digits" / "digits.npz")
    made = DIGITS.decode(records.x, records.y)
    assert np.array_equal(made.plain, records.plain)
    assert np.array_equal(made.x, records.x)


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_each_example_names_source_and_licence(name: str) -> None:
    """The attribution lies beside the schema; its licence is the schema's."""
    schema = ImageSchema.load(EXAMPLES / name / "schema.toml")
    text = (EXAMPLES / name / "SOURCE.md").read_text(encoding="utf-8")
    assert schema.licence
    assert schema.licence in text
    assert ("https://doi.org/10.24432/C50P49" in text) == (name == "digits")


def test_mnist_is_read_and_comes_back() -> None:
    """The documented archive is accepted; images survive pose and low-pass recognisably, and the
    better the more frequencies are kept."""
    if not (MNIST / "test.npz").exists():
        pytest.skip("MNIST is not shipped with the package and is not beside this checkout")
    encoder = ImageEncoder(ImageSchema.load(EXAMPLES / "mnist" / "schema.toml"))
    records = encoder.read(MNIST / "test.npz")
    assert records.x.shape == (10_000, 147)
    digits = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(records.y).tolist() == digits
    images, likeness = records.plain[:500].reshape(-1, 28, 28), []
    for frequencies in (100, 200, 784):
        plain = replace(encoder.schema, frequencies=frequencies, contrast=0.0, warp=0.0)
        encoder = ImageEncoder(plain)
        made = encoder.decode(encoder.encode(images), records.y[:500])
        likeness.append(np.corrcoef(made.plain.ravel(), images.ravel())[0, 1])
    assert 0.88 < likeness[0] < likeness[1] < likeness[2]
    assert likeness[2] > 0.97


def test_without_labels_every_image_has_the_same_one(tmp_path: Path) -> None:
    """What is modelled has one label; the true one stays for the evaluation, and is not made up
    for synthetic images."""
    encoder = ImageEncoder(DIGITS.schema, conditional=False)
    records = encoder.read(EXAMPLES / "digits" / "digits.npz")
    assert encoder.labels == (UNLABELLED,)
    assert not records.y.any()
    assert records.groups["label"][:4].tolist() == ["0", "1", "2", "3"]
    made = encoder.decode(records.x[:5], records.y[:5])
    (tmp_path / "made.npz").write_bytes(made.files[".npz"])
    with np.load(tmp_path / "made.npz") as file:
        assert list(file) == ["images"]
    with pytest.raises(DataError, match="label 1 is unknown"):
        encoder.decode(records.x[:1], [1])


def test_the_public_spectrum_falls_with_frequency() -> None:
    """One variance for each coordinate, largest for a constant image; the pose's come last."""
    spectrum = ImageEncoder(replace(DIGITS.schema, canonical=True)).spectrum
    assert spectrum.shape == (67,)
    assert spectrum[0] == 1
    assert (np.diff(spectrum[:64]) <= 0).all()
    np.testing.assert_allclose(spectrum[64:], 1 / 5)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((2, 63)), [0, 1], r"samples have shape \(2, 63\).*needs \(rows, 64\)"),
        (np.zeros(64), [0], "samples have shape"),
        (np.zeros((2, 64)), [0], r"labels of shape \(1,\)"),
        (np.full((2, 64), np.nan), [0, 1], "sample 1 and 1 more hold NaN"),
        (np.full((1, 64), np.inf), [0], "sample 1 and 0 more hold NaN or infinity"),
        (np.zeros((1, 64)), [10], "label 10 is unknown"),
        (np.zeros((1, 64)), [0.5], "label 0.5 is unknown"),
    ],
)
def test_samples_that_cannot_be_decoded_are_refused(
    x: np.ndarray, y: list[float], expected: str
) -> None:
    """Wrong shapes, NaN and unknown labels give one error and no image."""
    with pytest.raises(DataError, match=expected):
        DIGITS.decode(x, y)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((2, 64)), r"images have shape \(2, 64\).*needs \(images, 8, 8\)"),
        (np.zeros((2, 8, 9)), "images have shape"),
        (np.full((2, 8, 8), 16.0), r"image 0 \(from 0\) and 1 more hold values outside"),
        (np.full((1, 8, 8), np.nan), "values outside"),
    ],
)
def test_images_that_cannot_be_encoded_are_refused(images: np.ndarray, expected: str) -> None:
    """Wrong shapes and values outside [0, 1] give one error and no vector."""
    with pytest.raises(DataError, match=expected):
        DIGITS.encode(images)


def test_importing_images_loads_no_training_and_no_drawing() -> None:
    """Encoding needs neither torch nor matplotlib until a grid is drawn."""
    code = (
        "import sys, dpfedsyn.images;"
        "sys.exit(' '.join({'torch', 'opacus', 'sklearn', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_contrast_drives_greys_apart_and_still_pictures_are_not_moved() -> None:
    """Released pictures are steeper and moved; `still` keeps the first and leaves the second."""
    images = load_digits().images[:50].astype(np.float32) / 16
    labels = np.zeros(50, dtype=np.int64)
    steep = ImageEncoder(replace(DIGITS.schema, contrast=12.0, warp=1.0))
    plain = DIGITS.decode(DIGITS.encode(images), labels).plain
    still = steep.still.decode(DIGITS.encode(images), labels).plain
    moved = steep.decode(DIGITS.encode(images), labels).plain
    assert ((still > 0.5) == (plain > 0.5))[np.abs(plain - 0.45) > 0.1].all()
    assert still.std() > 1.05 * plain.std()
    assert np.abs(moved - still).mean() > 0.02
    assert np.array_equal(steep.decode(DIGITS.encode(images), labels).plain, moved)


def test_pose_is_weighed_and_put_back() -> None:
    """A slanted stroke's three coordinates are `pose` times as long and no other is; decoded, the
    picture is as slanted as before, whatever the weight."""
    images = np.zeros((1, 28, 28), dtype=np.float32)
    for row in range(5, 23):
        images[0, row, 10 + row // 3 : 13 + row // 3] = 1.0
    schema = ImageSchema.load(EXAMPLES / "mnist" / "schema.toml")
    schema = replace(schema, frequencies=28 * 28, contrast=0.0, warp=0.0)
    plain, heavy = (ImageEncoder(replace(schema, pose=weight)) for weight in (1.0, 3.0))
    once, thrice = plain.encode(images), heavy.encode(images)
    assert np.abs(once[0, -3]) > 0.2
    assert thrice[:, -3:] == pytest.approx(3.0 * once[:, -3:])
    assert np.array_equal(thrice[:, :-3], once[:, :-3])
    label = np.zeros(1, dtype=np.int64)
    back = [e.decode(x, label).plain for e, x in ((plain, once), (heavy, thrice))]
    assert np.array_equal(*back)
    assert np.abs(back[0] - images.reshape(1, -1)).mean() < 0.03
    assert heavy.digest != plain.digest
    wrong = plain.decode(thrice, label).plain
    assert np.abs(wrong - images.reshape(1, -1)).mean() > 0.05


def test_pixels_are_their_own_coordinates_to_the_last_bit() -> None:
    """With scale 2 and grey 1/2 a vector is the picture in -1 ... 1, row by row; and back."""
    schema = replace(SHIPPED, basis="pixels", frequencies=64, scale=2.0, grey=0.5)
    encoder = ImageEncoder(schema)
    images = (load_digits().images[:50] / 16).astype(np.float32)
    x = encoder.encode(images)
    assert np.array_equal(x, 2.0 * images.reshape(50, 64) - 1.0)
    assert np.array_equal(encoder.decode(x, np.zeros(50, dtype=np.int64)).plain, encoder_plain(x))
    assert np.array_equal(encoder.geometry.basis, np.eye(64))
    assert encoder.geometry.smallest().waves is False


def encoder_plain(x: np.ndarray) -> np.ndarray:
    return (x + 1.0) / 2.0


def test_pixels_on_odd_sides_become_a_picture_of_even_ones() -> None:
    """The U-Net halves its sides: the grid is padded, the pixels stay where they are."""
    schema = ImageSchema("odd", ("a", "b"), 3, 5, 15, 0.5, basis="pixels")
    geometry = ImageEncoder(schema).geometry
    even = geometry.smallest()
    assert (even.height, even.width) == (4, 6)
    picture = np.arange(1.0, 16.0)
    assert np.array_equal((picture @ even.basis).reshape(4, 6)[:3, :5], picture.reshape(3, 5))
    assert np.array_equal(even.basis @ even.basis.T, np.eye(15))
