"""Kill small runs by SIGKILL at random moments, resume each until it is done, and tell it all.

    python -m tests.end_to_end.kills FOLDER KILLS SEED > told.json

Every life of a run is a forked child, so that torch is imported once; the parent runs none of it.
Runs alternate between repeatable noise, whose results can be compared byte for byte, and secret
noise. A moment is a uniform share of what an undisturbed run takes, wherever that falls.
"""

import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from dpfedsyn import config, messages
from dpfedsyn import plan as planning
from dpfedsyn import run as runner
from dpfedsyn.marking import find
from dpfedsyn.silo import Silo
from tests.end_to_end.small import call, ledger

SILOS = ("cleveland", "va")
CONFIG = """
name = "killed"
[data]
schema = "{examples}/schema.toml"
[[silos]]
name = "cleveland"
path = "{examples}/data/processed.cleveland.data"
[[silos]]
name = "va"
path = "{examples}/data/processed.va.data"
[train]
steps = 6
block = 2
draws = 2
[network]
hidden = 8
[answers]
rows = 20
[sampler]
levels = 4
steps_per_level = 1
[best]
levels = 4
[evaluate]
enabled = false
"""
OVERRIDES = {"repeatable": ["privacy.unsafe_noise_seed=7"], "secret": []}


def live(source: Path, noise: str, folder: Path) -> None:
    """One life of a run: it notes every answer the moment that it leaves its silo."""
    answer = Silo.answer

    def noted(self: Silo, query: Any) -> Any:
        reply = answer(self, query)
        sha256 = hashlib.sha256(messages.encode_answer(reply)).hexdigest()
        line = json.dumps([self.public.name, query.round_number, sha256]) + "\n"
        handle = os.open(released(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, line.encode())
        os.close(handle)
        return reply

    Silo.answer = noted  # type: ignore[method-assign]
    settings = config.load(str(source), ["device=cpu", *OVERRIDES[noise]])
    runner.run(settings, folder, resume=(folder / "config.toml").exists())


def released(folder: Path) -> Path:
    """The file of what left the silos of a run."""
    return folder.with_suffix(".released")


def life(source: Path, noise: str, folder: Path, until: float | None) -> bool:
    """Fork a life and end it after so many seconds; whether it was killed before it was done."""
    child = os.fork()
    if child == 0:
        with open(folder.with_suffix(".log"), "a", encoding="utf-8") as log:
            os.dup2(log.fileno(), 2)
            try:
                live(source, noise, folder)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
    deadline = None if until is None else time.monotonic() + until
    while deadline is None or time.monotonic() < deadline:
        done, status = os.waitpid(child, 0 if deadline is None else os.WNOHANG)
        if done:
            assert status == 0, folder.with_suffix(".log").read_text(encoding="utf-8")
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, folder.with_suffix(".log").read_text()
    return os.WIFSIGNALED(status)


def seen(folder: Path) -> dict[str, Any]:
    """What is on the disk now: the verdict of `ledger verify`, every row, and what was released."""
    files = [path for silo in SILOS if (path := ledger(folder, silo)).exists()]
    verdict = call("ledger", "verify", *files) if files else None
    rows = {}
    for path in files:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        text = "SELECT kind, round, uses, hex(digest), hex(reply_sha256) FROM charges ORDER BY seq"
        rows[path.parent.name] = connection.execute(text).fetchall()
        connection.close()
    path = released(folder)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {
        "verified": verdict is None or verdict.exit_code == 0,
        "said": "" if verdict is None else verdict.output,
        "rows": rows,
        "released": [json.loads(line) for line in lines],
    }


def main() -> None:
    """Kill, look, resume."""
    root, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    source = root / "killed.toml"
    examples = Path(config.__file__).parent / "examples" / "hospitals"
    source.write_text(CONFIG.format(examples=examples), encoding="utf-8")
    draw, runs, left = random.Random(seed), [], kills
    for noise in OVERRIDES.values():  # lives inherit what the accountant has worked out
        planning.make(config.load(str(source), ["device=cpu", *noise])).to_dict()
    began = time.monotonic()
    life(source, "repeatable", root / "whole", None)
    lasts = time.monotonic() - began
    whole = seen(root / "whole")
    whole["table"] = find(root / "whole", "synthetic.csv").read_text(encoding="utf-8")
    while left:
        noise = ("repeatable", "secret")[len(runs) % 2]
        folder, moments, killed = root / f"run-{len(runs)}", [], True
        while killed:
            until = draw.uniform(0.0, lasts) if left else None
            killed = life(source, noise, folder, until)
            left -= killed
            moments.append(seen(folder) if folder.exists() else None)
        table = find(folder, "synthetic.csv").read_text(encoding="utf-8")
        runs.append({"noise": noise, "moments": moments, "table": table})
    print(json.dumps({"whole": whole, "runs": runs, "seconds": lasts}))


if __name__ == "__main__":
    main()
