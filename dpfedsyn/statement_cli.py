"""`dpfedsyn statement`: sign what a run claims, and check what somebody else signed."""

from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn.console import console, one_error

app = typer.Typer(help="Sign a run's statement, or verify one.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder, or its export.")]
KeyFile = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="A silo's key, or one that `key` made.")
]
Signer = Annotated[str, typer.Option("--as", metavar="NAME", help="Who signs; default the silo.")]
Public = Annotated[
    str | None,
    typer.Option("--key", metavar="PUBLIC", help="Public key of the signer: hex, or a file of it."),
]
NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="New file, for its owner only.")]


@app.command("key")
def statement_key(file: NewFile) -> None:
    """Make a key for signing; prints its public half, which is told to whoever verifies."""
    with one_error():
        from dpfedsyn import keys
        from dpfedsyn.errors import RunError

        if file.exists():
            raise RunError(f"{file}: is there already; no key was made. Name a new file.")
        key = keys.fresh()
        keys.store(key, file)
        typer.echo(key.public.hex())


@app.command("sign")
def statement_sign(folder: Folder, key: KeyFile, signer: Signer = "") -> None:
    """Sign statement.json and registry.yaml (Ed25519) into statement.sig.json."""
    with one_error():
        from dpfedsyn import keys
        from dpfedsyn.statement import signers, signing

        secret = keys.load(key)
        own = signers.name_of(folder, secret, key.parent / "ledger.sqlite")
        signed = signing.sign(folder, secret, signer or own)
        typer.echo(signed.public_key)


@app.command("verify")
def statement_verify(folder: Folder, key: Public = None) -> None:
    """Check signatures, files and rows, and print the claim."""
    with one_error():
        from dpfedsyn.report import terminal
        from dpfedsyn.statement import verifying

        public = None if key is None else verifying.key_of(key)
        for line in verifying.verify(folder, public).lines():
            terminal.say(console(), line)
