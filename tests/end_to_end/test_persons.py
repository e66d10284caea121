"""A run that protects persons with several rows each, from files to claim, audit and attack."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accountants.ledger import verify
from dpfedsyn.keys import load
from dpfedsyn.simulation import Federation, fit
from tests.end_to_end.small import SMALL, call

SCHEMA = """
name = "visits"
[file]
person_column = "patient"
missing = [""]
[target]
column = "relapse"
values = [0, 1]
labels = ["no", "yes"]
[columns.age]
kind = "numeric"
bounds = [18, 100]
[columns.pressure]
kind = "numeric"
bounds = [80, 200]
[columns.ward]
kind = "categorical"
categories = ["north", "south", "east"]
"""
QUICK = tuple(setting for setting in SMALL if not setting.startswith("answers.rows"))
PEOPLE = 150


def visits(seed: int) -> pd.DataFrame:
    """Return one to six visits of each of so many people."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(PEOPLE), rng.integers(1, 7, PEOPLE))
    age = rng.integers(20, 90, PEOPLE)[person]
    pressure = np.clip(60 + age + rng.normal(0, 10, len(person)), 80, 200).round()
    relapse = (rng.random(len(person)) < 1 / (1 + np.exp((130 - pressure) / 8))).astype(int)
    ward = rng.choice(["north", "south", "east"], len(person))
    names = [f"p{k}" for k in person]
    columns = {"patient": names, "age": age, "pressure": pressure.astype(int), "ward": ward}
    return pd.DataFrame({**columns, "relapse": relapse})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    folder = tmp_path_factory.mktemp("persons")
    (folder / "schema.toml").write_text(SCHEMA)
    return fit(
        {"a": visits(1), "b": visits(2)}, folder / "schema.toml", folder=folder / "run",
        sizes={"a": 150.0, "b": 150.0}, rows=120, epsilon=4.0, settings=QUICK,
    )  # fmt: skip


def test_the_claim_is_about_persons(fitted: Federation) -> None:
    """In statement, ledgers and report; no row of the rows that leave says whose it is."""
    claim = fitted.epsilon()
    assert (claim["unit"] == "person").all()
    assert (claim["epsilon upper"] <= 4.0).all()
    for name in ("a", "b"):
        home = fitted.folder / "silos" / name
        checked = verify(home / "ledger.sqlite", key=load(home / "key").chain)
        assert checked.header.unit == "person"
    assert "patient" not in fitted.sample().columns
    report = (fitted.folder / "report.html").read_text()
    assert "unit person" in report


def test_every_charge_and_sum_of_it_is_found_sound(fitted: Federation) -> None:
    """Sums of the ledgers are those of persons' means, and the steps those of sampled persons."""
    found = call("audit", "run", fitted.folder, "--retrain")
    assert found.exit_code == 0, found.output
    assert "CONSISTENT" in found.output


def test_attacks_are_on_one_record_of_each_person(fitted: Federation) -> None:
    """Intervals are about people that were drawn, of whom the claim speaks."""
    found = call("audit", "attack", fitted.folder)
    assert found.exit_code == 0, found.output


def test_persons_cost_no_more_noise_than_records(fitted: Federation, tmp_path: Path) -> None:
    """The same plan with the same epsilon for persons as for records: only what is counted differs.

    And plans are said to be about persons.
    """
    planned = call("plan", fitted.folder / "config.toml")
    assert planned.exit_code == 0
    assert "unit person" in planned.output
    assert "unit record" not in planned.output


def test_no_reading_of_it_is_called_one_of_records(fitted: Federation) -> None:
    """Terminal and page name the readings by the claim's unit."""
    page = (fitted.folder / "report.html").read_text()
    for text in (page, call("plan", fitted.folder / "config.toml").output):
        assert "a: person" in text
        assert "a: record" not in text
        assert "record-level" not in text
    solved = call("plan", fitted.folder / "config.toml", "--epsilon", "3", "--answers-mu", "500")
    assert "person level epsilon <= 3.00" in " ".join(solved.output.split())
