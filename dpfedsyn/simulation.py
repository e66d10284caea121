"""Several silos in one process, from Python: `fit`, `sample`, `evaluate`.

Everything that a run promises and keeps holds here too: what `fit` leaves is an ordinary run folder
with ledgers, statement and report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dpfedsyn import config as configuration
from dpfedsyn import domain, handed, marking, own_run
from dpfedsyn import run as runner
from dpfedsyn.callbacks import Callback, Relay
from dpfedsyn.errors import ConfigError, DataError, DPError, RunError
from dpfedsyn.handed import Given
from dpfedsyn.progress import Progress, Several, Silent
from dpfedsyn.report import write as write_report
from dpfedsyn.report.finished import read


@dataclass(frozen=True)
class Federation:
    """A run that has ended.

    Attributes:
        folder: of the run.
        status: "complete", or "partial" where a cap or a quorum ended it.
    """

    folder: Path
    status: str

    @property
    def statement(self) -> dict[str, Any]:
        """What is promised, for every silo: statement.json."""
        return read(self.folder).statement

    def epsilon(self) -> pd.DataFrame:
        """Return the claim per silo: epsilon upper first, lower, delta, unit, adjacency."""
        rows = [
            {
                "silo": silo["name"],
                "epsilon upper": silo["epsilon"]["upper"],
                "epsilon lower": silo["epsilon"]["lower"],
                **{key: silo[key] for key in ("delta", "unit", "adjacency")},
            }
            for silo in self.statement["silos"]
        ]
        return pd.DataFrame(rows).set_index("silo")

    def sample(self, rows: int | None = None, *, which: str = "default") -> pd.DataFrame:
        """Return synthetic rows of a table, the first ones; None: all that the budget paid for.

        Args:
            which: pass of the run, "default" or "best".

        Raises:
            DataError: the run has fewer rows, or none of this pass.
        """
        name = f"synthetic{'' if which == 'default' else f'-{which}'}.csv"
        path = marking.find(self.folder, name)
        if not path.is_file():
            raise DataError(
                f"{path}: no such rows in this run. A table's are `default`, and `best` where "
                "answers.best_share pays for them; images lie in the folder as NPZ."
            )
        found = pd.read_csv(path)
        if rows is not None and not 0 <= rows <= len(found):
            raise DataError(
                f"{rows} rows: this run has paid for {len(found)}, so none were returned. Fit "
                f"again with rows={rows}; more rows are more questions to every silo."
            )
        return found if rows is None else found.head(rows)

    def evaluate(self) -> pd.DataFrame:
        """Return utility on held-out real rows; internal: it is measured on records unpaid.

        Raises:
            DataError: the run was not evaluated.
        """
        path = marking.find(self.folder, "results.json")
        if not path.is_file():
            raise DataError(
                f"{path}: this run was not evaluated. Fit with evaluate=True and six rows or more."
            )
        results = json.loads(path.read_text(encoding="utf-8"))
        return pd.json_normalize(results["utility"])


def fit(
    silos: Mapping[str, Given],
    schema: Path | str,
    *,
    folder: Path | str,
    sizes: Mapping[str, float],
    epsilon: float = 8.0,
    delta: float = 1e-5,
    rows: int = 1000,
    preset: str = "default",
    evaluate: bool = True,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Federation:
    """Train every silo's model and draw synthetic rows from their mixture, in this process.

    Args:
        silos: by name, a file (CSV, Parquet, NPZ, folder of pictures), a pandas frame, arrays
            (images (n, h, w), labels (n,)), a torch `Dataset` of such pairs or a Hugging Face one.
        schema: public, TOML.
        folder: new; of the run. Beside it go FOLDER.toml and FOLDER-records (if no files yet).
        sizes: by name, about how many records (persons) a silo has, as the public knows it.
        epsilon: of every silo, add-or-remove, per record, or person if there is a `person_column`.
        delta: see `epsilon`.
        rows: that are drawn.
        preset: "default", "best" or "paper".
        evaluate: on a held-out part, without any budget.
        settings: further `section.key=value`.
        progress: who is told.
        callbacks: programs that are told, too, nothing private by default: `dpfedsyn.callbacks`.

    Raises:
        ConfigError, DataError, BudgetExhausted, RunError: as `dpfedsyn.run.run`.
    """
    if set(sizes) != set(silos) or not silos:
        raise ConfigError(
            f"sizes of {', '.join(sizes) or 'none'} for silos {', '.join(silos) or 'none'}: give "
            "about how many records each has, as the public knows it; nothing was run."
        )
    place = Path(folder).absolute()
    source, name = place.with_name(place.name + ".toml"), _name(place.name)
    if source.exists():
        raise RunError(
            f"{source}: is there already, and the run's configuration would take its place, so "
            "nothing was run. Name another run folder, or move that file away."
        )
    encoder = domain.encoder(Path(schema))
    kept = place.with_name(place.name + "-records")
    records = handed.written(silos, encoder, kept)
    written = Path(schema).absolute()
    unit = own_run.unit_of(written)
    content = own_run.text(name, written, records, sizes=sizes, unit=unit, preset=preset)
    source.write_text(content, encoding="utf-8")
    own = [f"privacy.epsilon={epsilon!r}", f"privacy.delta={delta!r}", f"answers.rows={rows}"]
    own += ["evaluate.baselines=[]", f"evaluate.enabled={str(evaluate).lower()}"]
    try:
        config = configuration.load(str(source), [*own, *settings])
        relay = Relay(callbacks, config, place)
        try:
            done = runner.run(config, place, progress=Several(progress or Silent(), relay))
        finally:
            relay.finish()
    except DPError:
        if not place.exists():  # refused before anything was charged: leave nothing behind
            handed.discard(silos, records, kept)
            source.unlink()
        raise
    write_report(place)
    return Federation(place, done.status)


def _name(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
    return kept.strip("-") or "run"
