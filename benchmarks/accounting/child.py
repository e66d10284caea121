"""`python -m benchmarks.accounting.child ACCOUNTANT`: one answer, timed, in a fresh process.

The question comes as JSON on standard input. Imports, building the event and another, small
question come first and are not timed: numpy and the accountant are warm, the question is new.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import time
import warnings
from dataclasses import asdict
from typing import Any

from benchmarks.accounting.answers import Accountant, NotAnsweredError
from benchmarks.accounting.ours import OURS
from benchmarks.accounting.peers import PEERS
from benchmarks.accounting.questions import WARM_UP, Question

MEMORY = 6 * 2**30  # bytes; one accountant wants more than a small machine has


def answer(accountant: Accountant, question: Question) -> dict[str, Any]:
    """Ask once, timed; what an accountant cannot do or raises becomes `failed`."""
    try:
        with contextlib.suppress(NotAnsweredError):
            accountant.prepare(WARM_UP)()
        ask = accountant.prepare(question)
        began, wall = time.process_time(), time.perf_counter()
        found = ask()
        seconds, wall = time.process_time() - began, time.perf_counter() - wall
    except NotAnsweredError as error:
        return {"failed": str(error)}
    except Exception as error:  # another project's accountant may raise anything
        return {"failed": f"{type(error).__name__}: {error}"[:120]}
    plain = {key: _finite(value) for key, value in asdict(found).items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**plain, "seconds": seconds, "wall": wall, "memory_mib": memory}


def _finite(value: Any) -> Any:
    """JSON has no infinity: as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Answer on standard output; what accountants print goes to standard error."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    by_name = {accountant.name: accountant for accountant in (OURS, *PEERS)}
    question = Question.from_json(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):
        found = answer(by_name[sys.argv[1]], question)
    print(json.dumps(found, allow_nan=False))


if __name__ == "__main__":
    main()
