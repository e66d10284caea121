"""Signed statements: any change of any byte of any file is found, and told by name."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants.ledger import Header, Ledger
from dpfedsyn import keys
from dpfedsyn.errors import RunError, StatementCorrupt
from dpfedsyn.keys import SiloKey
from dpfedsyn.statement import signers, signing
from dpfedsyn.statement.signing import SIGNATURES, Signature, is_genuine, sign
from dpfedsyn.statement.verifying import Verified, key_of, verify
from tests.dpfedsyn import statements

OWNER, OTHER = keys.repeatable(1, "owner"), keys.repeatable(2, "other")
FILES = ("statement.json", "registry.yaml", "synthetic.csv", SIGNATURES)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that its owner and somebody else have signed."""
    path = statements.folder(tmp_path_factory.mktemp("signed") / "run")
    sign(path, OWNER, "owner")
    sign(path, OTHER, "other")
    return path


@pytest.fixture
def copied(signed: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    shutil.copytree(signed, tmp_path / "run")
    return tmp_path / "run"


def refused(folder: Path, public: str | None = None) -> str:
    """Why a folder is not accepted."""
    with pytest.raises(StatementCorrupt) as caught:
        verify(folder, public)
    return str(caught.value)


def test_what_was_signed_verifies_and_says_what_is_claimed(signed: Path) -> None:
    """The claim comes first, epsilon's upper bound first in it, with delta, unit, adjacency."""
    verified = verify(signed, OWNER.public.hex())
    assert isinstance(verified, Verified)
    assert [one.signer for one in verified.signatures] == ["owner", "other"]
    first = verified.lines()[0]
    assert first.startswith("cleveland: epsilon <= 8.00 (delta 1e-05, unit record, add-or-remove")
    assert verified.files == ("synthetic.csv",)
    text = "\n".join(verified.lines())
    assert f"Signed by owner, key {OWNER.public.hex()}: statement.json, registry.yaml." in text
    assert "cannot tell" not in text
    assert "Whose key that is, this folder cannot tell" in "\n".join(verify(signed).lines())


@given(file=st.sampled_from(FILES), place=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_any_changed_byte_is_found(signed: Path, file: str, place: int, flip: int) -> None:
    """Guarantee of dpfedsyn.statement.verifying.verify: Returns only where every signature in the
    folder is genuine and of the very bytes of statement.json and registry.yaml, no file of rows
    differs from the statement's digest. The file is named."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "run"
        shutil.copytree(signed, folder)
        content = bytearray((folder / file).read_bytes())
        content[place % len(content)] ^= flip
        (folder / file).write_bytes(content)
        assert file in refused(folder)


@given(
    file=st.sampled_from(FILES), cut=st.integers(0, 10**9), more=st.binary(max_size=3)
)  # fmt: skip
def test_any_cut_or_longer_file_is_found(signed: Path, file: str, cut: int, more: bytes) -> None:
    """A file that lost its end, or got another one."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "run"
        shutil.copytree(signed, folder)
        content = (folder / file).read_bytes()
        spoilt = content[: cut % len(content)] + more
        if spoilt == content:
            return
        (folder / file).write_bytes(spoilt)
        assert file in refused(folder)


def leaves(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value that holds no other."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, dict | list) and value:
            yield from leaves(value)
        else:
            yield node, key


def test_every_field_of_the_statement_is_signed(signed: Path, copied: Path) -> None:
    """Each leaf of statement.json, changed by itself and written as before."""
    path = copied / "statement.json"
    text = path.read_text(encoding="utf-8")
    count = len(list(leaves(json.loads(text))))
    assert count > 300
    for number in range(count):
        told = json.loads(text)
        node, key = list(leaves(told))[number]
        node[key] = "changed"
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        assert "statement.json" in refused(copied)


@pytest.mark.parametrize("name", ["statement.json", "registry.yaml", "synthetic.csv"])
def test_a_file_that_is_gone_is_missed(copied: Path, name: str) -> None:
    """By name; without a statement there is nothing to verify at all."""
    (copied / name).unlink()
    if name == "statement.json":
        with pytest.raises(RunError, match=r"holds no statement\.json"):
            verify(copied)
        return
    assert name in refused(copied)
    assert "missing" in refused(copied)


def test_a_record_that_nobody_signed_is_told(copied: Path) -> None:
    """A registry.yaml put beside a statement that was signed without one."""
    record = (copied / "registry.yaml").read_bytes()
    for name in ("registry.yaml", SIGNATURES):
        (copied / name).unlink()
    sign(copied, OWNER, "owner")
    verify(copied)
    (copied / "registry.yaml").write_bytes(record)
    assert "registry.yaml: is not signed by owner" in refused(copied)


def test_another_s_key_is_told(signed: Path) -> None:
    """Guarantee of dpfedsyn.statement.verifying.verify: ... and, with a key, its holder is among
    the signers."""
    wrong = refused(signed, keys.repeatable(3, "stranger").public.hex())
    assert "nobody with the key" in wrong
    assert "owner" in wrong
    verify(signed, OTHER.public.hex().upper())


@pytest.mark.parametrize("field", ["signer", "public_key", "files", "signature"])
def test_every_field_of_a_signature_is_signed(signed: Path, field: str) -> None:
    """Guarantee of dpfedsyn.statement.signing.is_genuine: True only for what the holder of the
    secret signed: name, key, and every file's digest."""
    one = signing.load(signed / SIGNATURES)[0]
    assert is_genuine(one)
    others = {
        "signer": "owne",
        "public_key": OTHER.public.hex(),
        "files": {**one.files, "registry.yaml": "0" * 64},
        "signature": "0" * 128,
    }
    values = {name: getattr(one, name) for name in ("signer", "public_key", "files", "signature")}
    assert not is_genuine(Signature(**{**values, field: others[field]}))
    assert not is_genuine(Signature(**{**values, "files": {"registry.yaml": "0" * 64}}))


def test_a_signature_moved_from_another_run_is_refused(copied: Path, tmp_path: Path) -> None:
    """Genuine, but not of this statement."""
    other = statements.folder(tmp_path / "other", "partial")
    sign(other, OWNER, "owner")
    shutil.copyfile(other / SIGNATURES, copied / SIGNATURES)
    assert "statement.json: differs from what was signed by owner" in refused(copied)


def test_a_head_s_signature_is_none_of_a_statement(copied: Path) -> None:
    """One key signs both; what is signed says which it is."""
    one = signing.load(copied / SIGNATURES)[0]
    head = OWNER.sign(one.message().replace(b"dpfedsyn-statement/1", b"dpfedsyn-head/1"))
    forged = Signature(one.signer, one.public_key, one.files, head.hex())
    (copied / SIGNATURES).write_text(signing.dump([forged]), encoding="utf-8")
    assert "is not of the key" in refused(copied)


def test_who_signs_again_replaces_only_their_own(copied: Path) -> None:
    """After a change both are stale; each signs anew, and then it holds."""
    path = copied / "statement.json"
    path.write_bytes(path.read_bytes() + b"\n")
    sign(copied, OWNER, "owner")
    assert "differs from what was signed by other" in refused(copied)
    sign(copied, OTHER, "other")
    assert [one.signer for one in verify(copied).signatures] == ["owner", "other"]


def test_nobody_stands_behind_what_is_not_signed(tmp_path: Path) -> None:
    """A signature that was taken away does not pass."""
    folder = statements.folder(tmp_path / "run")
    assert "nobody stands behind" in refused(folder)


@pytest.mark.parametrize("mark", ["", "NON-PRIVATE-"])
def test_a_void_statement_can_be_signed_and_says_void(tmp_path: Path, mark: str) -> None:
    """Under its own name or a marked one: the first word is VOID, and no epsilon is printed."""
    folder = statements.folder(tmp_path / "run", "void by its seed", mark)
    sign(folder, OWNER, "owner")
    assert (folder / f"{mark}{SIGNATURES}").is_file()
    lines = verify(folder, OWNER.public.hex()).lines()
    assert lines[0].startswith("VOID: privacy.unsafe_noise_seed is set")
    assert "NON-PRIVATE" in lines[0]
    assert "epsilon <=" not in "\n".join(lines)


def test_a_partial_run_says_so(tmp_path: Path) -> None:
    """Beside the claim, which holds."""
    folder = statements.folder(tmp_path / "run", "partial")
    sign(folder, OWNER, "owner")
    assert "The run is partial: va: no more" in verify(folder).lines()


def test_keys_are_given_in_hex_or_as_a_file(tmp_path: Path) -> None:
    """Anything else is refused in words."""
    public = OWNER.public.hex()
    (tmp_path / "owner.pub").write_text(public.upper() + "\n")
    assert key_of(public) == key_of(str(tmp_path / "owner.pub")) == public
    for wrong in ("", "abc", public[1:], public + "00"):
        with pytest.raises(StatementCorrupt, match="is no public key"):
            key_of(wrong)


def kept(folder: Path, key: SiloKey, path: Path) -> str:
    """A ledger under this key at a path; its head."""
    header = Header(
        key.ledger_id, "va", "run", "record", "add-or-remove", 1e-5, (), 1.0, None, 3, "1"
    )  # fmt: skip
    with Ledger.create(path, header, key=key.chain) as ledger:
        return ledger.head


def renamed(folder: Path, ledger_id: str, head: str) -> None:
    """Let the statement's va be this ledger."""
    told = json.loads((folder / "statement.json").read_text(encoding="utf-8"))
    (silo,) = (silo for silo in told["silos"] if silo["name"] == "va")
    silo.update(ledger_id=ledger_id, ledger_head=head)
    (folder / "statement.json").write_text(json.dumps(told), encoding="utf-8")


def test_a_silo_signs_only_what_speaks_of_its_ledger(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.statement.signers.name_of: A silo's key, beside its ledger, does not
    sign a statement whose head is not in that ledger, under whatever name."""
    folder = statements.folder(tmp_path / "run")
    head = kept(tmp_path, OWNER, tmp_path / "ledger.sqlite")
    assert signers.name_of(folder, OWNER, tmp_path / "elsewhere") == "owner"
    with pytest.raises(StatementCorrupt, match="no silo of this statement has the ledger beside"):
        signers.name_of(folder, OWNER, tmp_path / "ledger.sqlite")
    renamed(folder, OWNER.ledger_id, head)
    assert signers.name_of(folder, OWNER, tmp_path / "ledger.sqlite") == "va"
    assert signers.name_of(folder, OWNER, tmp_path / "elsewhere") == "va"
    renamed(folder, OWNER.ledger_id, "f" * 64)
    with pytest.raises(StatementCorrupt, match="no link of this chain, so va did not sign"):
        signers.name_of(folder, OWNER, tmp_path / "ledger.sqlite")


def test_a_damaged_statement_is_not_signed_by_anybody(tmp_path: Path) -> None:
    """Neither one that is none, nor a folder without."""
    (tmp_path / "statement.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        signers.name_of(tmp_path, OWNER, tmp_path / "none")
    with pytest.raises(RunError, match="holds no"):
        signers.name_of(tmp_path / "none", OWNER, tmp_path / "none")
