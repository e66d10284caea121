"""`fit`, `sample`, `evaluate`: whatever a program hands over, the run is an ordinary one."""

import stat
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from accountants.ledger import verify
from dpfedsyn import domain, handed
from dpfedsyn.errors import ConfigError, DataError, RunError
from dpfedsyn.keys import load
from dpfedsyn.marking import find
from dpfedsyn.simulation import Federation, fit
from tests.end_to_end.small import SMALL

HOSPITALS = Path(str(files("dpfedsyn") / "examples" / "hospitals"))
SCHEMA = HOSPITALS / "schema.toml"
SIZES = {"cleveland": 200.0, "hungarian": 200.0}
QUICK = tuple(setting for setting in SMALL if not setting.startswith("answers.rows"))


def frame(name: str) -> pd.DataFrame:
    """A hospital's records as a program has them: typed, with missing values."""
    schema = domain.encoder(SCHEMA).schema  # type: ignore[attr-defined]
    path = HOSPITALS / "data" / f"processed.{name}.data"
    return pd.read_csv(path, names=list(schema.file.columns), na_values=["?", "-9"])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """One silo a frame, the other a file."""
    silos: dict[str, Any] = {
        "cleveland": frame("cleveland"),
        "hungarian": HOSPITALS / "data" / "processed.hungarian.data",
    }
    folder = tmp_path_factory.mktemp("fit") / "two"
    return fit(silos, SCHEMA, folder=folder, sizes=SIZES, rows=80, epsilon=6.0, settings=QUICK)


def test_six_lines_give_rows_a_claim_and_their_utility(fitted: Federation) -> None:
    """Rows pass the schema; the claim is the budget's, per silo and with its terms."""
    rows = fitted.sample(30)
    assert len(rows) == 30
    assert rows.equals(fitted.sample().head(30))
    claim = fitted.epsilon()
    assert claim.columns[0] == "epsilon upper"
    assert (claim["epsilon upper"] <= 6.0).all()
    assert (claim["adjacency"] == "add-or-remove").all()
    assert {"name", "logistic.accuracy"} <= set(fitted.evaluate().columns)
    assert find(fitted.folder, "report.html").is_file()


def test_the_run_is_an_ordinary_one(fitted: Federation) -> None:
    """With a ledger per silo that verifies."""
    for name in SIZES:
        home = fitted.folder / "silos" / name
        assert verify(home / "ledger.sqlite", key=load(home / "key").chain)


def test_a_frame_becomes_the_file_that_the_schema_describes(tmp_path: Path) -> None:
    """Typed cells come back as what the original file holds; the owner alone may read it."""
    encoder = domain.encoder(SCHEMA)
    made = handed.written({"a": frame("cleveland")}, encoder, tmp_path / "r")["a"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    again = encoder.read(made)
    original = encoder.read(HOSPITALS / "data" / "processed.cleveland.data")
    assert np.array_equal(again.x, original.x)
    assert np.array_equal(again.y, original.y)
    with pytest.raises(RunError, match="not empty, so nothing was run"):
        handed.written({"a": frame("cleveland")}, encoder, tmp_path / "r")


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A data set of images and labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(self.images[place] / 16.0)[None], int(self.labels[place])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return (self[k] for k in range(len(self)))


def test_arrays_and_torch_data_sets_become_archives(tmp_path: Path) -> None:
    """The same vectors from either, and from the archive that they came from."""
    digits = Path(str(files("dpfedsyn") / "examples" / "digits"))
    encoder = domain.encoder(digits / "schema.toml")
    with np.load(digits / "digits.npz") as archive:
        images, labels = archive["images"][:40], archive["labels"][:40]
    made = handed.written(
        {"arrays": (images, labels), "torch": Pairs(images, labels)}, encoder, tmp_path / "r"
    )
    first, second = (encoder.read(path) for path in made.values())
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.x, encoder.read(digits / "digits.npz").x[:40])
    with pytest.raises(DataError, match="not images and labels"):
        handed.written({"a": [1, 2, 3]}, encoder, tmp_path / "s")


def test_no_image_decides_what_another_is_read_as(tmp_path: Path) -> None:
    """Floats are shares whatever they are: one image beyond 1 is refused, and moves no other."""
    encoder = domain.encoder(Path(str(files("dpfedsyn") / "examples" / "digits" / "schema.toml")))
    images = np.zeros((3, 8, 8))
    images[:, 2:5, 3] = 1.0
    images[2] *= 16.0
    labels = np.zeros(3, dtype=int)
    with pytest.raises(DataError, match=r"image 2 \(from 0\): float64 pixels such as 16"):
        handed.written({"a": (images, labels)}, encoder, tmp_path / "r")
    shares = handed.written({"a": (images[:2], labels[:2])}, encoder, tmp_path / "s")["a"]
    whole = handed.written({"a": (images.astype(int), labels)}, encoder, tmp_path / "w")["a"]
    assert encoder.read(shares).plain.max() == 1.0
    assert encoder.read(whole).plain[:2].max() == 1.0 / 16.0
    kinds = [(images[0], 0), (images[1].astype(int), 0)]
    with pytest.raises(DataError, match=r"record 1 \(from 0\): an image of int64"):
        handed.written({"a": kinds}, encoder, tmp_path / "k")


def test_a_configuration_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Somebody's own.toml is no place for what `fit` makes for folder `own`, nor is it removed."""
    (tmp_path / "own.toml").write_text("mine")
    with pytest.raises(RunError, match=r"own\.toml: is there already"):
        fit({"a": frame("cleveland")}, SCHEMA, folder=tmp_path / "own", sizes={"a": 200})
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]
    assert (tmp_path / "own.toml").read_text() == "mine"


def test_bad_arguments_are_said_before_anything_runs(fitted: Federation, tmp_path: Path) -> None:
    """Sizes are public and have to be given; a table's schema wants a table; rows are paid for."""
    given: dict[str, Any] = {"a": frame("cleveland")}
    with pytest.raises(ConfigError, match="about how many records"):
        fit(given, SCHEMA, folder=tmp_path / "x", sizes={})
    with pytest.raises(DataError, match="is no table"):
        fit({"a": np.zeros((3, 2))}, SCHEMA, folder=tmp_path / "x", sizes={"a": 200})
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match="has paid for 80"):
        fitted.sample(81)
    with pytest.raises(DataError, match="no such rows"):
        fitted.sample(which="worst")


def test_a_schema_without_a_header_names_the_columns_that_a_frame_must_have() -> None:
    """The first that is missing, and those that there are."""
    schema = domain.encoder(SCHEMA).schema  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no column 'age'"):
        handed.table(frame("cleveland").drop(columns="age"), schema)
