"""A silo's one secret: who can read it, and that no two uses of it share a key."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import keys
from dpfedsyn.errors import LedgerMismatch
from dpfedsyn.keys import KEY_BYTES, SiloKey

ROOT = SiloKey(bytes(range(32)))
CONTEXTS = st.lists(st.binary(max_size=6), max_size=4).map(tuple)


def test_a_stored_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600 even where the process's umask would allow everybody everything."""
    before = os.umask(0)
    try:
        keys.store(ROOT, tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert keys.load(tmp_path / "key") == ROOT


def test_a_stored_key_is_never_replaced(tmp_path: Path) -> None:
    """Another secret in its place would make every row of the ledger unreadable."""
    keys.store(ROOT, tmp_path / "key")
    with pytest.raises(FileExistsError):
        keys.store(keys.fresh(), tmp_path / "key")
    assert keys.load(tmp_path / "key") == ROOT


def test_a_key_that_is_missing_or_of_another_length_is_no_key(tmp_path: Path) -> None:
    """Both name the file and the mend, and end as a ledger fault: exit code 4."""
    with pytest.raises(LedgerMismatch, match=r"key: .*Put the key back") as missing:
        keys.load(tmp_path / "key")
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(LedgerMismatch, match="32 bytes, this file has 5") as short:
        keys.load(tmp_path / "key")
    assert missing.value.exit_code == short.value.exit_code == 4


@given(CONTEXTS, CONTEXTS)
def test_two_contexts_derive_one_key_only_where_they_are_equal(
    first: tuple[bytes, ...], second: tuple[bytes, ...]
) -> None:
    """Each part is behind its length, so moving a boundary between parts is another context."""
    assert (ROOT.derive(*first) == ROOT.derive(*second)) == (first == second)


def test_moving_a_byte_over_a_boundary_is_another_context() -> None:
    """("ab", "c"), ("a", "bc") and ("abc",) would be one key, were they only joined."""
    contexts = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"", b"abc"), (b"abc", b"")]
    assert len({ROOT.derive(*context) for context in contexts}) == len(contexts)


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**63)), unique=True))
def test_every_charge_and_every_query_has_noise_of_its_own(uses: list[tuple[bytes, int]]) -> None:
    """Guarantee of dpfedsyn.keys.SiloKey.noise: Two charges never share noise, and neither do two
    different queries under one charge number."""
    derived = {ROOT.noise(digest, charge) for digest, charge in uses}
    assert len(derived) == len(uses)
    assert not derived & {ROOT.chain, ROOT.root, ROOT.derive(b"initial-weights")}


def test_noise_depends_on_the_charge_and_on_the_query() -> None:
    """Two queries under one number, and one query under two numbers, draw from four streams."""
    uses = [(digest, charge) for digest in (b"d" * 32, b"e" * 32) for charge in (1, 2)]
    assert len({ROOT.noise(*use) for use in uses}) == 4


def test_purposes_and_ledgers_are_kept_apart() -> None:
    """Ledger name, model name, chain key and noise of two fresh secrets are all different."""
    derived = []
    for key in (keys.fresh(), keys.fresh(), ROOT):
        assert len(key.root) == KEY_BYTES
        derived += [key.root, key.chain, key.model_nonce, bytes.fromhex(key.ledger_id)]
        derived += [key.noise(b"digest", 1)]
    assert len({part[:16] for part in derived}) == len(derived)


def test_what_is_public_of_a_key_does_not_reveal_it() -> None:
    """The ledger's name is a derived value: no part of the secret stands in it."""
    public = bytes.fromhex(ROOT.ledger_id)
    assert all(ROOT.root[k : k + 4] not in public for k in range(KEY_BYTES - 3))


def test_a_repeatable_key_differs_by_seed_and_silo() -> None:
    """Test keys repeat, and two silos of one test never add the same noise."""
    assert keys.repeatable(1, "a") == keys.repeatable(1, "a")
    different = {keys.repeatable(seed, silo).root for seed in (1, 2) for silo in ("a", "b")}
    assert len(different) == 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.keys.load: A secret that others may read is refused: what they can have
    read subtracts all noise; the mend is named, and with the right mode it is read again."""
    keys.store(ROOT, tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(LedgerMismatch, match=f"others may read this key .mode {mode:o}"):
        keys.load(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    assert keys.load(tmp_path / "key") == ROOT


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_a_signature_is_of_one_message_and_one_silo(first: bytes, second: bytes) -> None:
    """Another message, another silo's key, or an edited signature: not signed."""
    signature, other = ROOT.sign(first), SiloKey(b"o" * 32)
    assert keys.is_signed(first, signature, ROOT.public)
    assert keys.is_signed(second, signature, ROOT.public) == (first == second)
    assert not keys.is_signed(first, signature, other.public)
    assert not keys.is_signed(first, other.sign(first), ROOT.public)
    for broken in (b"", signature[:-1], bytes([signature[0] ^ 1]) + signature[1:]):
        assert not keys.is_signed(first, broken, ROOT.public)
    assert not keys.is_signed(first, signature, b"no key")


def test_a_public_key_is_no_secret() -> None:
    """It is derived one way: no part of it stands in the root or in any other key."""
    assert len(ROOT.public) == 32
    assert ROOT.public not in (ROOT.root, ROOT.chain, ROOT.derive(b"head-signature"))
