"""Silos without a record, or with one label: their owners are told, and nobody else can tell."""

import dataclasses
import logging
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpfedsyn import config as configuration
from dpfedsyn import domain, envelope, remote, scarce
from dpfedsyn import run as runner
from dpfedsyn.daemon import process
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import Describe, Description
from dpfedsyn.errors import DataError, NoRecords
from dpfedsyn.images import ImageEncoder, archive
from dpfedsyn.progress import Silent
from dpfedsyn.settings import Config
from tests.bad_input.case import HEADER, ROW, STAMPS, TABLE
from tests.dpfedsyn.test_remote import TINY, residents

EXAMPLE = Path(str(files("dpfedsyn") / "examples" / "hospitals"))
OWN = (EXAMPLE / "data" / "processed.hungarian.data").read_text()
FILES = {
    "whole": OWN,
    "none": "",
    "none left": OWN.splitlines()[0].replace(",0,", ",?,") + "\n",
    "one label": "".join(line for line in OWN.splitlines(keepends=True) if line.strip()[-1] == "0"),
}


def two(content: str, folder: Path, *more: str) -> Config:
    """Cleveland beside a silo of these records."""
    folder.mkdir(parents=True)
    (folder / "own.data").write_text(content)
    loaded = configuration.load("hospitals", [*TINY, *more])
    first, second = loaded.silos[:2]
    second = dataclasses.replace(second, path=str(folder / "own.data"))
    return dataclasses.replace(loaded, silos=(first, second))


def seen(config: Config, folder: Path) -> tuple[dict[str, Any], list[int], str]:
    """What a server can tell: the description but for noisy values, lengths of replies, the end."""
    lengths: list[int] = []
    with residents(config, folder / "homes") as found:

        def handle(data: bytes) -> bytes:
            reply = found["hungarian"].handle(data)
            lengths.append(len(reply))
            return reply

        told = envelope.reply(handle(envelope.encode(Describe())))
        assert isinstance(told, Description)
        handlers = {"cleveland": found["cleveland"].handle, "hungarian": handle}
        with LocalTransport(handlers) as wire:
            ended = remote.run(config, wire, folder / "run", resume=False, progress=Silent())
    shown: dict[str, Any] = {
        name: getattr(told, name)
        for name in ("parameters", "released", "inside", "answers", "counts_std", "marginals_std")
    }
    shown["sizes"] = [None if p is None else len(p.data) for p in (told.counts, told.marginals)]
    shown["spent"] = (told.spent.answers_mu2, told.spent.record_mu2)
    return shown, lengths, ended.status


SOURCES = ("counts", "public")  # of the weights, by which a silo is asked about more or fewer rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a server sees of a silo with all its records."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        source: seen(
            two(FILES["whole"], folder / source, f"weights.source={source}"), folder / source
        )
        for source in SOURCES
    }


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", ["none", "none left", "one label"])
def test_a_server_sees_a_scarce_silo_as_any_other(
    kind: str,
    source: str,
    whole: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Guarantee of dpfedsyn.scarce.read: With `may_be_empty`, whether a silo has a record, or one
    label alone, changes nothing but its records and its own log. Where released counts say how
    many rows it is asked about, the lengths of its replies follow them."""
    config = two(FILES[kind], tmp_path / "files", f"weights.source={source}")
    with caplog.at_level(logging.WARNING):
        shown, lengths, status = seen(config, tmp_path)
    assert (shown, status) == (whole[source][0], whole[source][2])
    if source == "public":
        assert lengths == whole[source][1]
    told = [r.getMessage() for r in caplog.records if r.name == "dpfedsyn.scarce"]
    assert len(told) == 1
    assert "hungarian" in told[0]
    assert str(tmp_path / "files" / "own.data") in told[0]
    assert "obody else is told" in told[0]


def test_an_ensemble_without_a_record_answers_too(tmp_path: Path) -> None:
    """None of its parts has one."""
    ensemble = (
        "train.method=ensemble", "train.parts=2", "weights.source=public", "answers.mu=1.5",
        "answers.allow_partial=true", "answers.clip=1.0",
    )  # fmt: skip
    with residents(two("", tmp_path / "files", *ensemble), tmp_path / "homes") as found:
        assert found["hungarian"].member is not None


@pytest.mark.parametrize("kind", ["whole", "none"])
def test_a_silos_process_judges_no_setting_by_its_records(kind: str, tmp_path: Path) -> None:
    """Groups of the evaluation, which is none of its business, would tell an empty file."""
    more = ("evaluate.enabled=true", 'evaluate.groups=["nowhere"]')
    config = two(FILES[kind], tmp_path / "files", *more)
    process.open_home(config, "hungarian", tmp_path / "home")


def test_a_simulation_stops_at_a_silo_without_a_record(tmp_path: Path) -> None:
    """Whoever runs it sees all records anyway, and it is surely a mistake: nothing is charged."""
    with pytest.raises(NoRecords, match=r"own\.data: the file holds no rows"):
        runner.run(two("", tmp_path / "files"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_breaks_the_schema_is_no_data_set_of_it(tmp_path: Path) -> None:
    """Refused in a silo's process, too, before it speaks; no header line is no empty table."""
    path = tmp_path / "silo.csv"
    for content in ("", f"{HEADER}\n{ROW.replace('40', 'forty')}\n"):
        path.write_text(content)
        with pytest.raises(DataError) as refused:
            scarce.read(TABLE, path, "a", may_be_empty=True)
        assert not isinstance(refused.value, NoRecords)
    path.write_text(f"{HEADER}\n")
    assert len(scarce.read(TABLE, path, "a", may_be_empty=True)) == 0


def test_two_labels_and_data_without_labels_are_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is warned of what is as it should be."""
    path = tmp_path / "silo.csv"
    path.write_text(f"{HEADER}\n{ROW}\np2,41,,south,ill\n")
    scarce.read(TABLE, path, "a", may_be_empty=False)
    images = np.zeros((3, 3, 4))
    (tmp_path / "silo.npz").write_bytes(archive.write(images, np.zeros(3, dtype=np.int64), STAMPS))
    scarce.read(ImageEncoder(STAMPS, False), tmp_path / "silo.npz", "a", may_be_empty=False)
    assert not caplog.records
    scarce.read(ImageEncoder(STAMPS), tmp_path / "silo.npz", "a", may_be_empty=False)
    assert "every record has the label 'plain'" in caplog.text


def test_an_empty_data_set_has_the_encoders_dimension(tmp_path: Path) -> None:
    """As any other has it."""
    encoder = domain.encoder(EXAMPLE / "schema.toml")
    (tmp_path / "own.data").write_text("")
    records = scarce.read(encoder, tmp_path / "own.data", "a", may_be_empty=True)
    assert records.x.shape == (0, encoder.dimension)
    assert records.take(np.array([], dtype=np.int64)).ids == ()
