"""The public settings of a run: frozen, and never computed from records.

Each section of the configuration file is one dataclass here; the comment of a field gives its unit
and `allowed` its range, which the reader in `dpfedsyn.config` enforces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpfedsyn.publication import UNSAID, StatementSettings

# How a model that a silo brings was trained, or, last, that it is trained further here.
NOT_PRIVATE, CLAIMED, TUNED = "not private", "claimed", "dp-sgd"
RECORD, PERSON = "record", "person"  # units of privacy that a run can protect
DEFAULT_REFERENCE_SIZE = 200.0  # as the reader makes it: a dumped configuration has one digest
TRAINED_BASELINES = ("fedavg", "pooled", "paper")


@dataclass(frozen=True)
class Allowed:
    """A range or a list of values, and the words that name it."""

    words: str
    test: Callable[[Any], bool]


def _in(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Allowed:
    words = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    return Allowed(
        words,
        # NaN and infinity fail these comparisons by themselves.
        lambda v: (v > low if open_low else v >= low) and (v < high if open_high else v <= high),
    )


def _one_of(*values: str) -> Allowed:
    return Allowed(" | ".join(values), lambda v: v in values)


def _setting(default: Any, allowed: Allowed) -> Any:
    return field(default=default, metadata={"allowed": allowed})


def _names(*known: str) -> Any:
    """A list of some of these names; one name may stand without its brackets."""
    return field(default=(), metadata={"names": known})


_POSITIVE = _in(0, 1e12, open_low=True)
_SHARE = _in(0, 1, open_low=True, open_high=True)
_SHARE_OR_ALL = _in(0, 1, open_low=True)
_COUNT = _in(1, 10_000_000)
_CHANNELS = Allowed("multiples of 8 in [8, 256]", lambda v: v % 8 == 0 and 8 <= v <= 256)


@dataclass(frozen=True)
class SiloSettings:
    """One silo: where its records lie and what is publicly known of it."""

    name: str
    path: str = ""  # relative to the configuration file; empty: no records, but a model
    reference_size: float = _setting(DEFAULT_REFERENCE_SIZE, _POSITIVE)  # public; never the count
    epsilon: float | None = field(  # this silo's own budget instead of privacy.epsilon
        default=None, metadata={"allowed": _in(0, 1e6, open_low=True)}
    )
    weight: float = _setting(1.0, _POSITIVE)  # mixing weight, used where weights.source = "public"
    model: str = ""  # a folder of diffusers or a JSON file: brought, instead of trained here
    training: str = _setting(NOT_PRIVATE, _one_of(NOT_PRIVATE, CLAIMED, TUNED))  # of that model
    claim: str = ""  # signed privacy claim of a brought model, where training = "claimed"
    claim_key: str = ""  # its signer's public key, hex
    provenance: str = ""  # training = "dp-sgd": whose public records its first weights are from
    parameters: int = _setting(0, _in(0, 10**9))  # and how many it has; public

    @property
    def brings(self) -> bool:
        """Whether it brings a model instead of training one here."""
        return bool(self.model)

    @property
    def tunes(self) -> bool:
        """Whether it trains a brought model further here, with DP-SGD."""
        return self.brings and self.training == TUNED

    @property
    def trains(self) -> bool:
        """Whether its model is trained here, from whatever start."""
        return not self.brings or self.tunes


@dataclass(frozen=True)
class DataSettings:
    """Records, their public schema, and the part of them that training never sees."""

    schema: str = "schema.toml"
    folder: str = ""  # where paths of records start; empty: the configuration's folder
    path: str = ""  # one file for all silos, divided as [partition] says
    test: str = ""  # a public test file instead of a held-out part
    conditional: bool = True  # generate per label; else labels are not modelled (images)
    test_fraction: float = _setting(0.3, _in(0, 0.9))
    split_key: str = "1"  # public; another key is another split


@dataclass(frozen=True)
class PartitionSettings:
    """How one file is divided over simulated silos; seeded and recorded in the run folder."""

    kind: str = _setting(
        "dirichlet", _one_of("column", "dirichlet", "shards", "pairs", "power-law")
    )
    silos: int = _setting(4, _in(1, 1000))  # pairs: as many as there are labels
    names: tuple[str, ...] = ()  # column: the values that own a silo each, in order
    column: str = ""  # column: whose values they are; of images "label"
    alpha: float = _setting(0.5, _POSITIVE)  # dirichlet: small is skewed
    shards: int = _setting(2, _in(1, 1000))  # shards per silo
    exponent: float = _setting(1.0, _in(0, 10))  # power-law: size ~ rank^-exponent
    size: int = _setting(0, _in(0, 10_000_000))  # records per silo on average; 0: all there are
    reference_size: float = _setting(DEFAULT_REFERENCE_SIZE, _POSITIVE)  # public; of every silo
    seed: int = _setting(1, _in(0, 2**63 - 1))


@dataclass(frozen=True)
class PrivacySettings:
    """What is promised, per silo, and how the budget mu^2 is shared out."""

    epsilon: float = _setting(8.0, _in(0, 1e6, open_low=True))
    delta: float = _setting(1e-5, _in(0, 0.1, open_low=True))
    unit: str = _setting(RECORD, _one_of(RECORD, PERSON))
    adjacency: str = _setting("add-or-remove", _one_of("add-or-remove", "replace", "zero-out"))
    overlap: int = _setting(1, _COUNT)  # one person may have records in this many silos
    counts_share: float = _setting(0.03, _SHARE)  # of mu^2
    moments_share: float = _setting(0.57, _SHARE)  # of mu^2; DP-SGD gets what is left
    anchors: str = ""  # folder of the ledgers' anchors, best on another disk; empty: the run's own
    unsafe_noise_seed: int | None = None  # repeatable noise: voids the statement; for tests


@dataclass(frozen=True)
class WeightsSettings:
    """Where the mixing weights w_i(y) and the shares of the labels come from."""

    source: str = _setting("counts", _one_of("counts", "public"))
    labels: tuple[float, ...] = ()  # public label shares; empty: all alike


@dataclass(frozen=True)
class BaseSettings:
    """The private analytic base: per-label means and one shrunken covariance."""

    clip_radius: float = _setting(3.8, _POSITIVE)  # L2 bound on an encoded record
    means_share: float = _setting(0.4, _SHARE)  # of the squared radius of the joint moment vector
    mean_spread: float = _setting(0.4, _POSITIVE)  # public prior std of a mean's coordinate
    shrinkage: float = _setting(3.0, _in(0, 100))  # of correlations, in noise variances
    floor: float = _setting(0.15, _SHARE)  # least eigenvalue of the correlation matrix
    residual_radius: float = _setting(0.0, _in(0, 1e12))  # > 0: means first, L2 bound about them
    origin_share: float = _setting(
        0.0, _in(0, 1, open_high=True)
    )  # of mu^2: the mean of all records
    origin_radius: float = _setting(0.0, _in(0, 1e12))  # L2 bound on a record about that mean
    label_share: float = _setting(0.0, _in(0, 1))  # covariances of single labels; 1: of these alone
    label_prior: float = _setting(50.0, _POSITIVE)  # records that the shared covariance counts for
    combine: str = _setting("none", _one_of("none", "pool", "sum"))  # pool, sum: released
    clusters: int = _setting(1, _in(1, 1000))  # Gaussians per label; 1 where pooled
    cluster_axes: int = _setting(16, _in(1, 1000))  # leading directions in which they differ
    cluster_rounds: int = _setting(0, _in(0, 20))  # in which centres move, before the last
    cluster_radius: float = _setting(4.0, _POSITIVE)  # L2 bound of a record about its centre
    clusters_share: float = _setting(0.25, _SHARE)  # of the moments' mu^2, where there are several
    marginals_share: float = _setting(0.0, _in(0, 1, open_high=True))  # of it: histograms

    @property
    def questions(self) -> int:
        """How often every silo is asked for sums."""
        cells = self.cluster_rounds + 1 if self.clusters > 1 else 0
        return 2 + (self.residual_radius > 0.0) + (self.origin_share > 0.0) + cells


@dataclass(frozen=True)
class NetworkSettings:
    """The network for what the base leaves (EDM preconditioning)."""

    hidden: int = _setting(512, _COUNT)  # mlp: units of its one hidden layer
    data_std: float = _setting(0.7, _POSITIVE)  # public scale of the residual, encoded units
    kind: str = _setting("mlp", _one_of("mlp", "unet", "none"))  # unet: in pixels, for images alone
    channels: int = _setting(8, _CHANNELS)  # unet: at full resolution; twice as many at half
    # sqrt((1 - abar) / abar), encoded units: training's noisiest sample; above, the base is alone
    highest_noise: float = _setting(1000.0, _in(0.02, 1e6))


@dataclass(frozen=True)
class PretrainSettings:
    """Training of one network on released synthetic records, from which every silo starts."""

    steps: int = _setting(0, _in(0, 10_000_000))  # 0: silos start at the base
    batch: int = _setting(256, _COUNT)
    learning_rate: float = _setting(4e-3, _POSITIVE)  # at the first step; a tenth at the last
    rows: int = _setting(20_000, _COUNT)  # synthetic records to train on


@dataclass(frozen=True)
class TrainSettings:
    """DP-SGD through Opacus, or an ensemble without it."""

    method: str = _setting("dp-sgd", _one_of("dp-sgd", "ensemble", "not-private"))
    steps: int = _setting(200, _COUNT)
    block: int = _setting(50, _in(1, 50))  # steps charged at once, before they are taken
    sampling_rate: float = _setting(0.25, _in(0, 1, open_low=True))  # Poisson, public
    clip: float = _setting(1.0, _POSITIVE)  # L2 norm of a record's gradient
    draws: int = _setting(8, _COUNT)  # (t, noise) draws averaged inside a record's gradient
    learning_rate: float = _setting(3e-4, _POSITIVE)
    last_rate: float = _setting(1.0, _SHARE_OR_ALL)  # share of the rate left at the last step
    ema: float = _setting(0.99, _in(0, 1, open_high=True))
    parts: int = _setting(1, _in(1, 1000))  # disjoint models of an ensemble


@dataclass(frozen=True)
class AnswersSettings:
    """What a silo answers, and how much noise it adds."""

    rows: int = _setting(3000, _COUNT)
    clip: float = _setting(6.0, _POSITIVE)  # L2 bound on one predicted noise vector
    energy_bound: float = _setting(18.0, _POSITIVE)  # energies are clipped to [0, this]
    mu: float = _setting(6000.0, _POSITIVE)  # sqrt of the sum of mu_t^2 over all planned answers
    # Of mu^2, beside it in the cap: for `dpfedsyn sample`. An ensemble's is what mu leaves.
    reserve: float = _setting(0.2, _in(0, 100))
    energy_share: float = _setting(0.2, _SHARE)  # of mu_t^2, where energies are released
    best_share: float = _setting(0.2, _in(0, 1, open_high=True))  # of mu^2, for the extra pass
    keep_replies: int = _setting(3, _in(2, 1000))  # rounds for which a reply can be redelivered
    allow_partial: bool = False  # start although the caps end the run early


@dataclass(frozen=True)
class SamplerSettings:
    """How the server moves its samples; a preset fills these, the file overrides them."""

    kernel: str = _setting("ula", _one_of("ula", "ancestral"))
    energy: str = _setting("released", _one_of("released", "l2", "path", "uniform"))
    step: str = _setting("blend", _one_of("blend", "mix", "anchored"))
    prior: str = _setting("labels", _one_of("labels", "uniform"))  # w_i(y), or 1/K
    levels: int = _setting(25, _in(1, 1000))
    spacing: float = _setting(1.0, _in(1, 10))  # ancestral: above 1, more levels near clean samples
    eta: float = _setting(1.0, _in(0, 1))  # ancestral: 1 draws all its noise (DDPM), 0 none (DDIM)
    order: int = _setting(1, _in(1, 2))  # ancestral: 2 extrapolates from the last two answers
    steps_per_level: int = _setting(4, _in(1, 1000))  # ULA only
    step_size: float = _setting(0.5, _in(0, 1, open_low=True))  # c in eta = c (1 - abar)^p
    power: float = _setting(1.0, _in(1, 10))  # p
    score_scale: float = _setting(1.0, _POSITIVE)  # lambda of the score, equation (11)
    temperature: float = _setting(1.0, _POSITIVE)  # lambda of the weights, equation (9)
    absorb: bool = True  # inject only the noise that the silos have not added already
    seed: int = _setting(1, _in(0, 2**63 - 1))  # public: the server's randomness is no secret


@dataclass(frozen=True)
class ParticipationSettings:
    """What happens where silos do not answer; the last four make simulated silos miss rounds."""

    quorum: float = _setting(0.5, _in(0, 1, open_low=True))  # share of silos that a round needs
    patience: int = _setting(3, _in(0, 10_000))  # rounds missed in a row before others take over
    timeout: float = _setting(0.0, _in(0, 1e6))  # seconds for a round's answers; 0: no limit
    attempts: int = _setting(3, _in(1, 1000))  # a round below its quorum is asked so many times
    absence: float = _setting(0.0, _in(0, 1))  # chance that a silo does not get a round's question
    lateness: float = _setting(0.0, _in(0, 1))  # chance that its answer, charged, comes too late
    away: tuple[str, ...] = ()  # "NAME FIRST-LAST": rounds of the run, from 1, without the silo
    seed: int = _setting(1, _in(0, 2**63 - 1))  # of the chances


PRESETS: dict[str, SamplerSettings] = {
    "default": SamplerSettings(),
    "paper": SamplerSettings(
        energy="l2",
        prior="uniform",
        levels=1000,
        steps_per_level=1,
        step_size=0.1,
        score_scale=2.0,
        temperature=2.0,
        absorb=False,
    ),
    "best": SamplerSettings(
        kernel="ancestral", energy="path", step="anchored", levels=25, spacing=3.0, order=2
    ),
}


@dataclass(frozen=True)
class EvaluateSettings:
    """What the internal evaluation computes on the held-out part of the real records."""

    enabled: bool = True
    groups: tuple[str, ...] = ()  # public columns; utility is shown for each of their values
    baselines: tuple[str, ...] = _names(*TRAINED_BASELINES, "all")  # that need training: minutes
    seed: int = _setting(1, _in(0, 2**31 - 1))

    @property
    def trained(self) -> tuple[str, ...]:
        """The baselines with training of their own; those that need none are always there."""
        wanted = TRAINED_BASELINES if "all" in self.baselines else self.baselines
        return tuple(name for name in TRAINED_BASELINES if name in wanted)


@dataclass(frozen=True)
class Config:
    """A whole run, resolved: every value is set, every path absolute when used."""

    name: str
    folder: Path  # what relative paths are relative to
    silos: tuple[SiloSettings, ...]
    preset: str = _setting("default", _one_of("default", "paper", "best"))
    device: str = "auto"  # "auto" | "cpu" | "cuda"
    data: DataSettings = DataSettings()
    partition: PartitionSettings | None = None
    privacy: PrivacySettings = PrivacySettings()
    weights: WeightsSettings = WeightsSettings()
    base: BaseSettings = BaseSettings()
    network: NetworkSettings = NetworkSettings()
    pretrain: PretrainSettings = PretrainSettings()
    train: TrainSettings = TrainSettings()
    answers: AnswersSettings = AnswersSettings()
    sampler: SamplerSettings = SamplerSettings()
    participation: ParticipationSettings = ParticipationSettings()
    best: SamplerSettings = PRESETS["best"]  # of the extra pass, and of preset = "best"
    evaluate: EvaluateSettings = EvaluateSettings()
    statement: StatementSettings = UNSAID

    @property
    def bringing(self) -> tuple[SiloSettings, ...]:
        """The silos that bring a model."""
        return tuple(silo for silo in self.silos if silo.brings)

    def has_records(self, silo: SiloSettings) -> bool:
        """Whether a silo has records here: one that brings a model need not."""
        return bool(silo.path) or self.partition is not None

    def path(self, relative: str) -> Path:
        """Resolve a path of the configuration against the folder that it lies in."""
        return (self.folder / relative).resolve()

    def records_path(self, relative: str) -> Path:
        """Resolve a path of records: against `data.folder`, which is relative to where we are."""
        start = Path(self.data.folder).expanduser() if self.data.folder else self.folder
        return (start / relative).resolve()

    def epsilon(self, silo: SiloSettings) -> float:
        """The budget of one silo at `privacy.delta`."""
        return self.privacy.epsilon if silo.epsilon is None else silo.epsilon
