"""`dpfedsyn model`: look at a model before it is brought, and sign what is claimed of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpfedsyn.console import one_error

if TYPE_CHECKING:
    from dpfedsyn.keys import SiloKey

app = typer.Typer(help="Models that silos bring instead of training one.", no_args_is_help=True)

Place = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder of diffusers, or a JSON declaration.")
]
SchemaFile = Annotated[Path, typer.Option("--schema", metavar="FILE", help="The public schema.")]


@app.command("check")
def model_check(
    model: Place,
    schema: SchemaFile,
    labels: Annotated[
        bool, typer.Option(help="Records have labels, as with data.conditional = true.")
    ] = True,
    dp_sgd: Annotated[
        bool, typer.Option("--dp-sgd", help="Also: exit 2 where DP-SGD cannot train it.")
    ] = False,
) -> None:
    """Load a model as a run would, try it on synthetic rows, and say what DP-SGD could not take."""
    with one_error():
        import torch

        from dpfedsyn import brought, dpsgd
        from dpfedsyn.domain import encoder
        from dpfedsyn.errors import ModelError

        found = brought.read(model, encoder(schema, conditional=labels), torch.device("cpu"))
        steps, shares = len(found.levels.shares), found.levels.shares
        typer.echo(
            f"{model}: {type(found.module).__name__} of {found.parameters:,} parameters for "
            f"samples {found.coordinates.shape}, predicts {found.levels.prediction} at {steps} "
            f"levels, abar {float(shares[0]):.6g} to {float(shares[-1]):.3g}. It can be brought."
        )
        faults = dpsgd.refusals(found)
        shown = "".join(f"\n  {fault}" for fault in faults)
        if faults and dp_sgd:
            raise ModelError(
                f"{model}: DP-SGD cannot take it, so it could not be trained with privacy:{shown}"
            )
        typer.echo(
            f"DP-SGD could not take:{shown}"
            if faults
            else "DP-SGD could take every layer, and on synthetic rows no record met another."
        )


@app.command("key")
def model_key(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where the secret is written.")],
) -> None:
    """Write a new secret that signs claims, and print its public key for configurations."""
    with one_error():
        from dpfedsyn import keys
        from dpfedsyn.errors import RunError

        if out.exists():
            raise RunError(f"{out}: is there already, and stays. Name another file.")
        secret = keys.fresh()
        with _writing(out, "there is no key"):
            keys.store(secret, out)
        typer.echo(f'claim_key = "{secret.public.hex()}"')


@app.command("claim")
def model_claim(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="The model's safetensors.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The signer's secret.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The claim to be written.")],
    epsilon: Annotated[float, typer.Option(help="Upper bound, at --delta.")],
    delta: Annotated[float, typer.Option(help="The slack of the claim; below the run's own.")],
    data: Annotated[str, typer.Option(help="What the model was trained on, in words.")],
    signer: Annotated[str, typer.Option(help="Who answers for it.")],
    unit: Annotated[str, typer.Option(help="record or person.")] = "record",
    adjacency: Annotated[
        str, typer.Option(help="add-or-remove, replace or zero-out.")
    ] = "add-or-remove",
) -> None:
    """Sign a privacy claim for a model; whoever signs answers for it, nothing here checks it."""
    with one_error():
        import os

        from dpfedsyn import signed_claim
        from dpfedsyn.brought import network_weights as files
        from dpfedsyn.errors import RunError

        place = signed_claim.opening_of(out)
        if place == out:
            raise RunError(
                f"{out}: the claim's opening lies beside it under this very name, and stays in the "
                "silo; nothing was signed. Name another --out, such as claim.json."
            )
        for path in (out, place):
            if path.exists():
                raise RunError(f"{path}: is there already, and stays. Name another --out.")
        secret, (_, digest) = _signer(key), files.read(weights)
        opening = os.urandom(signed_claim.OPENING_BYTES)
        commitment = signed_claim.committed(opening, digest)
        made = signed_claim.Claim(epsilon, delta, unit, adjacency, data, signer, commitment)
        ready = signed_claim.signed(made.checked(), secret)
        with _writing(out, "there is no claim"):
            signed_claim.write(ready, out, opening)
        typer.echo(
            f"{out}: signed; everybody may have it. {place}: stays in the silo.\n"
            f'claim_key = "{secret.public.hex()}"'
        )


def _signer(path: Path) -> "SiloKey":
    """Read the secret that signs claims; what is wrong with it is told of a signer's, not a silo's.

    Raises:
        RunError: it is missing, no key, or open to others.
    """
    from dpfedsyn import keys
    from dpfedsyn.errors import LedgerMismatch, RunError

    try:
        return keys.load(path)
    except LedgerMismatch:
        if not path.is_file():
            fact, mend = "there is no such file", "Name the file that `dpfedsyn model key` wrote."
        elif path.stat().st_size != keys.KEY_BYTES:
            fact, mend = (
                f"a signer's secret has {keys.KEY_BYTES} bytes, this file {path.stat().st_size}",
                "Name the file that `dpfedsyn model key` wrote.",
            )
        else:
            fact, mend = (
                "the owner cannot read it, or others may, who could then sign as its owner",
                "If nobody else can have read it, `chmod 600` it; else make another with "
                "`dpfedsyn model key`, and have its claim_key pinned.",
            )
        raise RunError(f"{path}: {fact}; nothing was signed. {mend}") from None


@contextmanager
def _writing(path: Path, consequence: str) -> Iterator[None]:
    """Say what a file that cannot be written means here, where nothing is charged or resumed."""
    from dpfedsyn.errors import RunError

    try:
        yield
    except OSError as error:
        raise RunError(
            f"{error.filename or path}: cannot be written ({error.strerror or error}), so "
            f"{consequence}. Name a file in a folder that is there and may be written to."
        ) from None
