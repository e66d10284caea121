"""`python -m benchmarks NAME [--smoke] [--json FILE]`: print the tables, write the figures.

`utility` takes hours and goes on where it was stopped: `--hours H` begins nothing after H hours,
`--cells TEXT` makes only those of its cells whose names contain TEXT, and `--development` measures
on development splits, on which settings are chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import record


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark."""
    parser = _parser()
    wanted = parser.parse_args(arguments)
    more = _of_utility(wanted)
    if more and wanted.name != "utility":
        parser.error("--hours, --cells and --development are options of `utility` alone")
    match wanted.name:
        case "accounting":
            from benchmarks.accounting.benchmark import measure
        case "after":
            from benchmarks.after.benchmark import measure
        case "audit":
            from benchmarks.audit.benchmark import measure
        case "engines":
            from benchmarks.engines.benchmark import measure
        case "examples":
            from benchmarks.examples.benchmark import measure
        case "noise":
            from benchmarks.noise.benchmark import measure
        case "run":
            from benchmarks.run.benchmark import measure
        case "scale":
            from benchmarks.scale.benchmark import measure
        case "utility":
            from benchmarks.utility.benchmark import measure
    figures = measure(smoke=wanted.smoke, **more)
    record.show(figures)
    if wanted.json is not None:
        record.write(wanted.json, wanted.name, figures, smoke=wanted.smoke)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name",
        choices=[
            "accounting",
            "after",
            "audit",
            "engines",
            "examples",
            "noise",
            "run",
            "scale",
            "utility",
        ],  # fmt: skip,
        help="which question to answer",
    )
    parser.add_argument("--smoke", action="store_true", help="a minute: that it works, few figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    utility = parser.add_argument_group("utility")
    utility.add_argument("--hours", type=float, metavar="H", help="begin no cell after H hours")
    utility.add_argument("--cells", metavar="TEXT", help="make only cells with TEXT in their names")
    utility.add_argument(
        "--development", action="store_true", help="development splits; test parts are not read"
    )
    return parser


def _of_utility(wanted: argparse.Namespace) -> dict[str, Any]:
    """Return the options that `utility` alone has, those that were given."""
    given = {"hours": wanted.hours, "only": wanted.cells}
    known = {name: value for name, value in given.items() if value is not None}
    return known | ({"development": True} if wanted.development else {})


if __name__ == "__main__":
    main()
