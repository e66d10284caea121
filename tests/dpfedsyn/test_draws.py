"""The cap on noise draws: public, fixed beforehand, and exactly what a planned run makes."""

from pathlib import Path

import pytest

from accountants.ledger import Ledger
from accountants.verification import verify
from dpfedsyn import config as configuration
from dpfedsyn import draws, keys, run
from dpfedsyn import plan as planning
from dpfedsyn.settings import Config
from tests.dpfedsyn.test_hazards import small


@pytest.mark.parametrize(
    "overrides",
    [(), ("base.residual_radius=2.0", "base.label_share=0.3"), ("weights.source=public",)],
    ids=["one moment query", "means first", "counts inside"],
)
def test_a_run_as_planned_makes_the_capped_draws_and_not_one_more(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.draws.cap: A function of public settings; a run that goes as planned
    never reaches beyond it: counts, moments, steps and answers, each coordinate once."""
    config = small(*overrides)
    run.run(config, tmp_path / "run")
    cap = draws.cap(planning.make(config))
    for silo in (tmp_path / "run" / "silos").iterdir():
        found = verify(silo / "ledger.sqlite", key=keys.load(silo / "key").chain)
        assert found.header.draws_cap == cap
        assert found.totals.draws == cap


def test_draws_of_a_ledger_are_those_of_its_rows(tmp_path: Path) -> None:
    """No row of a run goes without: a forgotten one would not be covered by delta."""
    run.run(small(), tmp_path / "run")
    silo = tmp_path / "run" / "silos" / "va"
    with Ledger.open(silo / "ledger.sqlite", key=keys.load(silo / "key").chain) as ledger:
        charges = ledger.charges()
    assert min(charge.draws for charge in charges) > 0
    answers = {charge.draws for charge in charges if charge.kind == "answer"}
    plan = planning.make(small())
    assert answers == {400 * (plan.dimension + 1)}
    assert sum(charge.draws for charge in charges) == draws.cap(plan)


def _config(*overrides: str) -> Config:
    return configuration.load("hospitals", overrides)


def test_more_rows_rounds_steps_or_parameters_need_more_draws() -> None:
    """And nothing else does: reference sizes and budgets change no number of draws."""
    base = draws.cap(planning.make(_config()))
    for more in ("answers.rows=3001", "sampler.levels=26", "train.steps=201", "network.hidden=513"):
        assert draws.cap(planning.make(_config(more))) > base
    for same in ("privacy.epsilon=9", "answers.mu=5000", "train.draws=4"):
        assert draws.cap(planning.make(_config(same))) == base
