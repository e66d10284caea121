"""Where records come from: the test parts that figures are reported on, or a development split.

Settings are chosen on the development split alone: of MNIST's training part, the last 10,000 images
after a fixed public permutation are its test part, and the rest its training part; of the embedded
examples, splits whose keys begin with `dev-`. The real test file is not even opened then.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
HELD_OUT = 10_000
PERMUTATION = 20_261_125  # public: a seed that nobody has tried another of


@dataclass(frozen=True)
class Source:
    """One way to read records.

    Attributes:
        folder: of MNIST's train.npz and test.npz; None where there is none. scratch: for schemas.
        development: whether `folder` and splits are those to choose settings on.
    """

    folder: Path | None
    scratch: Path
    development: bool = False

    def split(self, seed: int) -> str:
        """The key of an embedded example's split."""
        return f"dev-{seed - 1}" if self.development else f"report-{seed - 1}"

    def plain_schema(self, schema: Path) -> Path:
        """Return a copy of a schema without the canonicaliser."""
        text = schema.read_text(encoding="utf-8")
        assert "canonical = true" in text
        path = self.scratch / f"{schema.parent.name}-plain.toml"
        path.write_text(text.replace("canonical = true", "canonical = false"), encoding="utf-8")
        return path


@contextmanager
def source(mnist: Path, scratch: Path, *, development: bool) -> Iterator[Source]:
    """Give a source; a development split is written into `scratch`, and is gone afterwards.

    Args:
        mnist: with train.npz and, unless this is development, test.npz; it need not be there.
    """
    if not mnist.is_dir():
        yield Source(None, scratch, development)
        return
    if not development:
        yield Source(mnist, scratch)
        return
    folder = scratch / "development"
    folder.mkdir()
    try:
        divide(mnist / "train.npz", folder)
        yield Source(folder, scratch, development=True)
    finally:
        shutil.rmtree(folder)


def divide(archive: Path, folder: Path, held_out: int = HELD_OUT) -> None:
    """Write train.npz and test.npz of a development split; one image lies in one of them."""
    with np.load(archive) as found:
        images, labels = found["images"], found["labels"]
    order = np.random.default_rng(PERMUTATION).permutation(len(labels))
    for name, rows in (("train", order[:-held_out]), ("test", order[-held_out:])):
        np.savez(folder / f"{name}.npz", images=images[rows], labels=labels[rows])
