"""Canaries through real steps of DP-SGD: half the noise is caught, the right noise is not."""

from typing import Any

import numpy as np
import pytest
import torch
from opacus.optimizers import DPOptimizer, DPPerLayerOptimizer

from accountants import Gaussian, PoissonSampled
from dpfedsyn.audit import Verdict
from dpfedsyn.audit.canaries import audit_optimizer, audit_training
from dpfedsyn.audit.last_iterate import audit_last_iterate
from dpfedsyn.dpsgd import PublicRateOptimizer
from dpfedsyn.errors import AuditError, MechanismError
from dpfedsyn.noise import Keystream
from dpfedsyn.settings import TrainSettings

SETTINGS = TrainSettings(sampling_rate=1.0, draws=4, clip=0.3)


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def opacus_of(noise: float, **changes: Any) -> Any:
    def make(module: torch.nn.Module) -> Any:
        return DPOptimizer(
            torch.optim.SGD(module.parameters(), lr=0.5),
            noise_multiplier=noise,
            max_grad_norm=0.7,
            expected_batch_size=8,
            loss_reduction="mean",
            **changes,
        )

    return make


def ours_of(noise: float) -> Any:
    def make(module: torch.nn.Module) -> Any:
        optimizer = PublicRateOptimizer(
            torch.optim.SGD(module.parameters(), lr=0.5),
            noise_multiplier=noise,
            clip=0.7,
            expected_batch_size=8.0,
        )
        optimizer.use(Keystream(b"c" * 32))
        return optimizer

    return make


@pytest.mark.parametrize("optimizer_of", [opacus_of, ours_of])
@pytest.mark.parametrize("claim", [Gaussian(1.0), PoissonSampled(Gaussian(0.8), 0.5)])
def test_an_optimizer_that_adds_what_it_claims_is_consistent_and_half_of_it_is_caught(
    optimizer_of: Any, claim: Any
) -> None:
    """Guarantee of dpfedsyn.audit.canaries.audit_optimizer: For an optimizer that keeps the claim
    the verdict is a violation with probability at most `alpha`, 1e-6 here; half of the noise is
    caught within 1,000 steps, 3,000 where half of them are sampled, Opacus's as ours."""
    noise = claim.noise_multiplier if isinstance(claim, Gaussian) else claim.event.noise_multiplier
    sound = audit_optimizer(network(), optimizer_of(noise), claim=claim, others=2, max_calls=600)
    assert sound.verdict is not Verdict.VIOLATION
    most = 1_000 if isinstance(claim, Gaussian) else 3_000
    halved = audit_optimizer(network(), optimizer_of(noise / 2), claim=claim, max_calls=most)
    assert halved.verdict is Verdict.VIOLATION


def test_clipping_every_parameter_by_itself_is_caught() -> None:
    """Four parameters clipped to C each move a step by 2 C: the canary lies in all of them."""

    def per_layer(module: torch.nn.Module) -> Any:
        return DPPerLayerOptimizer(
            torch.optim.SGD(module.parameters(), lr=0.5),
            noise_multiplier=1.0 / 2.0,  # it multiplies by sqrt of the sum of squared clips: 2
            max_grad_norm=[1.0] * 4,
            expected_batch_size=8,
            loss_reduction="mean",
        )

    found = audit_optimizer(network(), per_layer, claim=Gaussian(1.0), max_calls=1_000)
    assert found.verdict is Verdict.VIOLATION


def test_noise_that_is_the_same_at_every_step_is_caught() -> None:
    """One optimizer takes all the steps: a stream that starts again each time shows."""

    class Again(PublicRateOptimizer):
        def add_noise(self) -> None:
            self.use(Keystream(b"c" * 32))
            super().add_noise()

    def make(module: torch.nn.Module) -> Any:
        sgd = torch.optim.SGD(module.parameters(), lr=0.5)
        return Again(sgd, noise_multiplier=1.0, clip=0.7, expected_batch_size=8.0)

    found = audit_optimizer(network(), make, claim=Gaussian(1.0), max_calls=1_000)
    assert found.verdict is Verdict.VIOLATION


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_training_at_its_claim_is_consistent_and_half_of_its_noise_is_caught(rate: float) -> None:
    """Guarantee of dpfedsyn.audit.canaries.audit_training: Where a step keeps its claim the verdict
    is a violation with probability at most `alpha`; a claim of twice the noise is contradicted."""
    settings = TrainSettings(sampling_rate=rate, draws=4, clip=0.3)
    noise = 1.0 if rate == 1.0 else 0.3
    sound = audit_training(settings, noise_multiplier=noise, max_calls=250)
    assert sound.verdict is not Verdict.VIOLATION
    assert sound.claim == PoissonSampled(Gaussian(noise), rate)
    more = PoissonSampled(Gaussian(2.0 * noise), rate)
    found = audit_training(settings, noise_multiplier=noise, claim=more, max_calls=1_500)
    assert found.verdict is Verdict.VIOLATION


def test_an_audit_of_training_attains_its_claim() -> None:
    """The canary moves a step by the whole clip: at mu = 2 half of it is shown by 600."""
    found = audit_training(SETTINGS, noise_multiplier=0.5, max_calls=600)
    assert found.verdict is Verdict.CONSISTENT
    assert 1.0 <= found.mu_lower <= 2.0


@pytest.mark.parametrize("others", [-1, 1.5, True])
def test_neighbours_need_a_whole_number_of_other_records(others: Any) -> None:
    """Refused before a step is taken."""
    with pytest.raises(AuditError, match="others = "):
        audit_optimizer(network(), opacus_of(1.0), claim=Gaussian(1.0), others=others)


def test_a_module_without_parameters_is_refused() -> None:
    """Its steps say nothing; and an error that comes with either neighbour is no finding."""
    with pytest.raises(AuditError, match="no parameter"):
        audit_optimizer(torch.nn.ReLU(), opacus_of(1.0), claim=Gaussian(1.0))
    with pytest.raises(MechanismError, match="noise multiplier"):
        audit_training(SETTINGS, noise_multiplier=2.0**-40, claim=Gaussian(1.0))


def test_an_audit_leaves_torchs_random_state_as_it_was() -> None:
    """Opacus draws from it; a user's training must not be seeded by an audit."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    audit_optimizer(network(), opacus_of(1.0), claim=Gaussian(1.0), max_calls=50)
    # Making the network drew from it as well.
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), expected)


def test_one_trained_model_is_audited_from_its_last_weights() -> None:
    """Guarantee of dpfedsyn.audit.last_iterate.audit_last_iterate: Coins are tossed apart from
    training and scores are made from weights and canaries alone: without almost any noise they
    show much, with much noise nothing."""
    settings = TrainSettings(steps=2, sampling_rate=1.0, learning_rate=0.01, draws=4)
    open_ = audit_last_iterate(settings, noise_multiplier=0.25, canaries=100, dimension=200)
    quiet = audit_last_iterate(settings, noise_multiplier=50.0, canaries=100, dimension=200)
    assert open_.found.mu_lower > 0.5
    assert quiet.found.mu_lower < 0.2
    assert quiet.found.p_value(quiet.claim) > 0.05
    assert "loose" in str(open_)


@pytest.mark.slow
def test_a_longer_training_never_shows_more_than_it_claims() -> None:
    """Five models of 40 sampled steps: lower bounds stay below the claim, and above nothing."""
    settings = TrainSettings(steps=40, sampling_rate=0.5, learning_rate=0.01, draws=4)
    lower = []
    for seed in range(5):
        run = audit_last_iterate(
            settings, noise_multiplier=0.5, canaries=1000, dimension=500, seed=seed
        )
        assert run.found.p_value(run.claim) > 0.01
        lower.append(run.found.mu_lower)
    assert float(np.median(lower)) > 0.3


def test_canaries_need_directions() -> None:
    """One dimension has no room for them."""
    with pytest.raises(AuditError, match="dimension = 1"):
        audit_last_iterate(SETTINGS, noise_multiplier=1.0, dimension=1)
