"""Preparing a silo: every mechanism charged before it runs, once, however often it is resumed."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from accountants import Gaussian, PoissonSampled, Repeated
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import dpsgd, plain_training
from dpfedsyn import preparation as mechanisms
from dpfedsyn import train as training
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import NoisyStatistics
from dpfedsyn.budget import Budget, solve
from dpfedsyn.counts import label_counts
from dpfedsyn.data import Records
from dpfedsyn.errors import DPError, LedgerError
from dpfedsyn.keys import SiloKey
from dpfedsyn.pooling import pool
from dpfedsyn.preparation import Preparation
from dpfedsyn.settings import (
    BaseSettings,
    Config,
    NetworkSettings,
    SiloSettings,
    TrainSettings,
)
from dpfedsyn.train import Trained, expected_batch_size, prepare

KEY = SiloKey(b"p" * 32)
STEP = PoissonSampled(Gaussian(2.0), 0.5)
DP_SGD = Budget(Gaussian(3.0), True, Gaussian(1.0), Repeated(STEP, 6), 10.0, None)
ENSEMBLE = Budget(None, False, None, None, 10.0, 2.0)
DIMENSION, CLASSES = 3, 2


class PublicFacts:
    """The public facts that preparing a silo asks of an encoder."""

    dimension = DIMENSION
    two_valued = np.full((DIMENSION, 2), np.nan)
    geometry = None
    spectrum = None


def records(count: int = 30, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    ids = tuple(str(k) for k in range(count))
    return Records(x, rng.integers(0, CLASSES, count), ids, "north")


def config(**train: Any) -> Config:
    settings: dict[str, Any] = {"steps": 6, "block": 2, "sampling_rate": 0.5, "draws": 2}
    return Config(
        "run", Path(), (SiloSettings("north", "", reference_size=7.5),),
        network=NetworkSettings(hidden=4), train=TrainSettings(**(settings | train)),
        base=BaseSettings(clip_radius=3.0),
    )  # fmt: skip


def header(budget: Budget) -> Header:
    planned = []
    if budget.counts is not None and budget.moments is not None:
        planned = [
            Planned("counts", "R" if budget.counts_released else "A", budget.counts, 1),
            Planned("moments", "A", budget.moments, 1),
        ]
    if budget.training is not None:
        planned.append(Planned("dp-sgd", "A", budget.training.event, budget.training.count))
    return Header(
        KEY.ledger_id, "north", "run", "record", "add-or-remove", 1e-5, tuple(planned), 100.0,
        None, 3, "1",
    )  # fmt: skip


@contextlib.contextmanager
def preparation(
    folder: Path, data: Records | None = None, budget: Budget = DP_SGD, **train: Any
) -> Iterator[Preparation]:
    """What `prepare` needs, over the ledger and the checkpoint in this folder."""
    path = folder / "ledger.sqlite"
    if not path.exists():
        Ledger.create(path, header(budget), key=KEY.chain).close()
    settings = config(**train)
    with Ledger.open(path, key=KEY.chain) as ledger:
        yield Preparation(
            settings, settings.silos[0], records() if data is None else data,
            PublicFacts(), CLASSES, budget, ledger, KEY, folder,
            torch.device("cpu"),
        )  # fmt: skip


def predictions(trained: Trained) -> NDArray[np.float64]:
    """What the models say about fixed samples: equal bits mean equal models."""
    x = np.linspace(-1, 1, 4 * DIMENSION).reshape(4, DIMENSION)
    labels = np.array([0, 1, 0, 1])
    return np.stack([model.predict_noise(x, 0.5, labels) for model in trained.models])


def kinds(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [(charge.kind, charge.group, charge.uses) for charge in ledger.charges()]


FULL = [("counts", "R", 1), ("moments", "A", 1)] + [("dp-sgd", "A", 2)] * 3


def test_the_budget_is_charged_in_its_order_and_nothing_else_is(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.train.prepare: DP-SGD: the released counts and the models are the
    outputs of the budget's mechanisms, in the budget's order, each charged before it ran."""
    with preparation(tmp_path) as one:
        prepare(one)
        assert kinds(one.ledger) == FULL
        events = [charge.event for charge in one.ledger.charges()]
        assert events == [DP_SGD.counts, DP_SGD.moments, STEP, STEP, STEP]
        assert one.ledger.totals().answers_mu2 == 0.0


def test_a_block_of_steps_is_on_disk_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of `train_block` finds its own steps charged already, and no later ones."""
    seen = []
    real = dpsgd.train_block
    with preparation(tmp_path) as one:

        def watched(state: dpsgd.TrainingState, steps: int, **rest: Any) -> dpsgd.TrainingState:
            seen.append((state.step + steps, one.ledger.totals().uses["dp-sgd"]))
            return real(state, steps, **rest)

        monkeypatch.setattr(training.dpsgd, "train_block", watched)
        prepare(one)
    assert seen == [(2, 2), (4, 4), (6, 6)]


def test_records_are_drawn_at_the_rate_that_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record in each step by a bit of its own, at the rate of the charges in the ledger.

    30 records in 300 steps. Under independent bits at that rate the number of bits that are set,
    and of those set in two steps running, are within 6 standard deviations (false alarm 1e-8
    together), and the dispersion of batch sizes is chi-squared with 300 degrees, beyond 190 or 450
    with probability 1e-7. Another rate fails the first, batches of a fixed size the last.
    """
    count, steps = 30, 300
    batches: list[NDArray[np.int64]] = []
    real = dpsgd.training.drawn_rows

    def watched(*arguments: Any) -> NDArray[np.int64]:
        batches.append(real(*arguments))
        return batches[-1]

    monkeypatch.setattr(dpsgd.training, "drawn_rows", watched)
    train: dict[str, Any] = {"steps": steps, "block": 50, "sampling_rate": 0.3}
    budget = solve(config(**train), config(**train).silos[0])
    with preparation(tmp_path, records(count), budget, **train) as one:
        prepare(one)
        charged = [
            c.event for c in one.ledger.charges() if c.kind == "dp-sgd" for _ in range(c.uses)
        ]
    (step,) = set(charged)
    assert isinstance(step, PoissonSampled)
    assert len(charged) == len(batches) == steps
    drawn = np.array([np.isin(np.arange(count), rows) for rows in batches])
    rate = step.sampling_rate

    def off(bits: NDArray[np.bool_], chance: float) -> float:
        return abs(bits.sum() - bits.size * chance) / math.sqrt(bits.size * chance * (1 - chance))

    assert off(drawn, rate) < 6.0
    # Bits of a record in two steps running: correlated sums, of at most twice the spread.
    assert off(drawn[1:] & drawn[:-1], rate**2) < 12.0
    sizes = drawn.sum(axis=1)
    dispersion = ((sizes - count * rate) ** 2).sum() / (count * rate * (1 - rate))
    assert 190.0 < dispersion < 450.0


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_where_a_charge_fails_its_mechanism_does_not_run(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts, moments, first and second block: no result, no step, no charge beyond the failure."""
    steps: list[int] = []
    real = dpsgd.train_block

    def watched(state: dpsgd.TrainingState, count: int, **rest: Any) -> dpsgd.TrainingState:
        steps.append(count)
        return real(state, count, **rest)

    monkeypatch.setattr(training.dpsgd, "train_block", watched)
    with preparation(tmp_path) as one:
        commit, calls = one.ledger.commit, iter(range(1, 99))

        def broken(*arguments: Any) -> Any:
            if next(calls) == failing:
                raise LedgerError("no disk; nothing may be released. Mend it.")
            return commit(*arguments)

        monkeypatch.setattr(one.ledger, "commit", broken)
        with pytest.raises(LedgerError):
            prepare(one)
        assert len(one.ledger.charges()) == failing - 1
        assert len(steps) == max(0, failing - 3)


@dataclass
class Killed(Exception):  # noqa: N818
    """Stands for Ctrl-C or kill at a step."""

    step: int


def killer(at: int) -> Callable[[], None]:
    """Raises `Killed` when step `at` has been taken."""
    taken = iter(range(1, 99))

    def on_step() -> None:
        step = next(taken)
        if step == at:
            raise Killed(step)

    return on_step


@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_killed_silo_ends_with_the_same_model_and_no_charge_more(tmp_path: Path, at: int) -> None:
    """The interrupted block runs again from its last state, under its own charge and noise."""
    for name in ("straight", "killed"):
        (tmp_path / name).mkdir()
    with preparation(tmp_path / "straight") as one:
        straight = prepare(one)
    with preparation(tmp_path / "killed") as one, pytest.raises(Killed):
        prepare(one, killer(at))
    with preparation(tmp_path / "killed") as one:
        resumed = prepare(one)
        assert kinds(one.ledger) == FULL
    assert np.array_equal(predictions(straight), predictions(resumed))
    assert straight.counts is not None
    assert np.array_equal(straight.counts, np.asarray(resumed.counts))


def test_a_finished_silo_reads_back_what_it_released_and_trained(tmp_path: Path) -> None:
    """Counts and moments come from the ledger's bytes, the network from its checkpoint: with other
    records in the file nothing is computed again under noise that was used."""
    with preparation(tmp_path) as one:
        first = prepare(one)
    with preparation(tmp_path, records(seed=9)) as one:
        again = prepare(one)
        assert kinds(one.ledger) == FULL
    assert np.array_equal(np.asarray(first.counts), np.asarray(again.counts))
    assert np.array_equal(predictions(first), predictions(again))


def test_a_lost_model_is_not_trained_again_under_noise_that_was_used(tmp_path: Path) -> None:
    """Its steps are charged and its answers may be out: the same noise on other records would give
    both away, so the silo refuses instead."""
    with preparation(tmp_path) as one:
        prepare(one)
    (tmp_path / "model.safetensors").unlink()
    with preparation(tmp_path, records(seed=9)) as one, pytest.raises(DPError):
        prepare(one)


def test_every_mechanism_of_a_silo_has_a_noise_key_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts, moments, three blocks and the initial weights draw from six different streams."""
    keys: list[bytes] = []
    plain, block, initial = mechanisms.privatise, dpsgd.train_block, dpsgd.initial_state

    def privatise(points: Any, lattice: Any, key: bytes) -> Any:
        keys.append(key)
        return plain(points, lattice, key)

    def train_block(*arguments: Any, key: bytes, **rest: Any) -> Any:
        keys.append(key)
        return block(*arguments, key=key, **rest)

    def initial_state(architecture: Any, key: bytes) -> Any:
        keys.append(key)
        return initial(architecture, key)

    monkeypatch.setattr(mechanisms, "privatise", privatise)
    monkeypatch.setattr(training.dpsgd, "train_block", train_block)
    monkeypatch.setattr(training.dpsgd, "initial_state", initial_state)
    with preparation(tmp_path) as one:
        prepare(one)
    assert len(keys) == len(set(keys)) == 6


def test_counts_that_stay_inside_are_charged_inside_and_not_returned(tmp_path: Path) -> None:
    """With public weights the counts belong to what trains the model."""
    with preparation(tmp_path, budget=replace(DP_SGD, counts_released=False)) as one:
        trained = prepare(one)
        assert kinds(one.ledger)[0] == ("counts", "A", 1)
    assert trained.counts is None


def test_the_divisor_of_a_step_is_public_and_fractional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rate times the public reference size, whatever the number of records."""
    assert expected_batch_size(config(), config().silos[0]) == 0.5 * 7.5
    seen = []
    real = dpsgd.train_block

    def watched(*arguments: Any, **rest: Any) -> dpsgd.TrainingState:
        seen.append(rest["expected_batch_size"])
        return real(*arguments, **rest)

    monkeypatch.setattr(training.dpsgd, "train_block", watched)
    for count in (0, 30, 31):
        (tmp_path / str(count)).mkdir()
        with preparation(tmp_path / str(count), records(count)) as one:
            prepare(one)
    assert set(seen) == {3.75}


def test_an_ensemble_charges_and_releases_nothing_and_a_record_moves_one_model(
    tmp_path: Path,
) -> None:
    """Guarantee of dpfedsyn.train.prepare: Ensemble: nothing is charged here and nothing is
    released; models of disjoint parts: without one record, one model of four changes."""
    whole = records(40)
    outcomes = []
    for number, data in enumerate((whole, whole.take(np.arange(1, 40)))):
        (tmp_path / str(number)).mkdir()
        with preparation(
            tmp_path / str(number), data, ENSEMBLE, method="ensemble", parts=4, steps=3
        ) as one:
            trained = prepare(one)
            assert one.ledger.charges() == []
        assert trained.counts is None
        outcomes.append(predictions(trained))
    moved = [bool((a != b).any()) for a, b in zip(*outcomes, strict=True)]
    assert len(moved) == 4
    assert sum(moved) == 1


def test_plain_training_promises_nothing_and_says_so(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.plain_training.train: None: the result depends on the records without
    noise; an empty part still gives a model, the zero network."""
    one, other = records(12), records(12, seed=1)

    def outcome(data: Records) -> Any:
        statistics = NoisyStatistics(label_counts(data.y, 2), 0.0, QUERY.sums(data.x, data.y), 0.0)
        (base,) = pool([statistics], QUERY, np.full((DIMENSION, 2), np.nan), BaseSettings())
        network = plain_training.train(
            data.x.astype(np.float64), data.y, base=base,
            architecture=Architecture(NetworkSettings(4), DIMENSION, 2),
            settings=TrainSettings(steps=3, draws=2), key=b"m" * 32, device=torch.device("cpu"),
        )  # fmt: skip
        return network.output.weight.detach().numpy()

    with preparation(tmp_path) as prepared:
        QUERY = prepared.query
    assert np.array_equal(outcome(one), outcome(one))
    assert not np.array_equal(outcome(one), outcome(other))
    assert not outcome(records(0)).any()


@pytest.mark.parametrize("method", ["not-private", "ensemble"])
def test_without_a_network_plain_training_leaves_the_base(tmp_path: Path, method: str) -> None:
    """`network.kind = "none"`: every model predicts what its base says, and nothing is trained."""
    with preparation(tmp_path, records(40), ENSEMBLE, method=method, parts=4, steps=3) as one:
        bare = replace(one, config=replace(one.config, network=NetworkSettings(4, kind="none")))
        trained = prepare(bare)
    assert len(trained.models) == (4 if method == "ensemble" else 1)
    x, labels = np.linspace(-1, 1, 4 * DIMENSION).reshape(4, DIMENSION), np.array([0, 1, 0, 1])
    for model in trained.models:
        clean = model.base.denoise(x, 0.5, labels)
        noise = (x - math.sqrt(0.5) * clean) / math.sqrt(0.5)  # of x = sqrt(.5) clean + sqrt(.5) n
        np.testing.assert_allclose(model.predict_noise(x, 0.5, labels), noise, atol=1e-12)
