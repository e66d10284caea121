"""One base of all silos: sums add up over those that hold a label, questions are answers' work."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accountants import Gaussian
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import preparation as mechanisms
from dpfedsyn.base import AnalyticBase, Array, NoisyStatistics
from dpfedsyn.bases import Asked, bases, held, together
from dpfedsyn.budget import Budget
from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.counts import label_counts
from dpfedsyn.data import Records
from dpfedsyn.keys import SiloKey
from dpfedsyn.mixture import MixtureBase
from dpfedsyn.moments import MomentQuery, query_of
from dpfedsyn.pooling import pool
from dpfedsyn.preparation import Preparation
from dpfedsyn.releases import Sum, sums_of
from dpfedsyn.settings import (
    BaseSettings,
    Config,
    NetworkSettings,
    PretrainSettings,
    SiloSettings,
)
from dpfedsyn.start import pretrained

CLASSES, DIMENSION = 3, 4
SETTINGS = BaseSettings(
    clip_radius=8.0, residual_radius=6.0, label_share=1.0, means_share=0.2, mean_spread=1.0,
    shrinkage=0.5, combine="sum", clusters=2, cluster_axes=2, cluster_rounds=2, cluster_radius=6.0,
    origin_share=0.1, origin_radius=7.0,
)  # fmt: skip
QUERY = query_of(DIMENSION, CLASSES, SETTINGS)
ENCODER: Any = SimpleNamespace(
    dimension=DIMENSION,
    two_valued=np.full((DIMENSION, 2), np.nan),
    spectrum=1.0 / (1.0 + np.arange(DIMENSION)),
)
Part = tuple[Array, NDArray[np.int64]]


@dataclass
class Silos:
    """Silos that answer exactly or with noise, and remember what they were asked."""

    parts: Sequence[Part]
    std: float = 0.0
    query: MomentQuery = QUERY
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def counts(self) -> list[Sum]:
        self.asked.append(("counts", None))
        return [self._noisy(label_counts(y, CLASSES)) for _, y in self.parts]

    def origin(self) -> list[Sum]:
        self.asked.append(("origin", None))
        return [self._noisy(self.query.origin_sums(x)) for x, _ in self.parts]

    def means(self, origin: Array | None) -> list[Sum]:
        self.asked.append(("means", origin))
        return [self._noisy(self.query.label_sums(x, y, origin)) for x, y in self.parts]

    def moments(self, means: Array | None) -> list[Sum]:
        self.asked.append(("moments", means))
        about = [None] * len(self.parts) if means is None else list(means)
        pairs = zip(self.parts, about, strict=True)
        return [self._noisy(self.query.sums(x, y, own)) for (x, y), own in pairs]

    def cells(self, query: ClusterQuery, number: int) -> list[Sum]:
        self.asked.append((f"cells {number}", query.about.places))
        return [self._noisy(query.sums(x, y)) for x, y in self.parts]

    def _noisy(self, exact: Array) -> Sum:
        rng = np.random.default_rng(len(self.asked))
        return exact + self.std * rng.standard_normal(exact.shape), self.std


def part(seed: int, n: int, labels: Sequence[int] = range(CLASSES)) -> Part:
    rng = np.random.default_rng(seed)
    y = np.asarray(list(labels))[rng.integers(0, len(labels), n)].astype(np.int64)
    return rng.standard_normal((n, DIMENSION)) + y[:, None], y


def joined(parts: Sequence[Part]) -> Part:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def denoised(base: Any) -> Array:
    x, y = part(99, 20)
    found: Array = base.denoise(x, 0.5, y)
    return found


@given(st.integers(0, 1000), st.integers(1, 4))
def test_without_noise_silos_together_are_one_silo_with_all_records(seed: int, silos: int) -> None:
    """Means, covariances and cells do not know how records were divided."""
    parts = [part(seed + k, 60) for k in range(silos)]
    apart, *others = bases(Silos(parts), QUERY, ENCODER, SETTINGS)
    (whole,) = bases(Silos([joined(parts)]), QUERY, ENCODER, SETTINGS)
    assert others == [apart] * (silos - 1)
    assert denoised(apart) == pytest.approx(denoised(whole), abs=1e-7)


def test_every_question_is_made_of_answers_and_settings() -> None:
    """Guarantee of dpfedsyn.bases.bases: Post-processing: everything here, the questions
    included, is made of earlier answers and public settings. Other records behind the same answers
    get the same questions and the same base. Guarantee of dpfedsyn.start.pretrained: A function of
    the released base and public settings: bit-equal though every record has changed."""

    @dataclass
    class Frozen(Silos):
        replies: dict[str, list[Sum]] = field(default_factory=dict)

        def _noisy(self, exact: Array) -> Sum:
            kind = f"{self.asked[-1][0]} {len(exact)}"
            return self.replies.setdefault(kind, [super()._noisy(exact)])[0]

    first = Frozen([part(0, 80), part(1, 80)], std=0.5)
    base, _ = bases(first, QUERY, ENCODER, SETTINGS)
    other = Frozen([part(7, 30), part(8, 500)], std=0.5, replies=first.replies)
    again, _ = bases(other, QUERY, ENCODER, SETTINGS)
    assert [kind for kind, _ in first.asked] == [kind for kind, _ in other.asked]
    for (kind, one), (_, two) in zip(first.asked, other.asked, strict=True):
        assert (one is None and two is None) or np.array_equal(one, two), kind
    assert np.array_equal(denoised(base), denoised(again))
    settings = NetworkSettings(hidden=8)
    config = Config("run", Path(), (SiloSettings("a", ""),), base=SETTINGS, network=settings)
    config = replace(config, pretrain=PretrainSettings(steps=3, batch=16, rows=30))
    encoder = Samples()
    one, two = (pretrained(config, encoder, b, torch.device("cpu")) for b in (base, again))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert one["output.weight"].any()


@dataclass
class Samples:
    """An encoder of what is encoded already; it knows no record."""

    dimension: int = DIMENSION
    labels: tuple[str, ...] = ("a", "b", "c")
    geometry: Any = None

    @property
    def still(self) -> Any:
        return self

    def decode(self, x: Array, y: Any) -> Any:
        return SimpleNamespace(x=np.asarray(x, dtype=np.float32))


def test_rounds_are_asked_as_often_as_progress_is_told() -> None:
    """Counts, origin, means, moments, two rounds that move centres, and the last."""
    silos = Silos([part(0, 50)])
    assert isinstance(bases(silos, QUERY, ENCODER, SETTINGS)[0], MixtureBase)
    assert len(silos.asked) == SETTINGS.questions == 7
    one = replace(SETTINGS, clusters=1)
    assert one.questions == 4
    assert replace(one, origin_share=0.0).questions == 3


def statistics(silos: Silos) -> list[NoisyStatistics]:
    about = np.zeros((len(silos.parts), CLASSES, DIMENSION))
    origin = np.zeros(DIMENSION)
    parts = zip(silos.counts(), silos.means(origin), silos.moments(about), strict=True)
    return [
        NoisyStatistics(counts, std, sums, std, means, std, origin=origin)
        for (counts, std), (means, _), (sums, _) in parts
    ]


def test_a_silo_without_a_label_adds_neither_its_sums_nor_their_noise() -> None:
    """Its noisy count drowns: the label's sums are those of the silos that hold it, alone."""
    silos = Silos([part(0, 400, [0, 1]), part(1, 400, [1, 2])], std=1.0)
    both = statistics(silos)
    assert held(both).tolist() == [[True, True, False], [False, True, True]]
    summed = together(both, QUERY)
    assert summed.counts[0] == both[0].counts[0]
    assert summed.counts[1] == both[0].counts[1] + both[1].counts[1]
    assert np.asarray(summed.counts_std) == pytest.approx([1.0, 2.0**0.5, 1.0])
    assert summed.products_std == pytest.approx([1.0, 2.0**0.5, 1.0])
    own, first = QUERY.unpack_labels(summed.sums), QUERY.unpack_labels(both[0].sums)
    assert own is not None
    assert first is not None
    assert np.array_equal(own[0], first[0])


def test_a_label_that_nobody_seems_to_hold_keeps_all_sums() -> None:
    """Leaving everybody out would divide by nothing."""
    silos = Silos([part(0, 50, [0]), part(1, 50, [1])], std=1.0)
    found = statistics(silos)
    lost = [replace(s, counts=np.array([s.counts[0], s.counts[1], 0.1])) for s in found]
    assert held(lost)[:, 2].all()
    assert np.asarray(together(lost, QUERY).counts_std)[2] == pytest.approx(2.0**0.5)


@pytest.mark.parametrize("label_share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("residual_radius", [0.0, 6.0])
def test_sums_of_every_shape_add_up_block_by_block(
    label_share: float, residual_radius: float
) -> None:
    """Without noise, statistics added up are those of all records together."""
    settings = replace(SETTINGS, label_share=label_share, residual_radius=residual_radius)
    query = query_of(DIMENSION, CLASSES, replace(settings, clusters=1))
    parts = [part(0, 40), part(1, 40)]
    about = np.zeros((CLASSES, DIMENSION)) if residual_radius else None

    def exact(records: Part) -> NoisyStatistics:
        x, y = records
        origin = np.ones(DIMENSION) if residual_radius else None
        labelled = query.label_sums(x, y, origin) if residual_radius else None
        counts, sums = label_counts(y, CLASSES), query.sums(x, y, about)
        return NoisyStatistics(counts, 0.0, sums, 0.0, labelled, origin=origin)

    summed, whole = together([exact(p) for p in parts], query), exact(joined(parts))
    assert summed.sums == pytest.approx(whole.sums, abs=1e-9)
    assert summed.counts == pytest.approx(whole.counts)
    if residual_radius:
        assert summed.label_sums == pytest.approx(whole.label_sums, abs=1e-9)
    (fitted,) = pool([summed], query, ENCODER.two_valued, settings, ENCODER.spectrum)
    (expected,) = pool([whole], query, ENCODER.two_valued, settings, ENCODER.spectrum)
    assert fitted.covariance == pytest.approx(expected.covariance, abs=1e-7)


CLUSTERS = (Gaussian(4.0), Gaussian(4.0), Gaussian(2.0))
BUDGET = Budget(
    Gaussian(3.0), True, Gaussian(1.0), None, 10.0, None, means=Gaussian(2.0), clusters=CLUSTERS,
    base_released=True, origin=Gaussian(6.0),
)  # fmt: skip
PLANNED = (
    Planned("counts", "R", Gaussian(3.0), 1), Planned("origin", "R", Gaussian(6.0), 1),
    Planned("means", "R", Gaussian(2.0), 1),
    Planned("moments", "R", Gaussian(1.0), 1), Planned("centres", "R", Gaussian(4.0), 2),
    Planned("clusters", "R", Gaussian(2.0), 1),
)  # fmt: skip


@contextmanager
def silo(folder: Path, records: Records) -> Iterator[Preparation]:
    """A silo with a ledger for this budget, opened anew."""
    path, key = folder / "ledger.sqlite", SiloKey(b"c" * 32)
    if not path.exists():
        header = Header(
            key.ledger_id, "north", "run", "record", "add-or-remove", 1e-5, PLANNED, 100.0, None,
            3, "1",
        )  # fmt: skip
        Ledger.create(path, header, key=key.chain).close()
    config = Config(
        "run", folder, (SiloSettings("north", ""),), base=SETTINGS,
        network=NetworkSettings(kind="none"),
    )  # fmt: skip
    with Ledger.open(path, key=key.chain) as ledger:
        yield Preparation(
            config, config.silos[0], records, ENCODER, CLASSES, BUDGET, ledger, key, folder,
            torch.device("cpu"),
        )  # fmt: skip


def records(seed: int) -> Records:
    x, y = part(seed, 200)
    return Records(x.astype(np.float32), y, tuple(str(k) for k in range(200)), "north")


def test_silos_are_charged_before_they_answer_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.bases.Asked: Each silo takes part in the budget's mechanisms, each
    once, charged before it is answered. Guarantee of dpfedsyn.preparation.noisy_sum: Charge and
    noisy sums are committed together; asked again, the committed ones are returned and no noise is
    drawn for others."""
    with silo(tmp_path, records(0)) as one:
        (base,) = bases(Asked([sums_of(one)]), one.query, ENCODER, SETTINGS)
        charged = [(c.kind, c.group, c.uses, c.event) for c in one.ledger.charges()]
    assert charged == [
        ("counts", "R", 1, Gaussian(3.0)), ("origin", "R", 1, Gaussian(6.0)),
        ("means", "R", 1, Gaussian(2.0)),
        ("moments", "R", 1, Gaussian(1.0)), ("centres", "R", 1, Gaussian(4.0)),
        ("centres", "R", 1, Gaussian(4.0)), ("clusters", "R", 1, Gaussian(2.0)),
    ]  # fmt: skip

    def refused(*_: Any) -> Any:
        raise AssertionError("noise was drawn again")

    monkeypatch.setattr(mechanisms, "privatise", refused)
    with silo(tmp_path, records(5)) as one:
        (again,) = bases(Asked([sums_of(one)]), one.query, ENCODER, SETTINGS)
        assert len(one.ledger.charges()) == 7
    assert np.array_equal(denoised(again), denoised(base))


def test_a_silo_that_cannot_commit_releases_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between noise and commit, it answers nothing; afterwards the same sums are charged
    once, with the same noise."""
    with monkeypatch.context() as patch, silo(tmp_path, records(0)) as one:
        patch.setattr(Ledger, "commit", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            Asked([sums_of(one)]).counts()
    with silo(tmp_path, records(0)) as one:
        assert one.ledger.charges() == []
        Asked([sums_of(one)]).counts()
        assert [c.kind for c in one.ledger.charges()] == ["counts"]


def test_pooled_silos_have_bases_of_their_own() -> None:
    """Questions and bases are each silo's; two silos far apart keep their means."""
    settings = replace(SETTINGS, combine="pool", clusters=1)
    near, far = part(0, 400), part(1, 400)
    silos = Silos([near, (far[0] + 3.0, far[1])])
    first, second = bases(silos, QUERY, ENCODER, settings)
    about = dict(silos.asked)["moments"]
    assert about.shape == (2, CLASSES, DIMENSION)
    assert np.abs(second.means - first.means).mean() == pytest.approx(3.0, abs=0.5)
    assert about[0] == pytest.approx(first.means)
    alone, _ = (bases(Silos([p]), QUERY, ENCODER, settings)[0] for p in (near, far))
    assert first.means == pytest.approx(alone.means, abs=0.2)


def test_an_origin_is_the_mean_of_all_records_and_changes_no_mean() -> None:
    """Without noise labels' sums about it give the means that sums about 0 give; with noise they
    are the nearer to them, because residuals need a smaller radius."""
    parts = [part(k, 300) for k in range(2)]
    parts = [(x + 4.0, y) for x, y in parts]
    settings = replace(
        SETTINGS, clusters=1, clip_radius=30.0, origin_radius=6.0, residual_radius=12.0
    )
    without = replace(settings, origin_share=0.0)
    queries = [query_of(DIMENSION, CLASSES, s) for s in (settings, without)]
    exact = [Silos(parts, query=query) for query in queries]
    about, plain = (
        bases(silos, silos.query, ENCODER, s)[0]
        for silos, s in zip(exact, (settings, without), strict=True)
    )
    assert dict(exact[0].asked)["means"] == pytest.approx(
        joined(parts)[0].mean(axis=0), rel=0.01, abs=0.01
    )
    assert dict(exact[1].asked)["means"] is None
    assert isinstance(about, AnalyticBase)
    assert isinstance(plain, AnalyticBase)
    assert about.means == pytest.approx(plain.means, abs=0.02)
    noisy = [
        bases(Silos(parts, 2.0, query), query, ENCODER, s)[0]
        for query, s in zip(queries, (settings, without), strict=True)
    ]
    near, far = (np.abs(base.means - plain.means).mean() for base in noisy)  # type: ignore[union-attr]
    assert near < 0.6 * far
