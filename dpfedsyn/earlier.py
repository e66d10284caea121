"""What a run costs together with earlier runs on the same records: two trainings compose.

Every ledger promises for its own run. Who trains twice on the same records, or runs again after a
ledger was lost, has paid both; nothing in a run can know that, so the earlier ones are named.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accountants import Cascade, Composed, Event, Gaussian, Repeated, Unbounded, verify
from accountants.anchor import FileAnchor
from accountants.ledger import Header
from accountants.verification import Verification
from dpfedsyn import folder, keys
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.plan import Plan
from dpfedsyn.plan_table import bound


def together(plan: Plan, runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return, for each silo of the plan, earlier runs, their epsilon and that of all together.

    Guarantee:
        `together` bounds the composition of this plan with the earlier runs, each at its caps and
        with all the uses that it planned, at the plan's delta, unit and adjacency: an earlier run
        may still be resumed.

    Raises:
        RunError: a folder holds no silo of this plan. ConfigError: an earlier run hides another
            unit or counts another adjacency, and the two cannot be added.
    """
    found = {run: _silos(plan, run) for run in runs}
    rows = []
    for name, budget in plan.budgets.items():
        own = {run: silos[name] for run, silos in found.items() if name in silos}
        claims = [claim(verified.header, void) for verified, void in own.values()]
        both = plan.epsilon(Composed((*claims, budget.record_claim())))
        rows.append(
            {
                "name": name,
                "runs": [str(run) for run in own],
                "charged": [_charged(verified) for verified, _ in own.values()],
                "earlier": bound(plan.epsilon(Composed(tuple(claims)))),
                "together": bound(both),
            }
        )
    return rows


def claim(header: Header, void: str | None = None) -> Event:
    """Return the record-level claim of a ledger, from its header alone: what it can reach at most.

    Args:
        void: why the run promises nothing, whatever its ledger holds.

    Guarantee:
        It is the record-level claim of the budget that the ledger was opened with: releases stand
        beside the cascade, never inside it. A ledger of no private training, no released base and
        no record-level cap promises nothing: what trained its model was not charged.
    """
    if void is not None:
        return Unbounded(void)
    by_group = {
        group: tuple(Repeated(p.event, p.uses) for p in header.planned if p.group == group)
        for group in ("R", "A")
    }
    if header.record_cap is not None:
        return Composed((*by_group["R"], _gaussian(header.record_cap)))
    if not by_group["A"] and "moments" not in {p.kind for p in header.planned}:
        return Unbounded(f"run {header.run!r} charged no training: its model is not private")
    answers = Cascade(Composed(by_group["A"]), _gaussian(header.answers_cap))
    return Composed((*by_group["R"], answers))


def _silos(plan: Plan, run: Path) -> dict[str, tuple[Verification, str | None]]:
    """Verify the ledgers of the plan's silos in an earlier run; its noise may void them."""
    found = {}
    for name in plan.budgets:
        path = run / "silos" / name / "ledger.sqlite"
        if path.is_file():
            key = keys.load(path.with_name("key"))
            kept = folder.anchor_of(path, key.ledger_id)
            anchor = None if kept is None else FileAnchor(kept, key=key.chain)
            found[name] = verify(path, key=key.chain, anchor=anchor)
            _require_terms(plan, run, found[name].header)
    if not found:
        raise RunError(
            f"{run}: holds a ledger of none of {', '.join(plan.budgets)}, so there is nothing to "
            "add. Name the folder that an earlier run of these silos wrote."
        )
    void = _void(run)
    return {name: (verified, void) for name, verified in found.items()}


def _void(run: Path) -> str | None:
    path = run / "config.toml"
    try:
        privacy = tomllib.loads(path.read_text(encoding="utf-8"))["privacy"]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path}: cannot be read ({type(error).__name__}), so it is not known whether the "
            "noise of that run hides anything, and nothing was planned. Put the file back."
        ) from None
    if "unsafe_noise_seed" in privacy:
        return f"{run}: anybody can repeat and subtract the noise of this run"
    return None


def _require_terms(plan: Plan, run: Path, header: Header) -> None:
    privacy = plan.config.privacy
    if (header.unit, header.adjacency) != (privacy.unit, privacy.adjacency):
        raise ConfigError(
            f"{run}: its ledgers speak of unit {header.unit}, {header.adjacency}; this plan of "
            f"{privacy.unit}, {privacy.adjacency}. They cannot be added. Plan with the same terms."
        )


def _charged(verified: Verification) -> str:
    """What the rows hold so far, in words: planned uses taken, and answers."""
    planned: dict[str, int] = {}
    for entry in verified.header.planned:
        planned[entry.kind] = planned.get(entry.kind, 0) + entry.uses
    uses = verified.totals.uses
    taken = [f"{kind} {uses.get(kind, 0)} of {count}" for kind, count in planned.items()]
    return ", ".join([*taken, f"{uses.get('answer', 0)} answers"])


def _gaussian(mu2: float) -> Event:
    return Gaussian(1.0 / math.sqrt(mu2)) if mu2 > 0.0 else Composed(())
