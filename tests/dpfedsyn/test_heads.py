"""Heads that others keep: exported, signed, read back, and compared with the ledger."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from accountants import Gaussian
from accountants.ledger import Ledger
from dpfedsyn import cli, heads, keys
from dpfedsyn.errors import LedgerCorrupt, LedgerMismatch, RunError
from dpfedsyn.heads import Head
from dpfedsyn.keys import SiloKey
from tests.dpfedsyn.test_cli import silo

KEY = SiloKey(b"h" * 32)
HEAD = Head(KEY.ledger_id, "north", "run", 7, "ab" * 32)
SIGNED = replace(HEAD, public_key=KEY.public.hex(), signature=KEY.sign(HEAD.message()).hex())


def call(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        cli.app, [str(argument) for argument in arguments]
    )


def answer(path: Path, name: bytes) -> None:
    """One more row."""
    with Ledger.open(path, key=keys.load(path.with_name("key")).chain) as ledger:
        ticket = ledger.admit(digest=name, kind="answer", group="B", event=Gaussian(1.0), mu2=1.0)
        ledger.commit(ticket, b"reply")


@given(
    st.sampled_from(["ledger_id", "silo", "run", "rows", "head"]),
    st.text(max_size=5),
    st.integers(0, 99),
)
def test_a_signature_covers_every_field_of_a_head(name: str, text: str, number: int) -> None:
    """Guarantee of dpfedsyn.heads.is_genuine: True only for what the holder of the silo's secret
    signed, every field of it."""
    assert heads.is_genuine(SIGNED, KEY.public)
    changed: dict[str, Any] = {name: number if name == "rows" else text}
    other = replace(SIGNED, **changed)
    assert heads.is_genuine(other, KEY.public) == (other == SIGNED)
    assert not heads.is_genuine(SIGNED, SiloKey(b"o" * 32).public)
    assert not heads.is_genuine(replace(SIGNED, signature="no hex"), KEY.public)
    assert not heads.is_genuine(HEAD, KEY.public)
    assert not heads.is_genuine(replace(SIGNED, silo="\ud800"), KEY.public)


def test_moving_a_letter_between_fields_is_another_head() -> None:
    """("ab", "c") and ("a", "bc") are signed apart."""
    moved = replace(HEAD, silo="nort", run="hrun")
    assert moved.message() != HEAD.message()


def test_heads_come_back_as_they_were_written(tmp_path: Path) -> None:
    """By ledger id, signed or not."""
    path = tmp_path / "heads.json"
    other = replace(HEAD, ledger_id="ff", silo="south")
    path.write_text(heads.dump([SIGNED, other]), encoding="utf-8")
    assert heads.load(path) == {KEY.ledger_id: SIGNED, "ff": other}
    assert heads.expected(path, heads.load(path), KEY) == "ab" * 32


def broken() -> dict[str, Any]:
    """Texts that are no exported heads."""
    entry = json.loads(heads.dump([HEAD]))["heads"][0]
    whole = {"version": 1, "heads": [entry]}
    return {
        "no JSON": "{",
        "a list": [],
        "another version": whole | {"version": 2},
        "no heads": {"version": 1},
        "an entry that is none": whole | {"heads": [3]},
        **{
            f"{field.name} of another type": whole | {"heads": [entry | {field.name: None}]}
            for field in fields(Head)
        },
        "a field too many": whole | {"heads": [entry | {"more": 1}]},
    }


@pytest.mark.parametrize("name", broken())
def test_what_are_no_heads_is_refused(name: str, tmp_path: Path) -> None:
    """One clear error, as for a file that is missing."""
    content, path = broken()[name], tmp_path / "heads.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for file in (path, tmp_path / "none.json"):
        with pytest.raises(RunError, match="holds no exported heads"):
            heads.load(file)


def test_a_head_of_another_ledger_or_hand_is_refused(tmp_path: Path) -> None:
    """Not among them: said. Signed by somebody else, or edited after signing: corrupt."""
    path, other = tmp_path / "heads.json", SiloKey(b"o" * 32)
    with pytest.raises(LedgerMismatch, match="none of the 1 exported heads"):
        heads.expected(path, {KEY.ledger_id: SIGNED}, other)
    forged = replace(HEAD, head="cd" * 32, signature=other.sign(b"x").hex())
    for bad in (forged, replace(SIGNED, head="cd" * 32), replace(SIGNED, signature="")):
        with pytest.raises(LedgerCorrupt, match="not signed by this silo"):
            heads.expected(path, {KEY.ledger_id: bad}, KEY)


@pytest.mark.parametrize("command", ["export-head", "sign"])
def test_an_exported_head_shows_a_cut_tail(command: str, tmp_path: Path) -> None:
    """Exported, then a row more: fine. Put back before the export: exit code 4, also when two
    ledgers are checked with one file of heads."""
    paths = [silo(tmp_path / name, name) for name in ("a", "b")]
    older = paths[0].read_bytes()
    for path in paths:
        answer(path, b"1")
    out = tmp_path / "heads.json"
    assert call("ledger", command, *paths, "--out", out).exit_code == 0
    printed = call("ledger", command, *paths)
    assert printed.stdout == out.read_text(encoding="utf-8")
    answer(paths[1], b"2")
    checked = call("ledger", "verify", *paths, "--heads", out)
    assert checked.exit_code == 0, checked.output
    assert "1 rows were written after the exported head" in checked.output
    assert "cannot be seen" not in checked.output
    paths[0].write_bytes(older)
    assert call("ledger", "verify", *paths).exit_code == 0  # nobody can see it
    checked = call("ledger", "verify", *paths, "--heads", out)
    assert checked.exit_code == 4
    assert "tail was cut" in checked.output
    assert f"{paths[1]}: holds." in checked.output


def test_signed_heads_can_be_checked_with_the_public_key_alone(tmp_path: Path) -> None:
    """An auditor without the silo's secret: the file, and the key from another way."""
    path, out = silo(tmp_path / "a", "a"), tmp_path / "heads.json"
    assert call("ledger", "sign", path, "--out", out).exit_code == 0
    secret = keys.load(path.with_name("key"))
    (head,) = heads.load(out).values()
    assert heads.is_genuine(head, secret.public)
    assert (head.silo, head.rows) == ("a", 1)
    assert secret.root.hex() not in out.read_text()
    out.write_text(out.read_text().replace('"rows": 1', '"rows": 0'))
    assert call("ledger", "verify", path, "--heads", out).exit_code == 4


def test_heads_and_expected_head_exclude_each_other(tmp_path: Path) -> None:
    """Two expectations of one ledger: bad usage."""
    path = silo(tmp_path / "a", "a")
    arguments = ("--expected-head", "ab", "--heads", tmp_path / "heads.json")
    assert call("ledger", "verify", path, *arguments).exit_code == 2
