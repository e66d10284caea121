"""Sorting: which dominating pair an event stands for under which adjacency, and what is refused."""

import math
import random

import pytest

from accountants import (
    Adjacency,
    ApproximateDP,
    Cascade,
    Composed,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    SampledWithoutReplacement,
    Shuffled,
    Unbounded,
    UnsupportedEvent,
    mu,
)
from accountants.parts import Parts, cascaded, parts_of
from accountants.steps import Binomial, Glued

PLAIN = (Adjacency.ADD_OR_REMOVE, Adjacency.ZERO_OUT)
SAMPLED = PoissonSampled(Gaussian(2.0), 0.25)


def test_poisson_samples_are_glued_under_replace():
    """One symmetric pair under replace; the pair with two directions under the others."""
    assert parts_of(Repeated(SAMPLED, 3), Adjacency.REPLACE) == Parts(
        others=((Glued(0.25, 2.0), 3),)
    )
    for adjacency in PLAIN:
        assert parts_of(Repeated(SAMPLED, 3), adjacency) == Parts(sampled=(((0.25, 2.0), 3),))


def test_batches_without_replacement_are_the_same_pair():
    """Batch over population is the rate; a batch of everybody samples nothing."""
    event = SampledWithoutReplacement(Gaussian(2.0), 16, 64)
    assert parts_of(event, Adjacency.REPLACE).others == ((Glued(0.25, 2.0), 1),)
    for adjacency in PLAIN:
        with pytest.raises(UnsupportedEvent, match=r"SampledWithoutReplacement.*'replace'"):
            parts_of(Composed((Gaussian(1.0), event)), adjacency)
    whole = SampledWithoutReplacement(Gaussian(2.0), 64, 64)
    assert parts_of(whole, Adjacency.REPLACE) == Parts(mu2=0.25)


def test_groups_of_samples_are_binomial_mixtures():
    """Under add-or-remove and zero-out; one member or a full sample need no mixture."""
    event = GroupSampled(Composed((Gaussian(2.0),)), 0.25, 3)
    for adjacency in PLAIN:
        assert parts_of(event, adjacency).others == ((Binomial(0.25, 2.0, 3), 1),)
        alone = parts_of(GroupSampled(Gaussian(2.0), 0.25, 1), adjacency)
        assert alone == parts_of(SAMPLED, adjacency)
        full = parts_of(GroupSampled(Gaussian(2.0), 1.0, 4), adjacency)
        assert full == parts_of(Gaussian(0.5), adjacency)
    with pytest.raises(UnsupportedEvent, match=r"GroupSampled.*'add-or-remove' and 'zero-out'"):
        parts_of(event, Adjacency.REPLACE)


@pytest.mark.parametrize("adjacency", list(Adjacency))
def test_shuffled_batches_are_never_accounted_for(adjacency):
    """Not as Poisson samples, and not hidden inside something else."""
    for event in (Shuffled(Gaussian(1.0), 10), Repeated(Shuffled(Gaussian(1.0), 10), 2)):
        with pytest.raises(UnsupportedEvent, match=r"shuffled.*Poisson"):
            parts_of(event, adjacency)


@pytest.mark.parametrize("adjacency", list(Adjacency))
def test_laplace_and_claims_are_steps_as_they_stand(adjacency):
    """They mean the same under every adjacency, and equal ones are counted together."""
    event = Composed((Repeated(Laplace(2.0), 2), ApproximateDP(0.5, 1e-6), Laplace(2.0)))
    assert dict(parts_of(event, adjacency).others) == {Laplace(2.0): 3, ApproximateDP(0.5, 1e-6): 1}


@pytest.mark.parametrize("inner", [Laplace(1.0), Composed(()), Unbounded("raw"), SAMPLED])
def test_sampling_anything_but_gaussians_is_refused(inner):
    """No bound is known here for a sampled Laplace mechanism, whatever samples it."""
    for event, adjacency in (
        (PoissonSampled(inner, 0.5), Adjacency.ADD_OR_REMOVE),
        (PoissonSampled(inner, 0.5), Adjacency.REPLACE),
        (SampledWithoutReplacement(inner, 1, 2), Adjacency.REPLACE),
        (GroupSampled(inner, 0.5, 2), Adjacency.ADD_OR_REMOVE),
    ):
        with pytest.raises(UnsupportedEvent, match="other than Gaussians"):
            parts_of(event, adjacency)


def test_order_does_not_matter():
    """Equal contents compare equal, also when parts are put together later."""
    events = [Laplace(2.0), ApproximateDP(0.5, 0.0), SAMPLED, Gaussian(3.0), Laplace(1.0)]
    shuffled = random.Random(1).sample(events, 5)
    for adjacency in Adjacency:
        whole = parts_of(Composed(tuple(events)), adjacency)
        assert whole == parts_of(Composed(tuple(shuffled)), adjacency)
        assert whole == Parts().with_parts(*(parts_of(event, adjacency) for event in shuffled))
        assert whole.without_cascades() == whole


def test_a_cascade_keeps_other_steps_in_its_model_only():
    """A model may be trained with anything; its answers must be Gaussian."""
    model = parts_of(Composed((Laplace(2.0), SAMPLED)), Adjacency.REPLACE)
    answers = parts_of(Gaussian(1.0), Adjacency.REPLACE)
    assert cascaded(model, answers).cascades == ((model, answers),)
    with pytest.raises(UnsupportedEvent, match="plain Gaussians"):
        parts_of(Cascade(Gaussian(1.0), Laplace(2.0)), Adjacency.REPLACE)
    beside = parts_of(Composed((Laplace(1.0), Cascade(Gaussian(1.0), Gaussian(2.0)))), PLAIN[0])
    assert beside.without_cascades().others == ((Laplace(1.0), 1),)


def test_mu_is_the_root_of_the_sum_of_squares():
    """Of compositions of Gaussians; whatever else is in them is refused."""
    assert mu(Composed((Gaussian(2.0), Repeated(Gaussian(0.5), 3)))) == math.sqrt(12.25)
    assert mu(PoissonSampled(Gaussian(2.0), 1.0)) == 0.5
    assert mu(Composed(())) == 0.0
    for event in (SAMPLED, Laplace(1.0), Unbounded("raw"), Cascade(Gaussian(1.0), Gaussian(1.0))):
        with pytest.raises(UnsupportedEvent, match="no mu"):
            mu(Composed((Gaussian(1.0), event)))
