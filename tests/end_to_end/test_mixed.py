"""Two made-up clinics with dates, levels, amounts and a total: from their files to rows alike."""

import csv
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpfedsyn import domain, handed
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema
from tests.end_to_end.small import SMALL, call, read, sets

# What the clinics' data dictionary says.
SCHEMA = """
name = "stays"

[file]
delimiter = ";"
drop = ["remark"]
missing = [""]
id = "case"

[target]
column = "died"
values = [0, 1]
labels = ["discharged alive", "died"]

[columns.admitted]
kind = "date"
format = "%d.%m.%Y"
bounds = [2020-01-01, 2023-12-31]

[columns.discharged]
kind = "date"
format = "%d.%m.%Y"
bounds = [2020-01-01, 2024-12-31]
missing_codes = ["31.12.9999"]     # still there
at_least = "admitted"
within = 365
scale = "log"

[columns.age]
kind = "integer"
unit = "years"
bounds = [18, 100]
missing_codes = [-1]
outside = "clip"

[columns.triage]
kind = "ordinal"
levels = ["green", "yellow", "orange", "red"]

[columns.ward]
kind = "categorical"
categories = ["A", "B", "C"]

[columns.insured]
kind = "binary"
values = [0, 1]

[columns.room]
kind = "integer"
unit = "EUR"
decimals = -1
bounds = [0, 50000]
scale = "sqrt"

[columns.drugs]
kind = "numeric"
unit = "EUR"
decimals = 2
bounds = [0, 20000]
scale = "log"

[columns.charges]
kind = "numeric"
unit = "EUR"
decimals = 2
bounds = [0, 70000]
sum_of = ["room", "drugs"]
"""
CONFIG = """
name = "stays"

[data]
schema = "schema.toml"
test_fraction = 0.3
split_key = "stays"

[[silos]]
name = "north"
path = "north.csv"
reference_size = 90

[[silos]]
name = "south"
path = "south.csv"
reference_size = 90

[privacy]
epsilon = 8.0
delta = 1e-5
"""
DAYS = "%d.%m.%Y"


def records(seed: int) -> pd.DataFrame:
    """Typed records of a clinic, as a program has them."""
    rng, n = np.random.default_rng(seed), 120
    admitted = pd.Timestamp(2020, 1, 1) + pd.to_timedelta(rng.integers(0, 1400, n), unit="D")
    stay = np.minimum(rng.exponential(6.0, n).astype(int), 300)
    discharged = pd.Series(admitted + pd.to_timedelta(stay, unit="D"))
    discharged[rng.random(n) < 0.1] = pd.NaT
    triage = rng.integers(0, 4, n)
    room, drugs = 10 * rng.integers(5, 60, n) * (stay + 1), np.round(rng.exponential(300, n), 2)
    return pd.DataFrame(
        {
            "case": [f"{seed}-{k}" for k in range(n)],
            "admitted": admitted,
            "discharged": discharged,
            "age": pd.array(np.where(rng.random(n) < 0.1, -1, rng.integers(18, 99, n)), "Int64"),
            "triage": pd.Categorical.from_codes(triage, ["green", "yellow", "orange", "red"]),
            "ward": rng.choice(["A", "B", "C"], n),
            "insured": pd.array(rng.random(n) < 0.8, "boolean"),
            "room": room.astype(np.int32),
            "drugs": drugs,
            "charges": np.round(room + drugs, 2),
            "died": rng.random(n) < 0.1 + 0.2 * triage,
            "remark": "none",
        }
    )


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same records as the clinic's own file holds them, written here by hand."""
    rows = []
    for row in frame.to_dict("records"):
        gone = row["discharged"]
        days = "31.12.9999" if pd.isna(gone) else gone.strftime(DAYS)
        rows.append({
            **row, "admitted": row["admitted"].strftime(DAYS), "discharged": days,
            "insured": int(row["insured"]), "died": int(row["died"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, a schema and two files."""
    folder = tmp_path_factory.mktemp("clinics")
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "config.toml").write_text(CONFIG)
    for seed, name in enumerate(("north", "south")):
        text(records(seed)).to_csv(folder / f"{name}.csv", sep=";", index=False)
    return folder


@pytest.fixture(scope="module")
def run(clinics: Path) -> Path:
    """A small run on them, from the command line."""
    folder = clinics / "run"
    done = call("run", clinics / "config.toml", "--out", folder, *sets(SMALL), "--set",
                "base.marginals_share=0.1", "--set", "base.combine=pool")  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


def broken(row: dict[str, str]) -> list[str]:
    """What of the data dictionary a synthetic row does not keep, told without the package."""
    faults = []
    first = datetime.strptime(row["admitted"], DAYS).date()
    if row["discharged"] != "31.12.9999":
        last = datetime.strptime(row["discharged"], DAYS).date()
        faults += ["stay"] * (not 0 <= (last - first).days <= 365 or last > date(2024, 12, 31))
    faults += ["admitted"] * (not date(2020, 1, 1) <= first <= date(2023, 12, 31))
    faults += ["age"] * (row["age"] != "-1" and not 18 <= int(row["age"]) <= 100)
    faults += ["triage"] * (row["triage"] not in ("green", "yellow", "orange", "red"))
    faults += ["room"] * (not 0 <= int(row["room"]) <= 50000 or int(row["room"]) % 10 != 0)
    cents = [round(100 * float(row[name])) for name in ("room", "drugs", "charges")]
    faults += ["charges"] * (cents[0] + cents[1] != cents[2])
    return faults + ["drugs"] * (not 0 <= float(row["drugs"]) <= 20000)


def test_synthetic_rows_keep_the_data_dictionary(run: Path) -> None:
    """In the files as they are written: formats, bounds, levels, the order of days, the total."""
    for name in ("synthetic.csv", "synthetic-best.csv"):
        with (run / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) >= 9
        assert [row for row in rows if broken(row)] == []
        assert len({row["admitted"] for row in rows}) > 5
    assert broken({**rows[0], "charges": "1.00", "room": "17"}) == ["room", "charges"]


def test_report_results_and_export_know_the_new_kinds(run: Path, tmp_path: Path) -> None:
    """Similarity of every column and pair; metadata name days and whole numbers as such."""
    similar = read(run / "results.json")["similarity"]
    names = {"admitted", "discharged", "age", "triage", "ward", "insured", "room", "drugs",
             "charges", "died"}  # fmt: skip
    for entry in similar if isinstance(similar, list) else similar.values():
        assert set(entry["marginals"]) == names
        assert all(0.0 <= value <= 1.0 for value in entry["pairwise"].values())
    assert (run / "report.html").is_file()
    assert call("export", run, tmp_path / "out").exit_code == 0
    (table, *_) = read(tmp_path / "out" / "croissant.json")["recordSet"]
    kinds = {field["name"]: field["dataType"] for field in table["field"]}
    assert (kinds["age"], kinds["drugs"], kinds["triage"]) == ("sc:Integer", "sc:Float", "sc:Text")


def test_typed_frames_and_parquet_give_what_the_file_gives(clinics: Path, tmp_path: Path) -> None:
    """Days, whole numbers with missing values, truth values and categories, to the bit."""
    encoder = TableEncoder(Schema.load(clinics / "schema.toml"))
    original = encoder.read(clinics / "north.csv")
    typed = records(0)
    # A missing day of discharge is a code of its own, which a frame holds as a day.
    typed["discharged"] = typed["discharged"].astype("datetime64[s]")
    typed["discharged"] = typed["discharged"].fillna(pd.Timestamp("9999-12-31").as_unit("s"))
    given: dict[str, Any] = {
        "typed": typed,
        "dates": typed.assign(admitted=typed["admitted"].dt.date),
    }
    for path in handed.written(given, encoder, tmp_path / "handed").values():
        again = encoder.read(path)
        assert np.array_equal(again.x, original.x)
        assert np.array_equal(again.y, original.y)
        assert again.ids == original.ids
    pytest.importorskip("pyarrow")
    typed.to_parquet(tmp_path / "north.parquet")
    assert np.array_equal(encoder.read(tmp_path / "north.parquet").x, original.x)


def test_a_row_against_the_dictionary_is_named_with_its_mend(clinics: Path, tmp_path: Path) -> None:
    """File, line and column; the schema decides what becomes of it."""
    encoder = domain.encoder(clinics / "schema.toml")
    good = text(records(0))
    first = good.loc[0, "admitted"]
    before = (datetime.strptime(first, DAYS) - pd.Timedelta(days=1)).strftime(DAYS)
    for column, cell, words in (
        ("discharged", before, f"{before} is below {first} in column admitted; correct the row"),
        ("charges", "1.5", "1.5 is not the sum of room, drugs, which is"),
        ("admitted", "2020-05-01", "'2020-05-01' is no day written as `%d.%m.%Y`"),
        ("triage", "blue", "'blue' is not among the public `levels` green"),
        ("room", "17.5", "'17.5' is no whole number"),
        ("drugs", "-4", "-4 lies outside the public bounds [0, 20000]"),
    ):
        path = tmp_path / f"{column}.csv"
        good.astype(object).mask(np.outer(good.index == 0, good.columns == column), cell).to_csv(
            path, sep=";", index=False
        )
        with pytest.raises(DataError) as caught:
            encoder.read(path)
        assert str(caught.value).startswith(f"{path}, line 2, column {column}: {words}")


def test_a_draft_of_the_file_asks_for_what_only_the_public_knows(clinics: Path) -> None:
    """Kinds and formats are there, no bounds, no levels and no cell."""
    drafted = call("schema", "draft", clinics / "north.csv", "--target", "died").output
    columns = tomllib.loads(drafted)["columns"]
    assert columns["admitted"]["format"] == DAYS
    assert [columns[name]["kind"] for name in ("admitted", "age", "drugs", "ward")] == [
        "date", "integer", "numeric", "categorical",
    ]  # fmt: skip
    assert "ordinal" in drafted
    assert "green" not in drafted
    assert ".2021" not in drafted
