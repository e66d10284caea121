"""Rows after the run: what a top-up is, what it costs, and whether the reserve holds it.

A top-up is one more pass over the run's silos, charged to the run's ledgers under the caps that
they were opened with. Its rows have the noise of the run's own rows, so it costs what so many rows
of the run cost; `noise` times as much noise costs `noise`^2 times less.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpfedsyn import marking
from dpfedsyn.errors import BudgetExhausted, ConfigError, RunError
from dpfedsyn.folder import COMPLETE, PARTIAL, RUNNING, RunFolder
from dpfedsyn.passes import PassPlan, planned_passes
from dpfedsyn.plan import Plan
from dpfedsyn.report import wording
from dpfedsyn.round_settings import PRESETS, SamplerSettings
from dpfedsyn.settings import Config

FILE = "top-ups.json"
LEAST_NOISE, MOST_NOISE = 0.01, 1000.0  # times the run's own
MOST_ROWS = 10_000_000  # as of a run's own
ROUNDED = 1.0 + 1e-12  # the ledgers' sums, and the cost of a pass, are rounded


@dataclass(frozen=True)
class TopUp:
    """One top-up: public, and kept in the run's folder before anything is asked.

    Attributes:
        number: from 1. rows: how many. preset: of the sampler. noise: times that of the run's rows.
        status: "running", or how it ended. reason: why it is partial. taken: rounds. files: what it
            left, as the statement names files of rows.
    """

    number: int
    rows: int
    preset: str
    noise: float = 1.0
    status: str = RUNNING
    reason: str | None = None
    taken: int = 0
    files: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def name(self) -> str:
        """Of its pass, and of its files behind `synthetic-`."""
        return f"more-{self.number}"


@dataclass(frozen=True)
class Left:
    """What a silo's ledger still holds: mu^2 of two models, at record level, and draws of noise.

    `record_mu2` is None where the ledger has no such cap, `draws` where the ledger is not at hand.
    """

    mu2: float
    record_mu2: float | None = None
    draws: int | None = None


def new(
    found: Sequence[TopUp], config: Config, rows: int, preset: str | None, noise: float
) -> TopUp:
    """Return the next top-up of a run.

    Args:
        preset: of the sampler; None: the run's.

    Raises:
        ConfigError: there is no such preset, or no such noise or number of rows. RunError: one
            before it has not ended.
    """
    preset = config.preset if preset is None else preset
    if preset not in PRESETS:
        raise ConfigError(
            f"--preset {preset}: there is no such preset, so nothing was asked; there are "
            f"{', '.join(PRESETS)}."
        )
    if not LEAST_NOISE <= noise <= MOST_NOISE:
        raise ConfigError(
            f"--noise {noise:g}: allowed is [{LEAST_NOISE:g}, {MOST_NOISE:g}] times the noise of "
            "the run's rows; nothing was asked."
        )
    if not 1 <= rows <= MOST_ROWS:
        raise ConfigError(
            f"--rows {wording.count(rows)}: nothing was asked. Give at least 1, and at most "
            f"{MOST_ROWS}."
        )
    if found and found[-1].status == RUNNING:
        raise RunError(
            f"Top-up {found[-1].number} of this run has not ended, so no other was begun. Continue "
            "it with --resume; its rounds so far are charged."
        )
    return TopUp(len(found) + 1, rows, preset, noise)


def passes(config: Config, found: Sequence[TopUp]) -> tuple[PassPlan, ...]:
    """Return each top-up as a pass; rounds count on from the planned ones."""
    planned = planned_passes(config)
    first = sum(len(part.kernels) for part in planned)
    made: list[PassPlan] = []
    for one in found:
        like = next((part for part in planned if part.name == one.preset), planned[0])
        share = like.share * one.rows / like.rows / one.noise**2
        part = PassPlan(one.name, _sampler(config, one.preset), share, first, one.rows)
        made.append(part)
        first += len(part.kernels)
    return tuple(made)


def _sampler(config: Config, preset: str) -> SamplerSettings:
    if preset == config.preset:
        return config.sampler
    return config.best if preset == "best" else PRESETS[preset]


def round_costs(plan: Plan, found: Sequence[TopUp]) -> tuple[float, ...]:
    """Return mu_t^2 of every round, the plan's and those after it, where all rows are asked."""
    after = (cost for part in passes(plan.config, found) for cost in plan.costs(part))
    return (*plan.round_costs, *after)


def require_room(plan: Plan, one: TopUp, part: PassPlan, left: Mapping[str, Left]) -> None:
    """Refuse a top-up that some silo's caps do not hold, before anything is asked.

    Args:
        part: its pass. left: of every silo's caps.

    Guarantee:
        What it returns from fits into what every ledger has left if each round is answered once;
        the ledgers themselves refuse whatever would go beyond. It looks at public settings and at
        the ledgers' sums alone.

    Raises:
        BudgetExhausted: says how many rows, or which noise, would fit.
    """
    cost = math.fsum(plan.costs(part)) * ROUNDED
    drawn = len(part.kernels) * one.rows * (plan.dimension + (part.settings.energy == "released"))
    shares = {name: _share(plan, name, own, cost, drawn) for name, own in left.items()}
    name = min(shares, key=lambda silo: min(shares[silo]))
    budgeted, covered = shares[name]
    if min(budgeted, covered) >= 1.0:
        return
    fitting = math.floor(one.rows * min(budgeted, covered) * (1.0 - 1e-9))
    ways = []
    if fitting:
        ways.append(f"{fitting} rows fit")
    if covered >= 1.0 and budgeted > 0.0 and (noise := _up(one.noise, budgeted)) <= MOST_NOISE:
        ways.append(f"{one.rows} rows fit with --noise {noise:g}")
    if not ways:
        ways.append("no row fits: the run's budget is used up")
    what = (
        f"draw noise {drawn} times, {left[name].draws} draws are left of those that delta carries"
        if covered < budgeted
        else f"cost mu^2 = {cost:.6g}, its ledger has {left[name].mu2:.6g} left"
    )
    raise BudgetExhausted(
        f"{name}: {one.rows} rows by preset {one.preset!r} would {what}. Nothing was asked, "
        f"charged or released. {', or '.join(ways).capitalize()}. `dpfedsyn distill` costs "
        "nothing; a larger cap is a new budget, which composes with this run's."
    )


def _share(plan: Plan, name: str, left: Left, cost: float, drawn: int) -> tuple[float, float]:
    """The share of a top-up that a silo's budget holds, and the share that its draws do."""
    budgeted = left.mu2 / cost
    if left.record_mu2 is not None:
        at_record = plan.budgets[name].at_record_level(cost)
        budgeted = min(budgeted, left.record_mu2 / at_record)
    return budgeted, math.inf if left.draws is None else left.draws / drawn


def _up(noise: float, share: float) -> float:
    """The noise that costs so small a share, three digits, never less."""
    needed = noise / math.sqrt(share)
    unit = 10.0 ** (math.floor(math.log10(needed)) - 2)
    return math.ceil(needed / unit * (1.0 + 1e-9)) * unit


def read(run: Path) -> tuple[TopUp, ...]:
    """Return the top-ups of a run, oldest first.

    Raises:
        RunError: their file is damaged.
    """
    path = marking.find(run, FILE)
    if not path.is_file():
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["top_ups"]
        found = tuple(_sound(TopUp(**{**one, "files": tuple(one["files"])})) for one in content)
        if [one.number for one in found] != list(range(1, len(found) + 1)):
            raise ValueError("they are not numbered from 1")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: is damaged ({error}), so it is not known which rows were asked after the "
            "run. Nothing was asked. Put the file back; charges are in the ledgers."
        ) from None
    return found


def _sound(one: TopUp) -> TopUp:
    """Return a top-up whose every field is what `new` and a top-up's end can have written."""
    known = one.preset in PRESETS and one.status in (RUNNING, COMPLETE, PARTIAL)
    whole = all(type(k) is int for k in (one.number, one.rows, one.taken))
    noise = type(one.noise) in (int, float) and LEAST_NOISE <= one.noise <= MOST_NOISE
    files = all(isinstance(file, dict) for file in one.files)
    if not (known and whole and noise and files and 1 <= one.rows <= MOST_ROWS and one.taken >= 0):
        raise ValueError(f"number {one.number} is none")
    return one


def keep(folder: RunFolder, found: Sequence[TopUp], models: Mapping[str, str]) -> None:
    """Write the top-ups of a run, durably.

    Args:
        models: by silo, who answers for a model that was brought.
    """
    kept = {"top_ups": [asdict(one) for one in found], "models": dict(models)}
    folder.write_json(FILE, kept)


def told(plan: Plan, found: Sequence[TopUp]) -> Iterator[dict[str, Any]]:
    """Yield each top-up as the statement tells it."""
    for one, part in zip(found, passes(plan.config, found), strict=True):
        yield {
            "number": one.number,
            "rows": one.rows,
            "preset": one.preset,
            "noise": one.noise,
            "rounds": {"taken": one.taken, "planned": len(part.kernels)},
            "mu": math.sqrt(math.fsum(plan.costs(part)[: one.taken])),
            "status": one.status,
            "reason": one.reason,
        }
