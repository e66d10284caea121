"""`python -m tests.accountants.mutate [NAME ...]`: do the tests notice when rounding is taken away?

Each mutation of `mutations.py` replaces one text of `accountants` in a copy of the tree and runs
its tests there. One that no test fails on *survives*: the place is not tested, or not needed.
Exit status 1 where one survives, 2 where a mutation no longer fits the tree.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("accountants", "tests/accountants", "tests/conftest.py", "pyproject.toml")
LIMIT = 600.0  # seconds; a mutation that makes the search endless is noticed too


@dataclass(frozen=True)
class Mutation:
    """One place, and the tests that must fail without it.

    Attributes:
        name: the function, and what is taken away. file: below `accountants`.
        old: occurs there exactly once. tests: files or node ids below
            tests/accountants.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


class StaleError(Exception):
    """A mutation's text occurs not once, or its tests fail on the tree as it is."""


def mutated(text: str, mutation: Mutation) -> str:
    """The file's text with the mutation."""
    count = text.count(mutation.old)
    if count != 1:
        raise StaleError(
            f"{mutation.name}: {mutation.old!r} occurs {count} times in {mutation.file}"
        )
    return text.replace(mutation.old, mutation.new)


def survives(mutation: Mutation) -> bool:
    """Whether its tests pass in spite of it."""
    with copied() as folder:
        file = Path(folder) / "accountants" / mutation.file
        file.write_text(mutated(file.read_text(), mutation))
        return passes(Path(folder), mutation.tests)


def copied() -> "tempfile.TemporaryDirectory[str]":
    """A folder with what the tests of `accountants` need."""
    folder = tempfile.TemporaryDirectory(prefix="mutation-")
    for name in COPIED:
        source, target = ROOT / name, Path(folder.name) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return folder


def passes(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether these tests pass there; drawn cases are the same every time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider"]
    command += [f"tests/accountants/{name}" for name in tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "HYPOTHESIS_PROFILE": "ci"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # 1: tests failed; anything else: they did not run
        raise StaleError(f"{tests} did not run: {done.stdout.decode()[-500:]}")
    return done.returncode == 0


def main(names: list[str]) -> int:
    """Try the mutations whose name contains one of `names`, or all."""
    from tests.accountants.mutations import MUTATIONS

    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    try:
        with copied() as folder:
            for tests in dict.fromkeys(mutation.tests for mutation in chosen):
                if not passes(Path(folder), tests):
                    raise StaleError(f"{tests} fail without any mutation")
        survivors = []
        for mutation in chosen:
            alive = survives(mutation)
            print(f"{'SURVIVES' if alive else 'killed'}: {mutation.name}", flush=True)
            survivors += [mutation.name] if alive else []
    except StaleError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(chosen)} mutations, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
