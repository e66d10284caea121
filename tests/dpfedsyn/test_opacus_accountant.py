"""The certified accountant inside Opacus: its history, its claim, its loaders, a real training."""

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus import PrivacyEngine
from opacus.accountants import RDPAccountant, create_accountant, registry
from opacus.accountants.utils import get_noise_multiplier
from opacus.data_loader import DPDataLoader
from opacus.utils.batch_memory_manager import wrap_data_loader
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch.utils.data import DataLoader, TensorDataset

from accountants import Composed, Gaussian, PoissonSampled, Repeated, epsilon
from dpfedsyn.dpsgd.accountant import (
    MECHANISM,
    CertifiedAccountant,
    check_poisson,
    register,
)
from dpfedsyn.errors import AccountingError
from tests.dpfedsyn.test_guarantees import one_step_delta

SIDE = "add-or-remove"
DELTA = 1e-5
RECORDS, BATCH = 60, 6
ENTRIES = st.tuples(st.floats(0.5, 5.0), st.floats(0.001, 1.0), st.integers(1, 500))

# Opacus's own words: about random numbers, which no test needs to be secret, hooks and orders.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Secure RNG turned off"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
    pytest.mark.filterwarnings("ignore:Optimal order is the"),
]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """The name is known in a test, and Opacus's table as it was after it."""
    before = dict(registry._ACCOUNTANTS)
    register()
    yield
    registry._ACCOUNTANTS.clear()
    registry._ACCOUNTANTS.update(before)


def with_history(*entries: tuple[float, float, int]) -> CertifiedAccountant:
    accountant = CertifiedAccountant()
    accountant.history = list(entries)
    return accountant


def plain_loader(**options: Any) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((RECORDS, 3), generator=generator)
    return DataLoader(TensorDataset(x, x[:, :1]), **{"batch_size": BATCH, **options})


def made_private(*, noise: float = 1.0, mechanism: str = MECHANISM, **options: Any) -> Any:
    """(engine, module, optimizer, loader), by Opacus alone."""
    engine, module = PrivacyEngine(accountant=mechanism), torch.nn.Linear(3, 1)
    rest = engine.make_private(
        module=module, optimizer=torch.optim.SGD(module.parameters(), lr=0.1),
        data_loader=plain_loader(), noise_multiplier=noise, max_grad_norm=1.0, **options,
    )  # fmt: skip
    return engine, *rest


def train(module: Any, optimizer: Any, loader: Any, passes: int = 1) -> int:
    """Number of steps taken."""
    steps = 0
    for _ in range(passes):
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(module(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
    return steps


# --- history


@given(st.lists(ENTRIES, max_size=3))
@settings(max_examples=15)
def test_epsilon_is_the_certified_one_of_the_composed_history(
    entries: list[tuple[float, float, int]],
) -> None:
    """Whatever Opacus writes into the history; both ends, and the upper one is what it is told."""
    accountant = with_history(*entries)
    event = Composed(tuple(Repeated(PoissonSampled(Gaussian(s), q), n) for s, q, n in entries))
    assert accountant.bound(DELTA) == epsilon(event, delta=DELTA, adjacency=SIDE)
    assert accountant.get_epsilon(DELTA) == accountant.bound(DELTA).upper
    assert len(accountant) == sum(steps for _, _, steps in entries)
    assert accountant.get_epsilon(DELTA) <= 1e-9 or entries


@given(st.lists(st.sampled_from([(1.0, 0.1), (2.0, 0.1), (1.0, 0.2)]), max_size=12))
def test_steps_are_counted_whatever_their_order(steps: list[tuple[float, float]]) -> None:
    """Equal neighbours share an entry, nothing is lost, and the order changes no epsilon."""
    accountant = CertifiedAccountant()
    for sigma, rate in steps:
        accountant.step(noise_multiplier=sigma, sample_rate=rate)
    assert len(accountant) == len(steps)
    spread = [entry[:2] for entry in accountant.history for _ in range(entry[2])]
    assert spread == steps
    kinds = [entry[:2] for entry in accountant.history]
    assert all(one != two for one, two in pairwise(kinds))
    backwards = with_history(*reversed(accountant.history))
    assert backwards.get_epsilon(DELTA) == accountant.get_epsilon(DELTA)


def test_a_step_without_noise_makes_epsilon_infinite() -> None:
    """Also in the middle of others; no step at all costs nothing."""
    assert with_history((0.0, 0.1, 1)).get_epsilon(DELTA) == math.inf
    assert with_history((1.0, 0.1, 5), (0.0, 0.1, 1), (1.0, 0.1, 5)).get_epsilon(DELTA) == math.inf
    assert CertifiedAccountant().get_epsilon(DELTA) == 0.0


@pytest.mark.parametrize("entry", [(-1.0, 0.1, 1), (1.0, 0.0, 1), (1.0, 1.2, 1), (1.0, 0.1, 1.5)])
def test_a_history_that_makes_no_sense_gives_no_epsilon(entry: Any) -> None:
    """Refused with the number in the message, not rounded into range."""
    with pytest.raises(
        AccountingError,
        match=re.escape(
            str(
                next(
                    value
                    for value, ordinary in zip(entry, (1.0, 0.1, 1), strict=True)
                    if value != ordinary
                )
            )
        ),
    ):
        with_history(entry).get_epsilon(DELTA)


def test_delta_must_be_one() -> None:
    """Outside (0, 1) there is no epsilon."""
    with pytest.raises(AccountingError, match="delta=0"):
        with_history((1.0, 0.1, 5)).get_epsilon(0.0)


@pytest.mark.parametrize(("rate", "sigma", "steps"), [(0.01, 1.0, 1000), (0.2, 2.0, 50)])
def test_epsilon_lies_below_opacus_own_and_above_its_lower_end(
    rate: float, sigma: float, steps: int
) -> None:
    """Certified on both sides, and yet less than the Renyi accountant of Opacus says."""
    ours, theirs = with_history((sigma, rate, steps)), RDPAccountant()
    theirs.history = [(sigma, rate, steps)]
    bound = ours.bound(DELTA)
    assert bound.lower <= ours.get_epsilon(DELTA) < theirs.get_epsilon(DELTA)


@pytest.mark.parametrize(("rate", "sigma"), [(0.1, 1.0), (0.5, 0.7)])
def test_the_promise_of_a_step_is_kept(rate: float, sigma: float) -> None:
    """Guarantee of dpfedsyn.dpsgd.accountant.CertifiedAccountant: Steps that each drew a fresh,
    secret Poisson sample are (get_epsilon(delta), delta)-DP: one step, by quadrature of both
    directions; the epsilon of twice the noise would not be."""
    delta = 1e-3
    claimed = with_history((sigma, rate, 1)).get_epsilon(delta)
    assert one_step_delta(rate, sigma, claimed) <= delta * (1 + 1e-6)
    assert (
        one_step_delta(rate, sigma, with_history((2 * sigma, rate, 1)).get_epsilon(delta)) > delta
    )


def test_the_claim_says_everything_that_belongs_to_it() -> None:
    """Epsilon rounded up, delta, unit, adjacency, steps, and what the accountant cannot see."""
    accountant = with_history((1.0, 0.1, 7))
    claim = accountant.claim(1e-6)
    printed = re.match(r"epsilon <= (\S+) \(>= (\S+)\) at delta = 1e-06, ", claim)
    assert printed is not None
    assert float(printed[1]) >= accountant.get_epsilon(1e-6)
    assert float(printed[1]) == pytest.approx(accountant.get_epsilon(1e-6), rel=1e-9)
    for word in ("unit record", SIDE, "7 steps", "Poisson sample", "shuffled batches are not"):
        assert word in claim


# --- inside Opacus


def test_registering_is_explicit_and_idempotent() -> None:
    """Importing changes nothing; the second call changes nothing; the name gives the class."""
    del registry._ACCOUNTANTS[MECHANISM]
    with pytest.raises(ValueError, match="Unexpected accounting mechanism"):
        PrivacyEngine(accountant=MECHANISM)
    register()
    register()
    assert type(create_accountant(MECHANISM)) is CertifiedAccountant
    assert CertifiedAccountant.mechanism() == MECHANISM
    assert {"rdp", "gdp", "prv", MECHANISM} == set(registry._ACCOUNTANTS)


def test_another_accountant_of_the_name_is_not_taken_for_this_one() -> None:
    """Neither replaced nor silently used."""

    class Other(RDPAccountant):
        pass

    registry._ACCOUNTANTS[MECHANISM] = Other
    with pytest.raises(AccountingError, match="Other as 'certified'"):
        register()
    assert registry._ACCOUNTANTS[MECHANISM] is Other


def test_state_goes_there_and_back() -> None:
    """With the mechanism's name; the loaded accountant goes on by itself."""
    accountant = with_history((1.0, 0.1, 3), (2.0, 0.1, 1))
    state = accountant.state_dict()
    assert state["mechanism"] == MECHANISM
    other = CertifiedAccountant()
    other.load_state_dict(state)
    other.step(noise_multiplier=2.0, sample_rate=0.1)
    assert other.history == [(1.0, 0.1, 3), (2.0, 0.1, 2)]
    assert state["history"] == accountant.history == [(1.0, 0.1, 3), (2.0, 0.1, 1)]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"history": []},
        {"mechanism": MECHANISM},
        {"history": [(1.0, 0.1, 3)], "mechanism": "rdp"},
    ],
)
def test_foreign_state_is_refused(state: dict[str, Any]) -> None:
    """A history of another mechanism, or none, leaves the accountant as it was."""
    accountant = with_history((1.0, 0.1, 3))
    with pytest.raises(ValueError, match=r"[cC]annot be loaded"):
        accountant.load_state_dict(state)
    assert accountant.history == [(1.0, 0.1, 3)]


@pytest.mark.parametrize("target", [0.5, 2.0, 8.0])
def test_opacus_calibrates_with_it(target: float) -> None:
    """get_noise_multiplier: within the budget and Opacus's tolerance, and no more noise than RDP's;
    options of the other accountants are let pass."""
    asked = {"target_epsilon": target, "target_delta": DELTA, "sample_rate": 0.05, "steps": 200}
    sigma = get_noise_multiplier(**asked, accountant=MECHANISM, eps_error=0.1)
    reached = with_history((sigma, 0.05, 200)).get_epsilon(DELTA)
    assert target - 0.0101 <= reached <= target
    assert sigma <= get_noise_multiplier(**asked, accountant="rdp") * 1.01
    assert with_history((sigma * 0.95, 0.05, 200)).get_epsilon(DELTA) > target


def test_training_within_a_target_epsilon_stays_within_it() -> None:
    """make_private_with_epsilon: after the passes that were announced, and not after one more."""
    engine, module = PrivacyEngine(accountant=MECHANISM), torch.nn.Linear(3, 1)
    module, optimizer, loader = engine.make_private_with_epsilon(
        module=module, optimizer=torch.optim.SGD(module.parameters(), lr=0.1),
        data_loader=plain_loader(), target_epsilon=3.0, target_delta=DELTA, epochs=2,
        max_grad_norm=1.0,
    )  # fmt: skip
    check_poisson(loader)
    steps = train(module, optimizer, loader, passes=2)
    assert steps == len(engine.accountant) == 20
    assert 2.98 <= engine.get_epsilon(DELTA) <= 3.0
    train(module, optimizer, loader)
    assert engine.get_epsilon(DELTA) > 3.0


def test_a_real_training_is_accounted_step_by_step(tmp_path: Any) -> None:
    """PrivacyEngine over ten passes: history, claim and checkpoint; empty batches count as steps;
    below Opacus's Renyi accountant for the same history and above the certified lower end."""
    torch.manual_seed(3)
    engine, module, optimizer, loader = made_private()
    check_poisson(loader)
    steps = train(module, optimizer, loader, passes=10)
    optimizer.zero_grad()
    module(torch.zeros((0, 3))).sum().backward()
    optimizer.step()
    assert engine.accountant.history == [(1.0, BATCH / RECORDS, steps + 1)]
    theirs = RDPAccountant()
    theirs.history = list(engine.accountant.history)
    bound = engine.accountant.bound(DELTA)
    assert 0.0 <= bound.lower <= engine.get_epsilon(DELTA) == bound.upper < math.inf
    assert engine.get_epsilon(DELTA) < theirs.get_epsilon(DELTA)
    engine.save_checkpoint(path=tmp_path / "state", module=module, optimizer=optimizer)
    again, module, optimizer, _ = made_private()
    again.load_checkpoint(path=tmp_path / "state", module=module, optimizer=optimizer)
    assert again.get_epsilon(DELTA) == engine.get_epsilon(DELTA)
    assert len(again.accountant) == steps + 1


def test_a_training_without_noise_claims_nothing() -> None:
    """Opacus allows a noise multiplier of 0."""
    engine, module, optimizer, loader = made_private(noise=0.0)
    train(module, optimizer, loader)
    assert engine.get_epsilon(DELTA) == math.inf


def test_a_changing_noise_multiplier_is_accounted_at_each_step() -> None:
    """As Opacus's noise schedulers change it: the multiplier of the step, not of the start."""
    engine, module, optimizer, loader = made_private()
    train(module, optimizer, loader)
    optimizer.noise_multiplier = 0.5
    train(module, optimizer, loader)
    rate = BATCH / RECORDS
    assert engine.accountant.history == [(1.0, rate, 10), (0.5, rate, 10)]


def test_a_step_over_several_batches_is_refused_before_the_weights_move() -> None:
    """A record may be in each of them: its clipped gradient would enter more than once."""
    engine, module, optimizer, loader = made_private(poisson_sampling=False)
    before = [p.detach().clone() for p in module.parameters()]
    for (x, y), _ in zip(loader, range(2), strict=False):
        torch.nn.functional.mse_loss(module(x), y).backward()
    with pytest.raises(AccountingError, match="gathered 2 batches"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert len(engine.accountant) == 0


# --- loaders


def test_a_loader_of_make_private_passes_and_samples_independently() -> None:
    """Guarantee of dpfedsyn.dpsgd.accountant.check_poisson: A loader that passes puts each record
    into each batch independently: batch sizes have a binomial's mean and variance (5 standard
    errors: false alarm below 1e-6; batches of one size, as shuffling gives them, fail)."""
    dataset = TensorDataset(torch.arange(50.0)[:, None])
    loader = DPDataLoader(dataset, sample_rate=0.2, generator=torch.Generator().manual_seed(1))
    check_poisson(loader)
    sizes = np.array([len(batch[0]) for _ in range(800) for batch in loader])
    draws, variance = len(sizes), 50 * 0.2 * 0.8
    assert abs(sizes.mean() - 10) <= 5 * math.sqrt(variance / draws)
    spread = sizes.var() - variance
    # Var((X - m)^2) of a binomial is about 2 v^2.
    assert abs(spread) <= 5 * variance * math.sqrt(2 / draws)
    shuffled = np.full(draws, 10)
    assert abs(shuffled.var() - variance) > 5 * variance * math.sqrt(2 / draws)


def test_a_loader_without_poisson_sampling_is_refused() -> None:
    """make_private(poisson_sampling=False), plain and shuffled loaders, and no batches at all."""
    *_, loader = made_private(poisson_sampling=False)
    unbatched = plain_loader(batch_size=None)
    for refused in (loader, plain_loader(), plain_loader(shuffle=True), unbatched):
        with pytest.raises(AccountingError, match="draws no Poisson"):
            check_poisson(refused)


def test_a_sampler_that_only_looks_like_opacus_is_refused() -> None:
    """A subclass may draw anything; a memory manager's wrapped loader is to be checked before."""

    class Lazy(UniformWithReplacementSampler):
        def __iter__(self) -> Iterator[list[int]]:
            yield from ([0, 1] for _ in range(self.steps))

    dataset = plain_loader().dataset
    sampler = Lazy(num_samples=RECORDS, sample_rate=0.1)
    with pytest.raises(AccountingError, match="Lazy"):
        check_poisson(DataLoader(dataset, batch_sampler=sampler))
    *_, optimizer, loader = made_private()
    with pytest.raises(AccountingError, match="BatchSplittingSampler"):
        check_poisson(wrap_data_loader(data_loader=loader, max_batch_size=2, optimizer=optimizer))


def test_a_loader_that_samples_more_than_is_accounted_for_is_refused() -> None:
    """Opacus accounts for 1 / number of batches, whatever the sampler's own rate is."""
    dataset = plain_loader().dataset

    def loader(steps: int | None) -> DataLoader[Any]:
        sampler = UniformWithReplacementSampler(num_samples=RECORDS, sample_rate=0.1, steps=steps)
        return DataLoader(dataset, batch_sampler=sampler)

    for fine in (None, 10, 3):
        check_poisson(loader(fine))
    with pytest.raises(AccountingError, match=r"at 0\.1.*accounted for at 0\.01.*10 a pass"):
        check_poisson(loader(100))


@pytest.mark.parametrize("batches", [3, 49, 93, 99, 198, 1000])
def test_the_rates_that_opacus_sets_itself_pass(batches: int) -> None:
    """Also where 1 / (1 / n) rounds below n, so that there is one batch less at a higher rate."""
    dataset = TensorDataset(torch.zeros((4, 1)))
    check_poisson(DPDataLoader(dataset, sample_rate=1 / batches))


def test_random_records_in_place_of_none_are_refused() -> None:
    """rand_on_empty: the neighbour of an empty batch would differ by two records."""
    *_, loader = made_private(rand_on_empty=True)
    with pytest.raises(AccountingError, match="rand_on_empty"):
        check_poisson(loader)
