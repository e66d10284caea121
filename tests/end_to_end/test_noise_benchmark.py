"""The benchmark of the noise: its attack works where it should, its figures are honest."""

import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpfedsyn.lattice import COARSE, coarse
from dpfedsyn.noise import Keystream
from tests.end_to_end.small import ROOT, python

TARGETS = {
    "draws_per_second", "ratio_to_opendp", "answer_draws_per_second", "ledger_ms",
    "total_variation", "twister_foretold", "own_foretold",
}  # fmt: skip


def torch_noise(twister: torch.Generator, count: int) -> np.ndarray:
    """Standard Gaussians as an optimizer without a secure generator draws them."""
    return torch.normal(0.0, 1.0, (count,), dtype=torch.float64, generator=twister).numpy()


@pytest.mark.parametrize("seed", [1, 2**50 + 7])
def test_the_attack_foretells_a_mersenne_twister(seed: int, benchmark: Any) -> None:
    """From 1,024 draws seen somewhere in a run, all of the next 128."""
    twister = torch.Generator().manual_seed(seed)
    torch_noise(twister, 48 * 16)
    found = benchmark("noise.attack").attack(torch_noise(twister, 1024), torch_noise(twister, 128))
    assert (found.hold, found.recovered) == (1.0, 1.0)
    assert found.equations > 10_000


def test_the_attack_foretells_nothing_of_our_noise(benchmark: Any) -> None:
    """No twister fits: half of the equations hold, as for coins, within five deviations."""
    stream = Keystream(bytes(32))
    seen, following = (coarse(stream, count) / COARSE for count in (1024, 128))
    found = benchmark("noise.attack").attack(seen, following)
    assert abs(found.hold - 0.5) < 2.5 / np.sqrt(found.equations)
    assert found.recovered == 0.0


def test_the_attacks_twister_is_the_one_that_it_attacks(benchmark: Any) -> None:
    """Words from a state are those of the generator itself."""
    generator = np.random.RandomState(5)._bit_generator
    state = generator.state["state"]["key"]
    words = [int(word) for word in generator.random_raw(2000)]
    own = benchmark("noise.attack").outputs([0] * 624)
    assert set(islice(own, 700)) == {0}
    # numpy hands out a state that is about to be twisted: its first words come a round later.
    made = benchmark("noise.attack").outputs([int(word) for word in state])
    assert list(islice(made, 624, 2624)) == words


@pytest.mark.slow  # `.ci/run` takes the same smoke run from the command line
def test_smoke_measures_what_it_can_and_says_what_it_cannot(tmp_path: Path) -> None:
    """OpenDP is not needed: without it the ratio is null, with the reason."""
    ran = python("-m", "benchmarks", "noise", "--smoke", "--json", tmp_path / "n.json", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    stored = json.loads((tmp_path / "n.json").read_text())
    assert (stored["benchmark"], stored["smoke"]) == ("noise", True)
    assert set(stored["targets"]) == TARGETS
    ratio = stored["targets"]["ratio_to_opendp"]
    assert (ratio["value"] is None) == (ratio["met"] is None)
    assert ratio["value"] is not None or "not installed" in ratio["reason"]
    for name in ("total_variation", "twister_foretold", "own_foretold"):
        assert stored["targets"][name]["met"] is True
    assert os.path.getsize(tmp_path / "n.json") > 1000


def test_the_stored_record_of_the_noise_is_a_full_one() -> None:
    """Every target has a value and a reason; a missed one stays in the file as missed."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "noise.json").read_text())
    assert (stored["benchmark"], stored["smoke"]) == ("noise", False)
    assert set(stored["targets"]) == TARGETS
    for target in stored["targets"].values():
        assert target["value"] is not None
        assert target["reason"]
