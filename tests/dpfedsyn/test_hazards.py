"""The default path, audited from outside: each noise, each charge and each use is really there.

`audited` runs the hospitals example, made small, with the product's own code and compares every
release with its noise-free value, every mechanism with its ledger row, and every step of the server
with equations (7) to (9). The first test wants no finding; each of the others takes one guard out
and wants the finding that names it.
"""

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import dpfedsyn
from accountants import Adjacency, Composed, epsilon
from accountants.ledger import Ledger
from dpfedsyn import config as configuration
from dpfedsyn import dpsgd, fitting, privatise, resolved, rounds, run, sampler, silo, train
from dpfedsyn import plan as planning
from dpfedsyn import preparation as mechanisms
from dpfedsyn.clipping import clip_rows
from dpfedsyn.counts import label_counts
from dpfedsyn.errors import DPError
from dpfedsyn.keys import load as load_key
from dpfedsyn.marking import find
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.moments import MomentQuery
from dpfedsyn.plan import Plan
from dpfedsyn.settings import Config
from dpfedsyn.statement.limits import caveats
from dpfedsyn.sums import sums_lattice
from tests.dpfedsyn.test_privatise import is_noise

Array = NDArray[np.float64]

SMALL = (
    "train.steps=8", "train.block=4", "network.hidden=12", "train.draws=2", "answers.rows=400",
    "sampler.levels=3", "sampler.steps_per_level=1", "answers.best_share=0.0",
    "evaluate.enabled=false", "device=cpu",
)  # fmt: skip


@cache
def small(*overrides: str) -> Config:
    """The default path of the hospitals example, with fewer rows, rounds and steps."""
    return configuration.load("hospitals", (*SMALL, *overrides))


@dataclass
class Audit:
    """What was seen of one run."""

    records: list[Any] = field(default_factory=list)
    trained: list[Any] = field(default_factory=list)
    answers: list[tuple[Any, ScoreQuery, PrivateAnswer]] = field(default_factory=list)
    steps: list[tuple[Any, ...]] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)


def watch(patch: pytest.MonkeyPatch) -> Audit:
    """Look over the shoulders of training, silos and server; change nothing."""
    seen = Audit()
    prepare, answer, step = train.prepare, silo.Silo.answer, sampler.step
    optimizer_step = dpsgd.PublicRateOptimizer.step

    def prepared(preparation: Any, *rest: Any) -> Any:
        seen.records.append(preparation)
        seen.trained.append(prepare(preparation, *rest))
        return seen.trained[-1]

    def answered(self: Any, query: ScoreQuery) -> PrivateAnswer:
        result = answer(self, query)
        seen.answers.append((self, query, result))
        return result

    def stepped(*arguments: Any) -> Any:
        after, info = step(*arguments)
        seen.steps.append((*arguments[:5], after, info))
        return after, info

    def optimised(self: Any, closure: Any = None) -> Any:
        result = optimizer_step(self, closure)
        std = self.noise_multiplier * self.max_grad_norm * (1.0 + 1e-6)
        for parameter in self.params:
            noisy = parameter.grad.double().numpy() * self.expected_batch_size
            exact = parameter.summed_grad.double().numpy() * self.lattice.spacing
            seen.gradients.append((noisy - exact).ravel() / std)
        seen.batches.append(self.expected_batch_size)
        return result

    patch.setattr("dpfedsyn.federation.prepare", prepared)
    patch.setattr(silo.Silo, "answer", answered)
    patch.setattr(sampler, "step", stepped)
    patch.setattr(dpsgd.PublicRateOptimizer, "step", optimised)
    return seen


def audited(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Run the default path and return what is wrong with it, by name.

    Each statistical test has a false alarm of 1e-9 or less.
    """
    config = small()
    plan = planning.make(config)
    seen = watch(patch)
    run.run(config, folder / "run")
    findings: list[str] = []
    for preparation, trained in zip(seen.records, seen.trained, strict=True):
        name = preparation.silo.name
        path = folder / "run" / "silos" / name
        with Ledger.open(path / "ledger.sqlite", key=load_key(path / "key").chain) as ledger:
            charges = ledger.charges()
        findings += _training(plan, preparation, trained, charges)
        asked = [entry for entry in seen.answers if entry[0].public.name == name]
        findings += _charges_of_answers(plan, charges, asked)
    moments = _moments_noise(seen, folder)
    findings += [] if is_noise(moments, 1.0) else ["moments noise"]
    counts = [
        (t.counts - label_counts(p.records.y, p.classes)) / t.counts_std
        for p, t in zip(seen.records, seen.trained, strict=True)
    ]
    if min(float(np.abs(c).min()) for c in counts) < 1e-9 or not is_noise(np.array(counts), 1.0):
        findings.append("counts noise")
    findings += [] if is_noise(np.concatenate(seen.gradients), 1.0) else ["dp-sgd noise"]
    findings += _answer_noise(seen)
    findings += _uses(seen)
    return sorted(set(findings))


def _training(plan: Plan, preparation: Any, trained: Any, charges: list[Any]) -> list[str]:
    budget = plan.budgets[preparation.silo.name]
    rows = [(c.kind, c.group, c.event, c.uses) for c in charges]
    assert budget.training is not None
    wanted = {
        "counts charge": ("counts", "R", budget.counts, 1),
        "moments charge": ("moments", "A", budget.moments, 1),
        "dp-sgd charge": ("dp-sgd", "A", budget.training.event, 4),
    }
    found = [name for name, row in wanted.items() if row not in rows]
    if sum(c.uses for c in charges if c.kind == "dp-sgd") != 8:
        found.append("dp-sgd charge")
    assert budget.counts is not None
    if trained.counts_std != pytest.approx(budget.counts.noise_multiplier):
        found.append("counts noise")
    return found


def _charges_of_answers(plan: Plan, charges: list[Any], asked: list[Any]) -> list[str]:
    config, found = plan.config, []
    answers = {c.round: c for c in charges if c.kind == "answer"}
    scores = energies = 0.0
    for _, query, _ in asked:
        rows = len(query.x)
        scores += rows * (2.0 * config.answers.clip / query.score_std) ** 2
        energies += rows * (config.answers.energy_bound / query.energy_std) ** 2
        paid = answers[query.round_number].mu2 if query.round_number in answers else 0.0
        own = rows * (2.0 * config.answers.clip / query.score_std) ** 2
        other = rows * (config.answers.energy_bound / query.energy_std) ** 2
        if paid < own * (1 - 1e-9) or abs(paid - other) < 1e-9 * other:
            found.append("scores charge")
        if paid < (own + other) * (1 - 1e-9):
            found.append("energies charge")
    cap = config.answers.mu**2
    if not 0.999 * cap <= scores + energies <= cap:
        found.append("joint calibration")
    return found


def _moments_noise(seen: Audit, folder: Path) -> Array:
    noises = []
    for preparation in seen.records:
        path = folder / "run" / "silos" / preparation.silo.name
        records, base = preparation.records, preparation.config.base
        query = MomentQuery(
            records.x.shape[1], preparation.classes, base.clip_radius, base.means_share
        )
        exact = query.sums(records.x.astype(np.float64), records.y)
        std = preparation.budget.moments.noise_multiplier * query.sensitivity(
            Adjacency(preparation.config.privacy.adjacency)
        )
        with Ledger.open(path / "ledger.sqlite", key=load_key(path / "key").chain) as ledger:
            replies = [c.reply for c in ledger.charges() if c.kind == "moments"]
        spacing = sums_lattice(std).spacing
        released = [np.frombuffer(reply, np.int64) * spacing for reply in replies] or [exact]
        noises.append((released[0] - exact) / std)
    return np.concatenate(noises)


def _answer_noise(seen: Audit) -> list[str]:
    from dpfedsyn.diffusion import signal_shares

    scores, energies = [], []
    for one, query, answer in seen.answers:
        (model,) = one._models
        predicted = model.predict_noise(
            query.x.astype(np.float64), signal_shares()[query.t], query.labels
        )
        mechanism = one.public.mechanism
        clipped = clip_rows(predicted, mechanism.clip)
        exact = np.clip(0.5 * (predicted**2).sum(axis=1), 0.0, mechanism.energy_bound)
        scores.append(((answer.noise - clipped) / query.score_std).ravel())
        energies.append((np.asarray(answer.energies) - exact) / query.energy_std)
    return [
        name
        for name, values in (("score noise", scores), ("energy noise", energies))
        if not is_noise(np.concatenate(values), 1.0) or _reused(values)
    ]


def _reused(values: list[Array]) -> bool:
    return bool(np.abs(np.corrcoef(values) - np.eye(len(values))).max() > 0.9)


def _uses(seen: Audit) -> list[str]:
    """Equations (7) to (9) once more, from the released bytes alone."""
    found = []
    counts = np.stack([t.counts for t in seen.trained])
    stds = np.array([t.counts_std for t in seen.trained])
    kept = np.where(counts >= 2.0 * stds[:, None], counts, 0.0)
    names = [p.silo.name for p in seen.records]
    for number, (state, _, kernel, _, settings, after, info) in enumerate(seen.steps, start=1):
        replies = {one.public.name: a for one, q, a in seen.answers if q.round_number == number}
        noise = np.stack([replies[name].noise.astype(np.float64) for name in names])
        energy = np.stack([np.asarray(replies[name].energies, np.float64) for name in names])
        prior = (kept / kept.sum(axis=0))[:, state.labels]
        with np.errstate(divide="ignore"):
            shares = np.exp(np.log(prior) - settings.temperature * (energy - energy.min(axis=0)))
        shares /= shares.sum(axis=0)
        if not np.allclose(info.responsibilities, shares.mean(axis=1), atol=1e-6):
            found.append("energies in the mixture weights")
        mean = kernel.scale * state.x - kernel.gain * np.einsum("kn,knd->nd", shares, noise)
        brought = kernel.gain**2 * ((shares * replies[names[0]].score_std) ** 2).sum(axis=0)
        injected = np.sqrt(np.maximum(kernel.variance - brought, 0.0))
        moved, some = (after.x - mean), injected > 1e-3
        if some.any() and not is_noise(moved[some] / injected[some, None], 1.0):
            found.append("scores in the mixture")
        if not np.allclose(moved[~some], 0.0, atol=4e-2 * math.sqrt(kernel.variance)):
            found.append("scores in the mixture")
    return found


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


def test_the_default_path_has_every_noise_every_charge_and_every_use(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Scores, energies, counts, moments and DP-SGD: noised, charged and used, as the plan says."""
    assert audited(tmp_path, patch) == []


def _without_score_noise(patch: pytest.MonkeyPatch) -> None:
    release = privatise.AnswerMechanism.release

    def bare(self: Any, noise: Array, energies: Array, *, lattice: Any, **rest: Any) -> Any:
        points = clip_rows(noise[0], self.clip) / lattice.scores.spacing
        noisy = release(self, noise, energies, lattice=lattice, **rest)[1]
        return points.astype(np.int64), noisy

    patch.setattr(privatise.AnswerMechanism, "release", bare)


def _without_energy_noise(patch: pytest.MonkeyPatch) -> None:
    release = privatise.AnswerMechanism.release

    def bare(self: Any, noise: Array, energies: Array, *, lattice: Any, **rest: Any) -> Any:
        scores = release(self, noise, energies, lattice=lattice, **rest)[0]
        centred = np.clip(energies[0], 0.0, self.energy_bound) - 0.5 * self.energy_bound
        return scores, (centred / lattice.energies.spacing).astype(np.int64)

    patch.setattr(privatise.AnswerMechanism, "release", bare)


def _with_less_score_noise(patch: pytest.MonkeyPatch) -> None:
    lattice = privatise.AnswerMechanism.lattice

    def less(self: Any, score_std: float, energy_std: float | None) -> Any:
        asked, drawn = (lattice(self, f * score_std, energy_std) for f in (1.0, 0.97))
        return replace(drawn, scores=_Pretended(drawn.scores, asked.scores.std))

    patch.setattr(privatise.AnswerMechanism, "lattice", less)
    patch.setattr(fitting, "_lattice", lambda *_: [])  # the server would see its finer spacing


@dataclass(frozen=True)
class _Pretended:
    """A lattice that claims more noise than it draws."""

    drawn: Any
    std: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.drawn, name)


def _with_equal_noise_every_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(silo.SiloKey, "noise", lambda self, digest, charge: self.derive(b"noise"))


def _charging(part: Callable[[Any, int, float, float | None], float]) -> Any:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(privatise.AnswerMechanism, "silo_mu2", part)

    return mutate


def _unweighted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sampler, "responsibilities", lambda state, answers, prior, settings: prior)


def _unscored(patch: pytest.MonkeyPatch) -> None:
    step = sampler.step

    def still(state: Any, answers: Any, *rest: Any) -> Any:
        return step(state, replace(answers, noise=np.zeros_like(answers.noise)), *rest)

    patch.setattr(sampler, "step", still)


def _bare_sums(kind: str) -> Any:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        plain = mechanisms.privatise
        counts = kind == "counts"

        def bare(points: Any, lattice: Any, key: bytes) -> Any:
            return points if (points.size <= 2) == counts else plain(points, lattice, key)

        patch.setattr(mechanisms, "privatise", bare)

    return mutate


def _uncharged(kind: str) -> Any:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        charge = mechanisms.charge_once

        def free(preparation: Any, name: str, index: int, *rest: Any) -> Any:
            if name == kind:
                return preparation.key.derive(name.encode(), bytes([index])), lambda reply: reply
            return charge(preparation, name, index, *rest)

        patch.setattr(mechanisms, "charge_once", free)
        patch.setattr(train, "charge_once", free)

    return mutate


def _half_charged(patch: pytest.MonkeyPatch) -> None:
    charge = train.charge_once

    def less(preparation: Any, name: str, index: int, event: Any, uses: int, *rest: Any) -> Any:
        return charge(preparation, name, index, event, max(1, uses // 2), *rest)

    patch.setattr(train, "charge_once", less)


def _bare_gradients(patch: pytest.MonkeyPatch) -> None:
    def bare(self: Any) -> None:
        for parameter in self.params:
            exact = parameter.summed_grad.double() * self.lattice.spacing
            parameter.grad = exact.to(parameter.dtype).view_as(parameter)

    patch.setattr(dpsgd.PublicRateOptimizer, "add_noise", bare)


MUTATIONS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "score noise": (_without_score_noise, "score noise"),
    "three percent of the score noise": (_with_less_score_noise, "score noise"),
    "fresh noise every round": (_with_equal_noise_every_round, "score noise"),
    "energy noise": (_without_energy_noise, "energy noise"),
    "the charge of the scores": (
        _charging(lambda self, n, s, e: n * (self.energy_bound / (e or math.inf)) ** 2),
        "scores charge",
    ),
    "the charge of the energies": (
        _charging(lambda self, n, s, e: n * (2 * self.clip / s) ** 2),
        "energies charge",
    ),
    "the factor N of a charge": (
        _charging(
            lambda self, n, s, e: (
                (2 * self.clip / s) ** 2 + (self.energy_bound / (e or math.inf)) ** 2
            )
        ),
        "scores charge",
    ),
    "energies in the weights": (_unweighted, "energies in the mixture weights"),
    "scores in the step": (_unscored, "scores in the mixture"),
    "counts noise": (_bare_sums("counts"), "counts noise"),
    "the charge of the counts": (_uncharged("counts"), "counts charge"),
    "moments noise": (_bare_sums("moments"), "moments noise"),
    "the charge of the moments": (_uncharged("moments"), "moments charge"),
    "dp-sgd noise": (_bare_gradients, "dp-sgd noise"),
    "the charge of dp-sgd": (_uncharged("dp-sgd"), "dp-sgd charge"),
    "half the steps' charge": (_half_charged, "dp-sgd charge"),
}


@pytest.mark.parametrize("taken_out", MUTATIONS)
def test_a_guard_taken_out_of_the_default_path_is_found(
    taken_out: str, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Without this noise, charge or use the audit of the default path names what is missing."""
    mutate, finding = MUTATIONS[taken_out]
    mutate(patch)
    assert finding in audited(tmp_path, patch)


def test_a_ledger_that_vanished_is_a_spent_budget_not_a_fresh_one(tmp_path: Path) -> None:
    """Its charges are unknown and its answers are out: the run refuses, it does not start over."""
    run.run(small(), tmp_path / "run")
    (tmp_path / "run" / "silos" / "va" / "ledger.sqlite").unlink()
    with pytest.raises(DPError) as refused:
        run.run(small(), tmp_path / "run", resume=True)
    assert refused.value.exit_code == 4
    assert not (tmp_path / "run" / "silos" / "va" / "ledger.sqlite").exists()


def test_a_key_that_vanished_is_asked_for_not_drawn_anew(tmp_path: Path) -> None:
    """A new secret beside the old ledger would stand in the way of putting the real one back."""
    run.run(small(), tmp_path / "run")
    key = tmp_path / "run" / "silos" / "va" / "key"
    key.unlink()
    with pytest.raises(DPError) as refused:
        run.run(small(), tmp_path / "run", resume=True)
    assert refused.value.exit_code == 4
    assert not key.exists()


def test_a_ledger_with_other_caps_than_the_plan_is_refused(tmp_path: Path) -> None:
    """The claim comes from the plan, the filter's cap from the ledger: with an edited configuration
    they would differ, and the claim could lie below what the filter lets through."""
    run.run(small(), tmp_path / "run")
    other = small("answers.mu=1.0")
    (tmp_path / "run" / "config.toml").write_text(
        resolved.dump(resolved.absolute(other)), encoding="utf-8"
    )
    with pytest.raises(DPError) as refused:
        run.run(other, tmp_path / "run", resume=True)
    assert refused.value.exit_code == 4


def test_no_refusal_or_message_of_a_silo_depends_on_its_records(tmp_path: Path) -> None:
    """Two silos with equal public settings and other records refuse in the same words."""
    texts = []
    for seed, name in ((1, "a"), (2, "b")):
        config = small("answers.allow_partial=true", f"data.split_key=k{seed}")
        plan = planning.make(config)
        lines: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                rounds, "_pass",
                lambda *a: _doubled(_PASS(*a)),
            )  # fmt: skip
            result = run.run(config, tmp_path / name)
        lines.append(str(result.reason))
        texts.append(lines)
        assert result.status == "partial"
        assert plan.fits
    assert texts[0] == texts[1]


_PASS = rounds._pass


def _doubled(part: Any) -> Any:
    """A server that asks for less noise than was planned, so that the filter speaks."""
    noise = {
        name: tuple(replace(n, score_std=n.score_std / 1.5) for n in each)
        for name, each in part.noise.items()
    }
    return replace(part, noise=noise)


def test_what_a_greedy_server_gets_stays_within_the_claim(tmp_path: Path) -> None:
    """Two thirds of the noise for the scores: the filter ends the run, the claim stays."""
    config = small()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "_pass", lambda *a: _doubled(_PASS(*a)))
        result = run.run(config, tmp_path / "run")
    assert result.status == "partial"
    plan = planning.make(config)
    for name in plan.budgets:
        path = tmp_path / "run" / "silos" / name
        with Ledger.open(path / "ledger.sqlite", key=load_key(path / "key").chain) as ledger:
            assert ledger.totals().answers_mu2 <= config.answers.mu**2
            assert 0 < len([c for c in ledger.charges() if c.kind == "answer"]) < 3


def test_silos_of_one_run_have_secrets_of_their_own(tmp_path: Path) -> None:
    """Four keys, four ledger names: nobody can subtract a neighbour's noise."""
    run.run(small(), tmp_path / "run")
    keys = [load_key(path / "key") for path in (tmp_path / "run" / "silos").iterdir()]
    assert len({key.root for key in keys}) == len({key.ledger_id for key in keys}) == 4
    public = [
        (path.name, path.read_bytes())
        for path in (tmp_path / "run").rglob("*")
        if path.is_file() and path.name != "key"
    ]
    for key in keys:
        assert not [name for name, data in public if key.root in data or key.chain in data]


def test_two_runs_never_share_noise(tmp_path: Path) -> None:
    """Equal configurations, fresh secrets: samples differ, unless a test seed voids it all."""
    texts = []
    for name in ("a", "b"):
        run.run(small(), tmp_path / name)
        texts.append(find(tmp_path / name, "synthetic.csv").read_text(encoding="utf-8"))
    assert texts[0] != texts[1]
    for name in ("c", "d"):
        run.run(small("privacy.unsafe_noise_seed=3"), tmp_path / name)
        texts.append(find(tmp_path / name, "synthetic.csv").read_text(encoding="utf-8"))
    assert texts[2] == texts[3]


FORBIDDEN_CALLS = {
    "pickle": "executes what it reads", "torch.load": "unpickles", "np.random.seed": "global",
    "np.random.normal": "global", "torch.manual_seed": "global", "torch.randn": "global",
    "torch.normal": "global", "random.random": "global", "time.time": "seeds from the clock",
    "BatchNorm1d": "mixes records", "nn.BatchNorm2d": "mixes records",
    "make_private": "rate from the private count",
}  # fmt: skip
PRIVATE_PATH = ("silo.py", "preparation.py", "releases.py", "clusters.py", "bases.py", "pooling.py",
                 "privatise.py", "moments.py", "sums.py", "train.py", "noise.py",
                "keys.py", "objective.py", "plain_training.py", "dpsgd/optimizer.py",
                "dpsgd/training.py",
                "federation.py", "base.py", "unet.py", "architecture.py", "dpsgd/hooks.py",
                "dpsgd/gradients.py", "lattice.py", "truncation.py",
                "rounded_gaussian.py")  # fmt: skip
FLOAT_NOISE = (  # on which no promise rests: of training, inputs of audits and probes, replays
    "objective.py", "network.py", "unet.py", "audit/mechanisms.py", "brought/tuning.py",
    "dpsgd/hooked_pass.py",
    "comparison/embedding.py",
    "testing/replaying/numpy_noise.py",
)  # fmt: skip


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=inner, attr=name):
            return f"{_dotted(inner)}.{name}"
        case ast.Name(id=name):
            return name
    return ""


def test_the_private_path_draws_from_keystreams_only() -> None:
    """No generator of numpy, torch or the standard library, no clock, no pickle, no batch norm in
    the modules that touch records; layers are born with weights, which `draw` overwrites."""
    root = Path(dpfedsyn.__file__).parent
    for name in PRIVATE_PATH:
        tree = ast.parse((root / name).read_text(encoding="utf-8"))
        used = {_dotted(node) for node in ast.walk(tree) if isinstance(node, ast.expr)}
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not [f for f in FORBIDDEN_CALLS if f in used or f in imported], name
        generators = [call for call in used if "default_rng" in call or "np.random." in call]
        assert set(generators) <= {"np.random.Generator"}, name  # handed in, to draw from a base
        assert not {"random", "secrets", "pickle", "time"} & imported, name


def test_floating_point_gaussians_are_drawn_where_no_promise_rests_on_them_only() -> None:
    """Initial weights, the noise that a record is taught to be rid of, what an audit puts in and
    what a replay holds still: nothing that is released, summed over records or charged."""
    root = Path(dpfedsyn.__file__).parent
    drawing = [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*.py"))
        if any(
            isinstance(node, ast.Attribute) and node.attr == "normal"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert drawing == sorted(FLOAT_NOISE)


def test_answers_of_this_many_rows_promise_nothing_by_themselves() -> None:
    """Said aloud: in the hospitals example the answers alone have an epsilon in the millions, and
    the record-level claim is that of the training."""
    plan = planning.make(configuration.load("hospitals"))
    budget = plan.budgets["va"]
    alone = epsilon(budget.answers_claim(budget.answers_mu**2), delta=1e-5, adjacency="replace")
    assert alone.lower > 1e6
    training = Composed((*budget.releases(), *budget.inside()))
    assert plan.epsilon(budget.record_claim()).upper == pytest.approx(
        plan.epsilon(training).upper, rel=1e-9
    )
    (caveat,) = [c for c in caveats(plan, one_process=True) if "next to nothing" in c]
    assert "rests on the DP training" in caveat
