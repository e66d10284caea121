"""`python -m accountants`: epsilon of DP-SGD, noise for an epsilon, a look at a ledger. Reads only.

python -m accountants epsilon --sampling-rate .01 --noise-multiplier 1 --steps 10000 \\
                              --delta 1e-5 [--adjacency NAME]
python -m accountants calibrate --sampling-rate .01 --epsilon 1 --steps 10000 \\
                              --delta 1e-5 [--adjacency NAME] [--bracket LOW HIGH]
python -m accountants ledger FILE [--key FILE] [--head HEX]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from accountants.accountant import epsilon
from accountants.calibrate import calibrate
from accountants.errors import AccountingError, DPError
from accountants.events import Adjacency, Event, Gaussian, PoissonSampled, Repeated
from accountants.rows import Header, charge_from_columns
from accountants.storage import snapshot, stored_header, stored_rows
from accountants.totals import Totals
from accountants.verification import verify

_BRACKET = (0.01, 10_000.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (2 accounting, 3 budget, 4 ledger)."""
    options = _parser().parse_args(arguments)
    try:
        commands = {"epsilon": _epsilon, "calibrate": _calibrate, "ledger": _ledger}
        print("\n".join(commands[options.command](options)))
    except DPError as error:
        print(f"accountants: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def read_key(path: Path) -> bytes:
    """A key file's bytes; 64 hexadecimal digits are read as the 32 bytes that they spell."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AccountingError(
            f"The key {path} cannot be read ({error.strerror}), so no chain can be checked. "
            "Pass the silo's own key file."
        ) from error
    text = data.strip()
    if len(text) == 64:
        try:
            return bytes.fromhex(text.decode("ascii"))
        except ValueError:
            return data
    return data


def _epsilon(options: argparse.Namespace) -> list[str]:
    return [_claim(_training(options, options.noise_multiplier), options)]


def _calibrate(options: argparse.Namespace) -> list[str]:
    sigma = calibrate(
        lambda value: _training(options, value),
        epsilon=options.epsilon,
        delta=options.delta,
        adjacency=options.adjacency,
        bracket=tuple(options.bracket),
    )
    # All of its digits: a rounded multiplier would not be the one that was accounted for.
    return [f"noise multiplier {sigma!r}", _claim(_training(options, sigma), options)]


def _training(options: argparse.Namespace, noise_multiplier: float) -> Event:
    step = PoissonSampled(Gaussian(noise_multiplier), options.sampling_rate)
    return Repeated(step, options.steps)


def _claim(event: Event, options: argparse.Namespace) -> str:
    bound = epsilon(event, delta=options.delta, adjacency=options.adjacency)
    return f"epsilon {bound.outward()} at delta = {options.delta!r}, {options.adjacency}"


def _ledger(options: argparse.Namespace) -> list[str]:
    path = Path(options.file)
    if options.key is None:
        return [*_rows(path), "chain: not checked (no --key)"]
    found = verify(path, key=read_key(Path(options.key)), expected_head=options.head)
    return [
        *_rows(path),
        *_totals(found.header, found.totals),
        f"chain: verified, {found.totals.rows} rows",
        f"head: {found.head}",
        *(f"warning: {warning}" for warning in found.warnings),
    ]


def _rows(path: Path) -> list[str]:
    with snapshot(path) as connection:
        try:
            header = Header.parse(stored_header(connection)[0])
        except (ValueError, KeyError, TypeError) as error:
            raise AccountingError(f"{path}: its header cannot be read ({error}).") from error
        charges = [charge_from_columns(columns) for columns, _ in stored_rows(connection)]
    lines = [f"silo {header.silo}, run {header.run}, unit {header.unit}, {header.adjacency}, "
             f"delta {header.delta:g}, ledger {header.ledger_id}"]  # fmt: skip
    for c in charges:
        record = "" if c.record_mu2 is None else f", record mu^2 {c.record_mu2:.6g}"
        lines.append(
            f"{c.seq:6d}  {c.group} {c.kind:<10} round {c.round:<6} uses {c.uses:<6} "
            f"mu^2 {c.mu2:.6g}{record}"
        )
    return lines


def _totals(header: Header, totals: Totals) -> list[str]:
    lines = [f"answers: mu^2 {totals.answers_mu2:.9g} of {header.answers_cap:.9g}"]
    if totals.record_mu2 is not None:
        lines.append(f"record level: mu^2 {totals.record_mu2:.9g} of {header.record_cap:.9g}")
    return [*lines, *(f"{kind}: {uses} uses" for kind, uses in sorted(totals.uses.items()))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m accountants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    ask = commands.add_parser("epsilon", help="epsilon of Poisson-sampled DP-SGD")
    ask.add_argument("--noise-multiplier", type=float, required=True,
                     help="standard deviation of the noise over the clipping norm")  # fmt: skip
    find = commands.add_parser("calibrate", help="noise multiplier that meets an epsilon")
    find.add_argument("--epsilon", type=float, required=True, help="to be met at this delta")
    find.add_argument("--bracket", type=float, nargs=2, default=_BRACKET, metavar=("LOW", "HIGH"),
                      help="where to look for the noise multiplier")  # fmt: skip
    for command in (ask, find):
        command.add_argument(
            "--sampling-rate",
            type=float,
            required=True,
            help="chance of a record to be in a step, by Poisson sampling",
        )
        command.add_argument("--steps", type=int, required=True, help="of the training")
        command.add_argument("--delta", type=float, required=True, help="of the claim, in (0, 1)")
        command.add_argument("--adjacency", default=Adjacency.ADD_OR_REMOVE.value,
                             choices=[a.value for a in Adjacency],
                             help="which data sets are neighbours")  # fmt: skip
    look = commands.add_parser("ledger", help="show a ledger; with its key, verify it")
    look.add_argument("file", help="ledger.sqlite of a silo")
    look.add_argument("--key", help="file with the chain key")
    look.add_argument("--head", help="chain head (hex) exported earlier")
    return parser


if __name__ == "__main__":
    sys.exit(main())
