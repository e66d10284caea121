"""The public schema of images: the shipped ones, and every fault a schema file can have."""

import json
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn.errors import ConfigError
from dpfedsyn.images.schema import ImageSchema

EXAMPLES = Path(str(files("dpfedsyn") / "examples"))

STAMPS = """
kind = "images"
name = "stamps"

[images]
height = 4
width = 6

[latent]
frequencies = 10
grey = 0.5

[target]
labels = ["plain", "crossed"]
"""


def faults_of(text: str, tmp_path: Path) -> str:
    """The message that a schema file with this text gets."""
    path = tmp_path / "schema.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        ImageSchema.load(path)
    assert str(refused.value).startswith(str(path))
    return str(refused.value)


def test_the_shipped_schemas_are_the_documented_ones() -> None:
    """Digits keep every frequency of 8 x 8; MNIST a hundred, upright."""
    digits = ImageSchema.load(EXAMPLES / "digits" / "schema.toml")
    mnist = ImageSchema.load(EXAMPLES / "mnist" / "schema.toml")
    assert digits == ImageSchema(
        "digits", tuple("0123456789"), 8, 8, 50, 0.3, 16, 2.0, False,
        digits.title, digits.source, "CC BY 4.0",
    )  # fmt: skip
    assert (mnist.height, mnist.width, mnist.largest) == (28, 28, 255)
    assert (mnist.frequencies, mnist.grey, mnist.scale, mnist.canonical) == (144, 0.13, 1.0, True)
    assert (mnist.pose, digits.pose) == (2.0, 1.0)
    assert mnist.labels == digits.labels


def test_optional_values_have_their_documented_defaults() -> None:
    """Bytes, no scaling, no canonical pose."""
    schema = ImageSchema.from_dict(tomllib.loads(STAMPS))
    assert (schema.largest, schema.scale, schema.canonical, schema.pose) == (255, 1.0, False, 1.0)
    assert (schema.title, schema.source, schema.licence) == ("", "", "")


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_schema_survives_json(name: str) -> None:
    """A recorded schema is read back equal, with the same digest."""
    schema = ImageSchema.load(EXAMPLES / name / "schema.toml")
    again = ImageSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema
    assert again.digest == schema.digest


def test_digest_sees_every_value_and_not_how_a_number_is_written() -> None:
    """Any other content is another digest; 1 and 1.0 are the same scale."""
    schema = ImageSchema.from_dict(tomllib.loads(STAMPS))
    others: list[dict[str, Any]] = [
        {"name": "a"}, {"title": "a"}, {"source": "a"}, {"licence": "a"},
        {"labels": ("crossed", "plain")}, {"height": 6}, {"width": 4}, {"frequencies": 11},
        {"grey": 0.25}, {"largest": 16}, {"scale": 2.0}, {"canonical": True},
        {"pose": 2.0},
    ]  # fmt: skip
    digests = {schema.digest, *(replace(schema, **other).digest for other in others)}
    assert len(digests) == 1 + len(others)
    assert replace(schema, scale=1).digest == schema.digest


def test_all_faults_are_reported_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    """Faults of every section appear in one message, unknown names with the nearest known one."""
    text = (
        STAMPS.replace("height = 4", "hight = 4")
        .replace("width = 6", "width = 1000")
        .replace("grey = 0.5", "grey = 1.5\nscale = 0")
        .replace('labels = ["plain", "crossed"]', 'labels = ["plain"]')
    )
    message = faults_of("nme = 1\n" + text, tmp_path)
    for part in (
        "7 faults",
        "unknown key `nme`; did you mean `name`?",
        "images: `height` is missing; add it",
        "images: unknown key `hight`; did you mean `height`?",
        "images: `width` = 1000 is not a whole number from 2 to 128",
        "latent: `grey` = 1.5 is not a number from 0 to 1; write a number from 0 to 1",
        "latent: `scale` = 0 is not a number from 0.001 to 1000",
        "target: `labels` = ['plain'] is not a list of two or more different names",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('kind = "images"', 'kind = "table"', "`kind` = 'table' is not \"images\""),
        ('kind = "images"', "", "`kind` is missing"),
        ('name = "stamps"', "", "`name` is missing"),
        ("[latent]", "[laten]", "unknown key `laten`; did you mean `latent`?"),
        ("[latent]", "[laten]", "`latent` is missing"),
        ("height = 4", "height = 4.5", "`height` = 4.5 is not a whole number"),
        ("height = 4", "height = true", "`height` = True is not a whole number"),
        ("width = 6", "width = 6\nlargest = 0", "whole number from 1 to 65535"),
        ("frequencies = 10", "frequencies = 0", "whole number from 1"),
        ("frequencies = 10", "frequencies = 25", "an image has 24 pixels; give 1 to 24"),
        ("grey = 0.5", "grey = nan", "number from 0 to 1"),
        ("grey = 0.5", "grey = true", "number from 0 to 1"),
        ("grey = 0.5", 'grey = 0.5\ncanonical = "no"', "true or false"),
        ('"crossed"]', '"plain"]', "two or more different names"),
        ('"crossed"]', '" "]', "two or more different names"),
        ('"crossed"]', "1]", "list of texts"),
    ],
)
def test_each_fault_names_its_place_and_the_mend(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    """One broken line gives a message with the key and what to write instead."""
    assert old in STAMPS
    assert expected in faults_of(STAMPS.replace(old, new), tmp_path)


def test_file_that_is_absent_or_no_toml_is_named(tmp_path: Path) -> None:
    """Both give one ConfigError with the path."""
    with pytest.raises(ConfigError, match=r"none\.toml: the file cannot be read"):
        ImageSchema.load(tmp_path / "none.toml")
    assert "not a TOML file" in faults_of("name = \n", tmp_path)


def test_schema_made_in_code_is_checked_too() -> None:
    """A value out of range cannot be built by leaving out the file."""
    schema = ImageSchema.from_dict(tomllib.loads(STAMPS))
    with pytest.raises(ConfigError, match="an image has 24 pixels"):
        replace(schema, frequencies=25)
    with pytest.raises(ConfigError, match=r"`scale` = -1\.0 is not a number from"):
        replace(schema, scale=-1)


def test_pixels_need_no_frequencies_and_go_without_canonical(tmp_path: Path) -> None:
    """All pixels are kept, so their number is known; what does not go with that is refused."""
    pixels = STAMPS.replace("[latent]", '[latent]\nbasis = "pixels"')
    table = tomllib.loads(pixels)
    del table["latent"]["frequencies"]
    assert ImageSchema.from_dict(table).frequencies == 24
    assert "keeps all 24 pixels" in faults_of(pixels, tmp_path)
    table["latent"]["canonical"] = True
    with pytest.raises(ConfigError, match="taken out of frequencies only"):
        ImageSchema.from_dict(table)
    wrong = STAMPS.replace("[latent]", '[latent]\nbasis = "wavelets"')
    assert '"frequencies" or "pixels"' in faults_of(wrong, tmp_path)
