"""The public schema of images: what every silo agrees on before an image is read.

A schema is a TOML file of public knowledge. Encoding, decoding and every check follow from it
alone, never from images.

    kind = "images"
    name = "digits"            # and, optionally, title, source, licence

    [images]
    height = 8                 # pixels
    width = 8
    largest = 16               # pixel values are the whole numbers 0 ... largest

    [latent]
    basis = "frequencies"      # or "pixels": a coordinate for each pixel, and nothing is lost
    frequencies = 64           # how many of the lowest are kept, at most height * width
    grey = 0.3                 # public centre of the pixel values / largest
    scale = 2.0                # of a vector's coordinates
    canonical = false          # true: size and slant of each image become three coordinates
    pose = 1.0                 # what these three are multiplied by, beside scale

    [release]                  # what is done to pictures before they are released
    contrast = 0.0             # > 0: greys are driven apart, the steeper the larger
    warp = 0.0                 # 1: turned up to 12 degrees, stretched by a tenth, and so on

    [target]
    labels = ["0", "1"]        # the label with value k is the k-th, from 0
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpfedsyn import sections
from dpfedsyn.sections import Section

KIND = "images"
FREQUENCIES, PIXELS = "frequencies", "pixels"  # what a vector's coordinates are
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class ImageSchema:
    """Public description of one kind of grayscale image, shared by all silos.

    Args:
        labels: public names; y = 0 .. len(labels) - 1 counts in this order.
        height: of every image, in pixels.
        width: of every image, in pixels.
        frequencies: number of coefficients that are kept, the lowest frequencies first; of pixels
            height * width.
        basis: FREQUENCIES, or PIXELS: coordinates are scale * (pixel value / largest - grey), row
            by row.
        largest: pixel values are the whole numbers from 0 to this.
        grey: public centre of pixel value / largest, in [0, 1].
        scale: every coordinate of a vector is multiplied by it.
        canonical: size and slant are taken out of each image and become three coordinates.
        contrast: slope of the curve that drives the greys of released pictures apart; 0: none.
        warp: how far released pictures are turned, stretched, slanted and shifted at random.
        pose: size and slant are multiplied by it, so that they count for more beside frequencies.

    Raises:
        ConfigError: a value is out of range; every fault is listed.
    """

    name: str
    labels: tuple[str, ...]
    height: int
    width: int
    frequencies: int
    grey: float
    largest: int = 255
    scale: float = 1.0
    canonical: bool = False
    title: str = ""
    source: str = ""
    licence: str = ""
    contrast: float = 0.0
    warp: float = 0.0
    pose: float = 1.0
    basis: str = FREQUENCIES

    def __post_init__(self) -> None:
        faults: list[str] = []
        _read(self.to_dict(), faults)
        sections.refuse("schema", faults)

    @classmethod
    def load(cls, path: Path | str) -> "ImageSchema":
        """Read a schema file.

        Raises:
            ConfigError: no such file, no valid TOML, or faults: all at once, each with the
                nearest valid key or value.
        """
        return cls.from_dict(sections.read(Path(path)), where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "schema") -> "ImageSchema":
        """Build a schema from the tables of its file; inverse of `to_dict`."""
        faults: list[str] = []
        values = _read(content, faults)
        sections.refuse(where, faults)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain JSON values, in the shape of its file."""
        return {
            "kind": KIND,
            **{key: getattr(self, key) for key in ("name", "title", "source", "licence")},
            "images": {"height": self.height, "width": self.width, "largest": self.largest},
            "latent": {
                "basis": self.basis,
                "frequencies": self.frequencies,
                "grey": float(self.grey),
                "scale": float(self.scale),
                "canonical": self.canonical,
                "pose": float(self.pose),
            },
            "release": {"contrast": float(self.contrast), "warp": float(self.warp)},
            "target": {"labels": list(self.labels)},
        }

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()


def _read(content: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Return the arguments of `ImageSchema`; placeholders stand for what `faults` names."""
    top = Section(content, "", faults)
    top.need("kind", _kind, KIND)
    values: dict[str, Any] = {"name": top.need("name", sections.text, "")}
    values |= {key: top.take(key, sections.text, "") for key in ("title", "source", "licence")}
    for name, read in (("images", _images), ("latent", _latent), ("target", _target)):
        table = top.need(name, sections.table, _NOTHING)
        if name in content and table is not _NOTHING:
            section = Section(table, name, faults)
            values |= read(section)
            section.close()
    release = Section(top.take("release", sections.table, _NOTHING), "release", faults)
    values |= _release(release)
    release.close()
    top.close()
    if not faults:
        faults += _unfitting(values)
    return values


def _unfitting(values: dict[str, Any]) -> list[str]:
    """Return what does not go together; the number of pixels is filled in."""
    pixels, faults = values["height"] * values["width"], []
    if values["basis"] == FREQUENCIES and values["frequencies"] > pixels:
        faults.append(
            f"latent: `frequencies` = {values['frequencies']}, but an image has {pixels} pixels; "
            f"give 1 to {pixels}"
        )
    if values["basis"] == PIXELS:
        if values["frequencies"] not in (0, pixels):
            faults.append(
                f'latent: `basis` = "{PIXELS}" keeps all {pixels} pixels, but `frequencies` = '
                f"{values['frequencies']}; leave `frequencies` out"
            )
        if values["canonical"]:
            faults.append(
                f'latent: `basis` = "{PIXELS}" and `canonical` = true: size and slant are taken '
                f'out of frequencies only; set `basis` = "{FREQUENCIES}" or `canonical` = false'
            )
        values["frequencies"] = pixels
    return faults


def _images(section: Section) -> dict[str, Any]:
    return {
        "height": section.need("height", _whole(2, 128), 2),
        "width": section.need("width", _whole(2, 128), 2),
        "largest": section.take("largest", _whole(1, 65_535), 255),
    }


def _latent(section: Section) -> dict[str, Any]:
    basis = section.take("basis", _basis, FREQUENCIES)
    kept = _whole(1, 128**2)
    return {
        "basis": basis,
        "frequencies": section.take("frequencies", kept, 0)
        if basis == PIXELS
        else section.need("frequencies", kept, 1),
        "grey": section.need("grey", _real(0, 1), 0.0),
        "scale": section.take("scale", _real(1e-3, 1e3), 1.0),
        "canonical": section.take("canonical", sections.flag, False),
        "pose": section.take("pose", _real(1e-3, 1e3), 1.0),
    }


def _release(section: Section) -> dict[str, Any]:
    return {
        "contrast": section.take("contrast", _real(0, 100), 0.0),
        "warp": section.take("warp", _real(0, 4), 0.0),
    }


def _target(section: Section) -> dict[str, Any]:
    none: tuple[str, ...] = ()
    return {"labels": section.need("labels", _labels, none)}


def _kind(value: Any) -> str:
    if value != KIND:
        raise TypeError(f'"{KIND}"')
    return KIND


def _basis(value: Any) -> str:
    if value not in (FREQUENCIES, PIXELS):
        raise TypeError(f'"{FREQUENCIES}" or "{PIXELS}"')
    return str(value)


def _labels(value: Any) -> tuple[str, ...]:
    labels = sections.texts(value)
    if len(labels) < 2 or len({label.strip() for label in labels} - {""}) < len(labels):
        raise TypeError("a list of two or more different names")
    return labels


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise TypeError(f"a whole number from {low} to {high}")
        return value

    return convert


def _real(low: float, high: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise TypeError(f"a number from {low:g} to {high:g}")
        return float(value)

    return convert
