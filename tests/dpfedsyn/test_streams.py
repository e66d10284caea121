"""What is read, summed or noised a piece at a time is what it would be at once, bit for bit."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpfedsyn import clusters, moments, tables
from dpfedsyn.base import AnalyticBase
from dpfedsyn.clusters import Centres, ClusterQuery
from dpfedsyn.data import Records
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError
from dpfedsyn.moments import MomentQuery
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised_draws, noised_pieces
from dpfedsyn.units import Rows, Units
from tests.dpfedsyn.test_data import CLINIC, HEADER

D, CLASSES, KEY = 3, 2, b"p" * 32
SPACING = 2.0**-20
BASE = AnalyticBase(np.array([[0.5, 0.0, 0.1], [-0.5, 0.2, 0.0]]), np.ones(D), np.eye(D))
QUERIES = [
    MomentQuery(D, CLASSES, 2.0, 0.4),
    MomentQuery(D, CLASSES, 2.0, 0.4, residual_radius=1.0, label_share=0.3, origin_radius=1.5),
    MomentQuery(D, CLASSES, 2.0, 0.4, residual_radius=1.0, label_share=1.0),
]


def records(seed: int, count: int) -> tuple[Rows, np.ndarray]:
    """Records as they are kept, some of them outside of every radius and some not finite."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, D)).astype(np.float32)
    x[rng.random(count) < 0.1] *= 1e3
    x[rng.random(count) < 0.05] = np.nan
    return x, rng.integers(0, CLASSES, count)


def persons(seed: int, count: int) -> Units | None:
    names = np.random.default_rng(seed).integers(0, max(1, count // 2), count)
    return Units.named([str(name) for name in names])


def summed(query: MomentQuery, x: Rows, y: np.ndarray, units: Units | None) -> list[np.ndarray]:
    """Everything that is summed of records on a lattice."""
    origin, about = np.full(D, 0.1), query.residual_radius > 0.0
    means = BASE.means if about else None
    return [
        query.origin_points(x, SPACING, units),
        query.label_points(x, y, SPACING, origin if query.origin_radius else None, units),
        query.points(x, y, SPACING, means, units),
    ]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("grouped", [False, True])
@given(seed=st.integers(0, 2**32), count=st.integers(0, 40), numbers=st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_sums_do_not_depend_on_how_many_records_are_summed_at_once(
    query: MomentQuery, grouped: bool, seed: int, count: int, numbers: int
) -> None:
    """Whole numbers, the same in every entry, whatever the size of a piece; persons too."""
    x, y = records(seed, count)
    units = persons(seed, count) if grouped else None
    at_once = summed(query, x, y, units)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "NUMBERS_AT_ONCE", numbers)
        for piecewise, whole in zip(summed(query, x, y, units), at_once, strict=True):
            assert np.array_equal(piecewise, whole)


@pytest.mark.parametrize("query", QUERIES)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 40), cut=st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_sums_of_two_halves_add_up_to_those_of_all(
    query: MomentQuery, seed: int, count: int, cut: int
) -> None:
    """No record's own vector depends on who is beside it: the float32 of a record decides it."""
    x, y = records(seed, count)
    parts = [summed(query, x[:cut], y[:cut], None), summed(query, x[cut:], y[cut:], None)]
    for first, second, whole in zip(*parts, summed(query, x, y, None), strict=True):
        assert np.array_equal(first + second, whole)
    for single, double in zip(
        summed(query, x, y, None), summed(query, x.astype(np.float64), y, None), strict=True
    ):
        assert np.array_equal(single, double)


@given(seed=st.integers(0, 2**32), count=st.integers(0, 40), numbers=st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_cells_do_not_depend_on_how_many_records_are_summed_at_once(
    seed: int, count: int, numbers: int
) -> None:
    """The same for a mixture's cells."""
    rng = np.random.default_rng(5)
    about = Centres(BASE.means, rng.standard_normal((CLASSES, D, 2)), rng.standard_normal(
        (CLASSES, 3, 2)
    ))  # fmt: skip
    query = ClusterQuery(about, 1.0, 0.2, 0.3)
    x, y = records(seed, count)
    at_once = query.points(x, y, SPACING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "NUMBERS_AT_ONCE", numbers)
        assert np.array_equal(query.points(x, y, SPACING), at_once)


# --- a step's draws ------------------------------------------------------------------------------


@given(count=st.integers(0, 12), draws=st.integers(1, 4), at_once=st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_draws_do_not_depend_on_how_many_are_noised_at_once(
    count: int, draws: int, at_once: int
) -> None:
    """The same times, noise and records in whole units each, and the stream stands at the same
    word afterwards: what is drawn next, the step's own noise, is the same too."""
    x, labels = np.random.default_rng(count).standard_normal((20, D)), np.arange(20) % CLASSES
    rows = np.random.default_rng(draws).integers(0, 20, (count, draws))
    one, other = Keystream(KEY), Keystream(KEY)
    whole = noised_draws(x, labels, rows, BASE, one)
    pieces = list(noised_pieces(x, labels, rows, BASE, other, at_once=at_once))
    assert [last for _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    for name in ("noisy", "signal", "labels"):
        found = np.concatenate([getattr(piece, name) for piece, _ in pieces])
        assert np.array_equal(found, getattr(whole, name)), name
    # What the base says is a matrix product, whose last bit depends on its shape.
    for name in ("guess", "residual"):
        found = np.concatenate([getattr(piece, name) for piece, _ in pieces])
        assert np.allclose(found, getattr(whole, name), rtol=0.0, atol=1e-6), name
    assert np.array_equal(one.words(5), other.words(5))


def test_memory_is_that_of_one_piece_however_large_the_batch() -> None:
    """40,000 units of 8 draws in 30 coordinates are 77 MB a copy; a piece takes a hundredth."""
    x, labels = np.zeros((100, 30), dtype=np.float32), np.zeros(100, dtype=np.int64)
    rows = np.zeros((40_000, 8), dtype=np.int64)
    base = AnalyticBase(np.zeros((1, 30)), np.ones(30), np.eye(30))
    tracemalloc.start()
    for _ in noised_pieces(x, labels, rows, base, Keystream(KEY), at_once=3200):
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 25e6


# --- files ---------------------------------------------------------------------------------------


def clinic(folder: Path, rows: list[str]) -> Path:
    path = folder / "silo.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def row(number: int) -> str:
    age = "n/a" if number % 7 == 3 else str(18 + number % 80)
    ward, outcome = ("north", "south", "east")[number % 3], ("well", "ill")[number % 2]
    return f'p{number},{age},"of {number},\nin two lines",{ward},{outcome}'


def fields(found: Records) -> list[object]:
    groups = {name: values.tolist() for name, values in found.groups.items()}
    return [found.x.tolist(), found.y.tolist(), found.ids, found.silo, groups]


@given(count=st.integers(1, 40), at_once=st.integers(1, 45))
@settings(deadline=None, max_examples=40)
def test_a_file_that_is_read_in_pieces_gives_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, count: int, at_once: int
) -> None:
    """Vectors, labels, ids, groups and plain rows; missing markers and cells of several lines."""
    path = clinic(tmp_path_factory.mktemp("silo"), [row(number) for number in range(count)])
    encoder = TableEncoder(CLINIC)
    whole = encoder.read(path, silo="a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS_AT_ONCE", at_once)
        found = encoder.read(path, silo="a")
    assert fields(found) == fields(whole)
    assert found.plain is found.x


FAULTS = {
    "p98,200,,north,well": "line {line}, column age: 200 lies outside",
    "p98,40,,west,well": "line {line}, column ward: 'west' is not",
    "p98,40,north": "line {line}: 3 fields instead of 5",
    ",40,,north,well": "line {line}, column patient: the id is missing",
    "p1,40,,north,well": "line {line}, column patient: 'p1' names line 4 too",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_a_fault_in_a_later_piece_is_named_with_its_line(
    fault: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, line and column, wherever pieces end; ids are compared with those of every piece."""
    rows = [row(number) for number in range(11)]
    path = clinic(tmp_path, [*rows, fault, row(12)])
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
    with pytest.raises(DataError, match=FAULTS[fault].format(line=2 + 2 * 11)) as refused:
        TableEncoder(CLINIC).read(path)
    assert str(path) in str(refused.value)


def test_a_file_without_a_whole_row_is_refused_after_its_last_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are counted, those of every piece."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    path = clinic(tmp_path, [f"p{k},n/a,,north,well" for k in range(5)])
    with pytest.raises(DataError, match="none of 5 rows is left"):
        TableEncoder(CLINIC).read(path)


def test_texts_are_held_for_one_piece_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 rows of five cells take ten megabytes as texts; of 500 rows it is a fortieth."""
    rows = [f"p{k},{18 + k % 80},,{('north', 'south')[k % 2]},well" for k in range(20_000)]
    path, schema = clinic(tmp_path, rows), replace(CLINIC, file=replace(CLINIC.file, id=""))
    schema = replace(schema, file=replace(schema.file, drop=("comment", "patient")))
    most = {}
    for at_once in (500, 20_000):
        monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
        tracemalloc.start()
        assert sum(len(ids) for _, ids in tables.read(path, schema)) == 20_000
        most[at_once] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most[500] < most[20_000] / 10.0
