"""Persons with several rows: what one of them adds to a sum, a step, a part."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accountants import Adjacency
from dpfedsyn import domain, dpsgd, objective, plain_training
from dpfedsyn.architecture import Architecture
from dpfedsyn.audit.noises import _whole as counts_are_whole
from dpfedsyn.clusters import Array
from dpfedsyn.comparison.embedding import Features
from dpfedsyn.config import load
from dpfedsyn.counts import count_points, counts_sensitivity, label_counts
from dpfedsyn.data import Records, parts, split
from dpfedsyn.dpsgd import training
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import drawn_rows, noised, noised_draws
from dpfedsyn.records import read_records
from dpfedsyn.settings import NetworkSettings, TrainSettings
from dpfedsyn.units import Units, added, pieces, weighed
from tests.dpfedsyn.test_clusters import LAST, MOVING
from tests.dpfedsyn.test_dpsgd import BASE, CPU, KEY
from tests.dpfedsyn.test_marginals import QUERY as MARGINALS
from tests.dpfedsyn.test_moments import ABOUT, CENTRED, MEANS, QUERY
from tests.dpfedsyn.test_privatise import reals

SPACING = 2.0**-20
LIMIT = 1 / Fraction(SPACING) ** 2
FEATURES = Features.drawn(4, 3.0, b"f" * 32)


def square(points: Any) -> int:
    """Squared norm of whole numbers, exact."""
    return sum(int(k) ** 2 for k in np.asarray(points).ravel())


def units_of(*sizes: int) -> Units:
    """Return units whose rows follow each other."""
    return Units(np.repeat(np.arange(len(sizes)), sizes), np.array(sizes))


@st.composite
def people(draw: st.DrawFn) -> tuple[Array, Any, list[str]]:
    """Rows (n, 4) with labels, and whose they are: some people have several, in any order."""
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=7))
    x = draw(arrays(np.float64, (len(names), 4), elements=reals()))
    labels = draw(arrays(np.int64, len(names), elements=st.integers(0, 1)))
    return x, labels, names


SUMS = {
    "counts": lambda x, y, u: count_points(y, 3, SPACING, u),
    "moments": lambda x, y, u: QUERY.points(x, y, SPACING, units=u),
    "second moments": lambda x, y, u: CENTRED.points(x, y, SPACING, MEANS, u),
    "origin": lambda x, y, u: ABOUT.origin_points(x, SPACING, u),
    "means": lambda x, y, u: CENTRED.label_points(x, y, SPACING, units=u),
    "means about": lambda x, y, u: ABOUT.label_points(x, y, SPACING, MEANS[0], u),
    "centres": lambda x, y, u: MOVING.points(x, y, SPACING, u),
    "clusters": lambda x, y, u: LAST.points(x, y, SPACING, u),
    "marginals": lambda x, y, u: MARGINALS.points(x, SPACING, u),
    "embedding": lambda x, y, u: FEATURES.points(x, y, 3, SPACING, u),
}
ALL = pytest.mark.parametrize("summed", SUMS.values(), ids=SUMS.keys())
NOT_NEGATIVE = pytest.mark.parametrize("name", ["counts", "marginals"])


@ALL
@given(data=people(), leaver=st.sampled_from("abc"))
def test_a_person_adds_no_more_than_a_row_could_however_many_they_have(
    summed: Any, data: tuple[Array, Any, list[str]], leaver: str
) -> None:
    """Guarantee of dpfedsyn.units.added: One unit adds a vector (length, w) of whole numbers whose
    norm is at most that of its longest row. All rows of one person leave: the sums move by a vector
    of norm 1 at most, in integers; nobody else's part changes."""
    x, labels, names = data
    stays = np.array([name != leaver for name in names])
    left = [name for name in names if name != leaver]
    before = summed(x, labels, Units.named(names))
    after = summed(x[stays], labels[stays], Units.named(left))
    assert square(before - after) <= LIMIT
    alone = summed(x[~stays], labels[~stays], Units.named([leaver] * int((~stays).sum())))
    assert np.array_equal(before - after, alone)


@ALL
def test_rows_as_units_would_break_the_bound(summed: Any) -> None:
    """Forty equal rows of one person: with their mean the bound holds, added up it is broken."""
    x, labels = np.full((40, 4), 3.0), np.zeros(40, dtype=np.int64)
    assert square(summed(x, labels, units_of(40))) <= LIMIT
    assert square(summed(x, labels, None)) > 100 * LIMIT


@ALL
@given(data=people())
def test_a_mean_is_what_rows_of_one_weight_add_up_to(
    summed: Any, data: tuple[Array, Any, list[str]]
) -> None:
    """One row each is the sum over rows; k copies of a row count as one."""
    x, labels, _ = data
    own = [str(k) for k in range(len(x))]
    assert Units.named(own) is None
    one = summed(x, labels, None)
    singles = Units(np.arange(len(x)), np.ones(len(x), dtype=np.int64))
    assert np.array_equal(summed(x, labels, singles), one)
    thrice = np.repeat(x, 3, axis=0), np.repeat(labels, 3), Units.named([*own, *own, *own])
    in_turn = np.concatenate([x] * 3), np.concatenate([labels] * 3), thrice[2]
    assert np.array_equal(summed(*in_turn), one)


@NOT_NEGATIVE
@given(data=people(), other=people())
def test_replacing_a_person_moves_counts_and_histograms_by_root_two(
    name: str, data: tuple[Array, Any, list[str]], other: tuple[Array, Any, list[str]]
) -> None:
    """Means of vectors without negative entries have none: |u - v|^2 <= |u|^2 + |v|^2."""
    one, two = (
        SUMS[name](x, labels, units_of(len(x))) for x, labels, _ in (data, other)
    )  # fmt: skip
    assert square(one - two) <= 2 * LIMIT
    assert MARGINALS.sensitivity(Adjacency.REPLACE) == math.sqrt(2.0)
    assert counts_sensitivity(Adjacency.REPLACE) == math.sqrt(2.0)


@given(
    arrays(np.int64, st.tuples(st.integers(0, 9), st.integers(1, 3)), elements=st.integers(-9, 9)),
    st.data(),
)
def test_means_are_truncated_toward_zero_entry_by_entry(points: Any, data: st.DataObject) -> None:
    """Against persons and places written out, in exact fractions."""
    n = len(points)
    names = data.draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    places = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=int)
    expected = np.zeros((3, points.shape[1]), dtype=np.int64)
    for name in set(names):
        own = np.array([other == name for other in names])
        for place in range(3):
            total = points[own & (places == place)].sum(axis=0)
            expected[place] += [math.trunc(Fraction(int(k), int(own.sum()))) for k in total]
    assert np.array_equal(added(points, places, 3, Units.named(names)), expected)


def test_sums_without_noise_count_a_row_as_its_share_of_a_person() -> None:
    """What lattices round: within a spacing per person of the exact weighted sums."""
    rng = np.random.default_rng(3)
    units = units_of(1, 4, 2, 3)
    x, labels = rng.standard_normal((10, 4)), rng.integers(0, 3, 10)
    for query, means in ((QUERY, None), (CENTRED, MEANS)):
        exact = query.sums(x, labels, means, units)
        points = query.points(x, labels, SPACING, means, units)
        assert np.abs(points * SPACING - exact).max() <= 10 * SPACING
    sums = QUERY.label_sums(x, labels, None, units)
    assert np.abs(QUERY.label_points(x, labels, SPACING, None, units) * SPACING - sums).max() < 1e-5
    whole = QUERY.origin_sums(x, units)
    assert np.abs(QUERY.origin_points(x, SPACING, units) * SPACING - whole).max() < 1e-5
    cells = LAST.sums(x, labels % 2, units)
    assert np.abs(LAST.points(x, labels % 2, SPACING, units) * SPACING - cells).max() < 1e-5
    mapped = FEATURES.sums(x, labels, 3, units)
    assert np.abs(FEATURES.points(x, labels, 3, SPACING, units) * SPACING - mapped).max() < 1e-5
    assert label_counts(labels, 3, units).sum() == pytest.approx(4.0)
    assert weighed(np.ones((10, 1)), units)[:, 0] == pytest.approx(units.weights)


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 12), st.randoms())
def test_pieces_hold_every_row_once_and_nobody_in_part(
    sizes: list[int], rows: int, random: Any
) -> None:
    """About as many rows as asked for; a person with more is a piece alone."""
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    of_row = of_row[random.sample(range(len(of_row)), len(of_row))]
    units = Units(of_row.astype(np.int64), np.array(sizes, dtype=np.int64))
    found = list(pieces(len(of_row), rows, units))
    assert sorted(np.concatenate([np.zeros(0, int), *found]).tolist()) == list(range(len(of_row)))
    for piece in found:
        owners = set(of_row[piece].tolist())
        assert len(piece) == sum(sizes[owner] for owner in owners)
        assert len(piece) <= rows or len(owners) == 1


ARCHITECTURE = Architecture(NetworkSettings(hidden=8), len(BASE.means[0]), len(BASE.means), None)
MANY = units_of(1, 30, 2, 5, 12)


def rows_of(units: Units) -> tuple[Array, Any]:
    rng = np.random.default_rng(5)
    n = len(units.of_row)
    return rng.standard_normal((n, len(BASE.means[0]))), rng.integers(0, len(BASE.means), n)


def block(units: Units | None, rate: float, **changes: Any) -> dpsgd.TrainingState:
    x, labels = rows_of(MANY)
    return dpsgd.train_block(
        dpsgd.initial_state(ARCHITECTURE, KEY), 3, x=x, labels=labels, base=BASE,
        noise_multiplier=1.0, expected_batch_size=5.0 * rate, architecture=ARCHITECTURE,
        settings=TrainSettings(sampling_rate=rate, draws=4, **changes), key=KEY, device=CPU,
        units=units,
    )  # fmt: skip


def test_a_step_samples_persons_and_each_has_one_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fifty rows of five persons a full batch has five gradients, of draws of their own rows."""
    seen: list[tuple[int, int]] = []
    whole = objective.record_losses

    def watched(module: Any, batch: Any, *rest: Any) -> Any:
        seen.append(tuple(batch.labels.shape))
        return whole(module, batch, *rest)

    monkeypatch.setattr(objective, "record_losses", watched)
    block(MANY, 1.0)
    assert seen == [(5, 4)] * 3
    block(None, 1.0)
    assert seen[3:] == [(50, 4)] * 3


def test_persons_are_sampled_at_the_public_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """One inclusion bit for each person, not for each row."""
    asked: list[tuple[int, float]] = []

    class Watched(Keystream):
        def bernoulli(self, count: int, rate: float) -> Any:
            asked.append((count, rate))
            return super().bernoulli(count, rate)

    monkeypatch.setattr(training, "Keystream", Watched)
    block(MANY, 0.5)
    assert asked == [(5, 0.5)] * 3


def test_draws_pick_a_persons_rows_evenly_and_nobody_elses() -> None:
    """40,000 draws of one of 30 rows: chi-squared of 29 degrees beyond 88 has probability 1e-7."""
    chosen = np.array([False, True, False, False, True])
    picked = drawn_rows(MANY, chosen, 40_000, Keystream(KEY))
    assert picked.shape == (2, 40_000)
    assert MANY.of_row[picked[0]].tolist() == [1] * 40_000
    assert MANY.of_row[picked[1]].tolist() == [4] * 40_000
    counts = np.bincount(picked[0] - picked[0].min(), minlength=30)
    assert ((counts - 40_000 / 30) ** 2 / (40_000 / 30)).sum() < 88.0
    assert (drawn_rows(MANY, ~chosen, 0, Keystream(KEY))).shape == (3, 0)


def test_records_that_are_their_own_units_are_noised_as_ever() -> None:
    """The same bits from the same stream as M draws of each row."""
    x, labels = rows_of(MANY)
    rows = drawn_rows(None, np.ones(50, dtype=bool), 3, Keystream(KEY))
    one = noised_draws(x, labels, rows, BASE, Keystream(KEY))
    other = noised(x, labels, BASE, 3, Keystream(KEY))
    for name in ("noisy", "signal", "guess", "residual", "labels"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_training_without_privacy_weighs_persons_alike() -> None:
    """A person's copies of a row change nothing but the stream: the network is as good."""
    x, labels = rows_of(units_of(1))
    network = plain_training.train(
        np.repeat(x, 9, axis=0), np.repeat(labels, 9), base=BASE, architecture=ARCHITECTURE,
        settings=TrainSettings(steps=2, draws=2), key=KEY, device=CPU, units=units_of(9),
    )  # fmt: skip
    alone = plain_training.train(
        x, labels, base=BASE, architecture=ARCHITECTURE,
        settings=TrainSettings(steps=2, draws=2), key=KEY, device=CPU,
    )  # fmt: skip
    assert [p.shape for p in network.parameters()] == [p.shape for p in alone.parameters()]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20), st.text(max_size=3))
def test_all_rows_of_a_person_share_a_part(names: list[str], key: str) -> None:
    """Held out or trained on together, in one part of an ensemble together."""
    n = len(names)
    records = Records(np.zeros((n, 1), np.float32), np.zeros(n, np.int64), tuple(names), "s")
    for divided in (split(records, key=key, fraction=0.5), parts(records, 3, key)):
        owners = [set(part.ids) for part in divided]
        assert sum(map(len, owners)) == len(set(names))
        assert sum(map(len, divided)) == n


SCHEMA = """
name = "clinic"
[file]
missing = [""]
{naming}
[target]
column = "outcome"
values = ["well", "ill"]
labels = ["recovered", "relapsed"]
[columns.age]
kind = "numeric"
bounds = [18, 100]
[columns.ward]
kind = "categorical"
categories = ["north", "south"]
"""
CONFIG = """
name = "clinics"
[data]
schema = "schema.toml"
path = "all.csv"
[privacy]
unit = "{unit}"
[partition]
kind = "{kind}"
silos = 2
alpha = 1.0
"""


def clinic(folder: Path, *, naming: str = 'person_column = "patient"', people: int = 40) -> Path:
    """Write a schema and a table of people with one to four visits each."""
    folder.mkdir(exist_ok=True)
    (folder / "schema.toml").write_text(SCHEMA.format(naming=naming))
    rng, lines = np.random.default_rng(2), ["patient,age,ward,outcome"]
    for person in range(people):
        ward, age = rng.choice(["north", "south"]), rng.integers(20, 90)
        for visit in range(rng.integers(1, 5)):
            lines.append(f"p{person},{age + visit},{ward},{rng.choice(['well', 'ill'])}")
    (folder / "all.csv").write_text("\n".join(lines) + "\n")
    return folder / "all.csv"


def test_a_person_column_names_units_and_an_id_names_rows(tmp_path: Path) -> None:
    """Rows with one name are one person's; under `id` a name that comes twice is refused."""
    path = clinic(tmp_path)
    records = domain.encoder(tmp_path / "schema.toml").read(path, silo="a")
    assert records.units is not None
    assert records.units.count == 40
    assert len(records) > 60
    clinic(tmp_path, naming='id = "patient"')
    with pytest.raises(DataError, match=r"line \d+, column patient: 'p\d+' names line \d+ too"):
        domain.encoder(tmp_path / "schema.toml").read(path)
    clinic(tmp_path, naming='person_column = "patient"')
    path.write_text("patient,age,ward,outcome\n,40,north,ill\n")
    with pytest.raises(DataError, match="line 2, column patient: the id is missing"):
        domain.encoder(tmp_path / "schema.toml").read(path)
    clinic(tmp_path, naming='person_column = "patient"\nid = "patient"')
    with pytest.raises(ConfigError, match="keep one"):
        domain.encoder(tmp_path / "schema.toml")


def test_schema_and_run_have_to_mean_the_same_unit(tmp_path: Path) -> None:
    """Nobody gets a claim per record by leaving a key out, nor one per person without persons."""
    clinic(tmp_path)
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(unit="record", kind="dirichlet"))
    with pytest.raises(ConfigError, match="a claim per record would not cover"):
        domain.encoder_of(load(str(config)))
    config.write_text(CONFIG.format(unit="person", kind="dirichlet"))
    assert domain.person_column(domain.encoder_of(load(str(config)))) == "patient"
    clinic(tmp_path, naming="")
    with pytest.raises(ConfigError, match="does not say whose rows they are"):
        domain.encoder_of(load(str(config)))


def test_simulated_silos_share_nobody(tmp_path: Path) -> None:
    """Of one file all rows of a person go to one silo, or the division is refused."""
    clinic(tmp_path)
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(unit="person", kind="dirichlet"))
    loaded = load(str(config))
    found = read_records(loaded, domain.encoder_of(loaded)).silos
    people = [set(part.train.ids) | set(part.test.ids) for part in found.values()]
    assert len(people) == 2
    assert not people[0] & people[1]
    assert len(people[0] | people[1]) == 40


@pytest.mark.parametrize("column", ["ward", "outcome"])
def test_a_column_divides_people_or_is_refused(tmp_path: Path, column: str) -> None:
    """A ward is the same in all rows of a person; an outcome is not."""
    clinic(tmp_path)
    names = '["north", "south"]' if column == "ward" else '["well", "ill"]'
    (tmp_path / "c.toml").write_text(
        CONFIG.format(unit="person", kind="column").replace("silos = 2\nalpha = 1.0", "")
        + f'column = "{column}"\nnames = {names}\n'
    )
    loaded = load(str(tmp_path / "c.toml"))
    if column == "ward":
        assert len(read_records(loaded, domain.encoder_of(loaded)).silos) == 2
        return
    with pytest.raises(ConfigError, match="has rows with several of its values"):
        read_records(loaded, domain.encoder_of(loaded))


def test_audited_counts_are_whole_persons_together() -> None:
    """Shares of persons add up to whole ones, but for what the lattice cuts off; other noise by a
    hundredth of a person does not pass, nor do halves of a record."""
    labels = np.random.default_rng(4).integers(0, 3, 60)
    counts = count_points(labels, 3, SPACING, units_of(*([1, 2, 3, 4, 5] * 4)))
    assert counts_are_whole(counts, 2**20, False)
    assert not counts_are_whole(counts, 2**20, True)
    assert not counts_are_whole(counts + 2**20 // 100, 2**20, False)
    records = count_points(labels, 3, SPACING)
    assert counts_are_whole(records, 2**20, True)
    assert not counts_are_whole(records + 2**19, 2**20, True)
