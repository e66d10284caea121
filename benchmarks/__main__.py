"""`python -m benchmarks NAME [--smoke] [--json FILE]`: print the tables, write the figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import record


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name",
        choices=["accounting", "audit", "noise", "run", "utility"],
        help="which question to answer",
    )
    parser.add_argument("--smoke", action="store_true", help="a minute: that it works, few figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    wanted = parser.parse_args(arguments)
    match wanted.name:
        case "accounting":
            from benchmarks.accounting.benchmark import measure
        case "audit":
            from benchmarks.audit.benchmark import measure
        case "noise":
            from benchmarks.noise.benchmark import measure
        case "run":
            from benchmarks.run.benchmark import measure
        case "utility":
            from benchmarks.utility.benchmark import measure
    figures = measure(smoke=wanted.smoke)
    record.show(figures)
    if wanted.json is not None:
        record.write(wanted.json, wanted.name, figures, smoke=wanted.smoke)


if __name__ == "__main__":
    main()
