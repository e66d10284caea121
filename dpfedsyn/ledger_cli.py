"""`dpfedsyn ledger`: look into ledgers, verify them, and give away their heads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn.console import INTERRUPTED, console, one_error

app = typer.Typer(help="Look into a silo's privacy ledger.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="ledger.sqlite of a silo.")]
Head = Annotated[
    str | None, typer.Option("--expected-head", metavar="HEX", help="Head exported earlier.")
]
Heads = Annotated[
    Path | None, typer.Option("--heads", metavar="FILE", help="Heads exported or signed earlier.")
]
HeadsOut = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of printing.")
]


@app.command("show")
def ledger_show(files: Files) -> None:
    """Print what each ledger has charged."""
    with one_error():
        from dpfedsyn.folder import void_of
        from dpfedsyn.report import ledgers, terminal

        for path in files:
            verified = _verified(path)
            shown = ledgers.of(path, verified, _behind(path, verified.header))
            terminal.show(console(), [shown], private=void_of(path) is None)


@app.command("verify")
def ledger_verify(files: Files, expected_head: Head = None, heads: Heads = None) -> None:
    """Recompute chain, charges and totals of each ledger from its rows alone."""
    if expected_head is not None and (len(files) != 1 or heads is not None):
        raise typer.BadParameter(
            f"--expected-head belongs to one ledger and excludes --heads, got {len(files)} files."
        )
    codes = [_verify_one(path, expected_head, heads) for path in files]
    raise typer.Exit(max(codes))


@app.command("export-head")
def ledger_export_head(files: Files, out: HeadsOut = None) -> None:
    """Write the last link of each ledger's chain as JSON, for others to keep."""
    with one_error():
        _export(files, out, signed=False)


@app.command("sign")
def ledger_sign(files: Files, out: HeadsOut = None) -> None:
    """Write the same, signed by each silo's own key (Ed25519)."""
    with one_error():
        _export(files, out, signed=True)


def _behind(path: Path, header: Any) -> str:
    """Say who answers for the silo's model; outside of a run its ledger alone says it."""
    from dpfedsyn import vouching
    from dpfedsyn.config import load
    from dpfedsyn.errors import ConfigError

    try:
        config = load(str(path.resolve().parents[2] / "config.toml"), records=False)
    except (ConfigError, IndexError):
        return vouching.of_ledger(header)
    own = next((silo for silo in config.silos if silo.name == header.silo), None)
    return vouching.of_ledger(header) if own is None else vouching.in_short(config, own, header)


def _export(files: list[Path], out: Path | None, *, signed: bool) -> None:
    from dpfedsyn import heads, keys
    from dpfedsyn.checkpoint import write_bytes

    signers = [keys.load(path.parent / "key") if signed else None for path in files]
    found = [heads.of(_verified(p), signer) for p, signer in zip(files, signers, strict=True)]
    text = heads.dump(found)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_bytes(out, text.encode())


def _verify_one(path: Path, expected_head: str | None, heads: Path | None) -> int:
    """Verify one ledger; its fault is printed and does not hide the others'."""
    try:
        with one_error():
            from dpfedsyn.report import ledgers, terminal

            verified = _verified(path, expected_head, heads)
            terminal.say(console(), ledgers.line(path, verified))
            for warning in verified.warnings:
                terminal.say(console(), f"  {warning}")
    except typer.Exit as left:
        if left.exit_code == INTERRUPTED:
            raise
        return left.exit_code
    return 0


def _verified(path: Path, head: str | None = None, exported: Path | None = None) -> Any:
    """Verify a ledger against its anchor, if it lies in a run, and against an exported head."""
    from accountants.anchor import FileAnchor
    from accountants.verification import verify
    from dpfedsyn import folder, heads, keys
    from dpfedsyn.errors import RunError

    if not path.is_file():
        raise RunError(f"{path}: no such ledger. Give RUN/silos/NAME/ledger.sqlite.")
    key = keys.load(path.parent / "key")
    if exported is not None:
        head = heads.expected(path, heads.load(exported), key)
    kept = folder.anchor_of(path, key.ledger_id)
    anchor = None if kept is None else FileAnchor(kept, key=key.chain)
    return verify(path, key=key.chain, expected_head=head, anchor=anchor)
