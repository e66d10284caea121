"""Opacus's accounting with a certified epsilon: `register()`, then `accountant="certified"`.

An accountant hears of each step its noise multiplier and sampling rate, and of nothing else. That
the step drew a Poisson sample it cannot see: `check_poisson` looks at the loader. What clips, draws
noise and divides is Opacus's own (see `dpfedsyn.dpsgd.optimizer` for what that leaves open), and
Opacus takes the sampling rate from the number of records, which the claim then takes for public.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opacus.accountants import IAccountant, create_accountant, register_accountant
from opacus.optimizers import DPOptimizer
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch.utils.data import DataLoader

from accountants import (
    Adjacency,
    Bound,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    Repeated,
    Unbounded,
    Unit,
    epsilon,
)
from dpfedsyn.errors import AccountingError

MECHANISM = "certified"
_ADJACENCY = Adjacency.ADD_OR_REMOVE


class CertifiedAccountant(IAccountant):
    """Epsilon of a history of DP-SGD steps, between certified ends.

    history: [(noise multiplier, sampling rate, number of steps), ...] in the order taken; Opacus
    also writes it, to ask what steps would cost.

    Guarantee:
        Steps that each drew a fresh, secret Poisson sample at the rate of the history, clipped each
        record's gradient once and added noise of the history's multiplier times the clip norm are
        together (get_epsilon(delta), delta)-DP for one record, added or removed. Shuffled batches
        are not Poisson samples and not covered.
    """

    history: list[tuple[float, float, int]]

    def __init__(self) -> None:
        self.history = []

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """Add one step to the history."""
        kind, steps = (noise_multiplier, sample_rate), 1
        if self.history and self.history[-1][:2] == kind:
            steps += self.history.pop()[2]
        self.history.append((*kind, steps))

    def get_optimizer_hook_fn(self, sample_rate: float) -> Callable[[DPOptimizer], None]:
        """Return what Opacus calls at each step, before the weights move.

        Raises:
            AccountingError: by the hook, where a step gathered several batches. A record may be in
                each of them, so that it moves the step by more than one clip norm.
        """

        def hook(optimizer: DPOptimizer) -> None:
            batches = optimizer.accumulated_iterations
            if batches != 1:
                raise AccountingError(
                    f"A step gathered {batches} batches, in each of which a record may be, so the "
                    "sampling rate says nothing of it; the weights did not move. Take one batch a "
                    "step; BatchMemoryManager splits a large one."
                )
            self.step(noise_multiplier=optimizer.noise_multiplier, sample_rate=sample_rate)

        return hook

    @property
    def event(self) -> Event:
        """What the history released.

        Raises:
            AccountingError: an entry that is no noise multiplier, sampling rate and step count.
        """
        return Composed(tuple(_released(*entry) for entry in self.history))

    def bound(self, delta: float) -> Bound:
        """Return both ends of epsilon at `delta`; a step without noise makes it infinite."""
        return epsilon(self.event, delta=delta, adjacency=_ADJACENCY)

    def get_epsilon(self, delta: float, *_: Any, **__: Any) -> float:
        """Return the upper end at `delta`; what tunes Opacus's other accountants has no effect."""
        return self.bound(delta).upper

    def claim(self, delta: float) -> str:
        """Return the claim in words: never epsilon without delta, unit, adjacency and premise."""
        ends = self.bound(delta).outward()
        return (
            f"epsilon {ends} at delta = {delta!r}, unit {Unit.RECORD}, {_ADJACENCY}, "
            f"after {len(self)} steps, if each drew a fresh, secret Poisson sample at the stated "
            "rate; shuffled batches are not covered"
        )

    def __len__(self) -> int:
        """Return the number of steps."""
        return sum(steps for _, _, steps in self.history)

    @classmethod
    def mechanism(cls) -> str:
        """Return the name under which `register` makes it known."""
        return MECHANISM

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the history of `state_dict()`, which stays as it is.

        Raises:
            ValueError: empty, incomplete, or of another mechanism.
        """
        super().load_state_dict(state_dict)
        self.history = [(sigma, rate, steps) for sigma, rate, steps in state_dict["history"]]


def register() -> None:
    """Make `accountant="certified"` known to Opacus; again is fine.

    Raises:
        AccountingError: another accountant has the name.
    """
    try:
        register_accountant(MECHANISM, CertifiedAccountant)
    except ValueError:
        found = type(create_accountant(MECHANISM))
        if found is not CertifiedAccountant:
            raise AccountingError(
                f"Opacus knows {found.__module__}.{found.__qualname__} as {MECHANISM!r}, so the "
                "name would not give this accountant. Register the other one under its own name."
            ) from None


def check_poisson(loader: DataLoader[Any]) -> None:
    """Return if the loader draws what the accountant assumes.

    Pass the loader that `make_private` returned, before a BatchMemoryManager wraps it.

    Guarantee:
        A loader that passes puts each record into each batch independently, with a probability of
        at most the 1 / len(loader) that Opacus accounts for (to 2^-24, the step of torch's uniform
        numbers), and an empty batch holds no record.

    Raises:
        AccountingError: shuffled or fixed batches, `poisson_sampling=False`, a sampler that is not
            exactly Opacus's (its distributed one skips empty batches, which depends on the
            records), a higher rate, or random records in place of none (`rand_on_empty`).
    """
    sampler: Any = loader.batch_sampler
    if type(sampler) is not UniformWithReplacementSampler:
        raise AccountingError(
            f"The loader's batches come from {type(sampler).__name__}, which draws no Poisson "
            "sample, so no epsilon of the accountant holds. Train on the loader that make_private "
            "returns with poisson_sampling=True."
        )
    accounted = 1.0 / len(loader)
    if sampler.sample_rate > accounted * (1.0 + 1e-12):
        raise AccountingError(
            f"The loader samples at {sampler.sample_rate:g}, but its {len(loader)} batches are "
            f"accounted for at {accounted:g}, so epsilon would be too small. Lower its number of "
            f"batches to {int(1.0 / sampler.sample_rate)} a pass."
        )
    if getattr(loader.collate_fn, "rand_on_empty", False):
        raise AccountingError(
            "The loader puts a random record in place of an empty batch (rand_on_empty), so one "
            "record more moves that step by two clip norms. Pass rand_on_empty=False."
        )


def _released(noise_multiplier: float, sampling_rate: float, steps: int) -> Event:
    if noise_multiplier == 0:
        return Repeated(Unbounded("a step of DP-SGD took no noise"), steps)
    return Repeated(PoissonSampled(Gaussian(noise_multiplier), sampling_rate), steps)
