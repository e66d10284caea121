"""The package from outside: light to import, complete, and usable from a shell."""

import json
import re
import subprocess
import sys

import pytest

import accountants
from accountants import Gaussian, Header, Ledger
from accountants.__main__ import main, read_key


def test_importing_accountants_stays_light():
    """No torch, no scipy.stats, no optimiser, and no ledger until somebody asks for one."""
    code = "import accountants, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "accountants.accountant" in loaded
    assert not loaded & {"accountants.ledger", "sqlite3"}
    assert not loaded & {"torch", "scipy.stats", "scipy.optimize", "pandas", "opacus", "dpfedsyn"}


def test_every_exported_name_exists():
    """`__all__` is sorted, complete and true."""
    assert sorted(accountants.__all__) == list(accountants.__all__)
    assert all(hasattr(accountants, name) for name in accountants.__all__)


def test_the_example_in_the_package_docstring_is_true():
    """The number in the docstring is the one that the code gives."""
    scope = {}
    lines = [line[4:] for line in accountants.__doc__.splitlines() if line.startswith("    ")]
    exec("\n".join(lines[:-1]), scope)
    value, claimed = lines[-1].split("#")
    assert eval(value, scope) == pytest.approx(float(claimed), abs=1e-3)


def test_epsilon_command_prints_the_claim_with_its_terms(capsys):
    """Epsilon never comes without delta and adjacency."""
    arguments = "epsilon --sampling-rate .01 --noise-multiplier 1 --steps 10000 --delta 1e-5"
    assert main(arguments.split()) == 0
    out = capsys.readouterr().out
    assert 6.1877 < float(re.search(r"epsilon <= ([\d.]+)", out)[1]) < 6.72
    assert "delta = 1e-05" in out
    assert "add-or-remove" in out


@pytest.mark.parametrize("change", ["--delta 0", "--noise-multiplier -1", "--steps -3"])
def test_bad_questions_exit_with_two_and_the_mend(change, capsys):
    """One sentence on standard error, nothing on standard output."""
    arguments = "epsilon --sampling-rate .01 --noise-multiplier 1 --steps 10 --delta 1e-5 " + change
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("accountants: ")


@pytest.fixture
def run_folder(tmp_path):
    """A ledger with one answer, and its key as a file."""
    header = Header("0a", "va", "r", "record", "replace", 1e-5, (), 2.0, None, 1, "1")
    key = bytes(range(100, 132))
    (tmp_path / "key").write_bytes(key)
    with Ledger.create(tmp_path / "ledger.sqlite", header, key=key) as ledger:
        ticket = ledger.admit(
            digest=b"d", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0, round=4
        )
        ledger.commit(ticket, b"secret reply")
        return tmp_path, ledger.head


def test_ledger_command_shows_and_verifies(run_folder, capsys):
    """With the key the chain is verified; without it the output says that it was not."""
    folder, head = run_folder
    file, key = str(folder / "ledger.sqlite"), str(folder / "key")
    assert main(["ledger", file, "--key", key]) == 0
    out = capsys.readouterr().out
    assert f"head: {head}" in out
    assert "chain: verified, 1 rows" in out
    assert "mu^2 1 of 2" in out
    assert "warning" in out
    assert main(["ledger", file, "--key", key, "--head", head]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["ledger", file]) == 0
    out = capsys.readouterr().out
    assert "not checked" in out
    assert "secret" not in out


def test_damaged_or_missing_ledgers_exit_with_four(run_folder, capsys):
    """A damaged ledger is never shown as if it were whole."""
    folder, head = run_folder
    file, key = folder / "ledger.sqlite", str(folder / "key")
    wrong_head = "0" * len(head)
    assert main(["ledger", str(file), "--key", key, "--head", wrong_head]) == 4
    file.write_bytes(b"x" * 5000)
    assert main(["ledger", str(file), "--key", key]) == 4
    assert main(["ledger", str(folder / "none")]) == 4
    assert main(["ledger", str(file), "--key", str(folder / "none")]) == 2
    assert capsys.readouterr().out == ""


def test_key_files_may_be_raw_or_hexadecimal(tmp_path):
    """Both spellings of a key give the same bytes."""
    key = bytes(range(32))
    (tmp_path / "raw").write_bytes(key)
    (tmp_path / "hex").write_text(key.hex() + "\n")
    assert read_key(tmp_path / "raw") == read_key(tmp_path / "hex") == key


def test_module_runs_from_a_shell():
    """`python -m accountants` is wired up."""
    done = subprocess.run(
        [sys.executable, "-m", "accountants", "--help"], capture_output=True, text=True, check=True
    )
    assert "epsilon" in done.stdout
    assert "ledger" in done.stdout
