"""The public settings of a run: frozen, and never computed from records.

Each section of the configuration file is one dataclass here; the comment of a field gives its unit
and `allowed` its range, which the reader in `dpfedsyn.config` enforces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dpfedsyn.allowed_values import (
    CHANNELS,
    COUNT,
    POSITIVE,
    SHARE,
    SHARE_OR_ALL,
    names_among,
    one_of,
    setting,
    within,
)
from dpfedsyn.publication import UNSAID, StatementSettings
from dpfedsyn.round_settings import PRESETS, AnswersSettings, ParticipationSettings, SamplerSettings

# How a model that a silo brings was trained, or, last, that it is trained further here.
NOT_PRIVATE, CLAIMED, TUNED = "not private", "claimed", "dp-sgd"
RECORD, PERSON = "record", "person"  # units of privacy that a run can protect
DEFAULT_REFERENCE_SIZE = 200.0  # as the reader makes it: a dumped configuration has one digest
TRAINED_BASELINES = ("fedavg", "pooled", "paper")


@dataclass(frozen=True)
class SiloSettings:
    """One silo: where its records lie and what is publicly known of it."""

    name: str  # public
    path: str = ""  # relative to the configuration file; empty: no records, but a model
    reference_size: float = setting(DEFAULT_REFERENCE_SIZE, POSITIVE)  # public; never the count
    epsilon: float | None = field(  # this silo's own budget instead of privacy.epsilon
        default=None, metadata={"allowed": within(0, 1e6, open_low=True)}
    )
    weight: float = setting(1.0, POSITIVE)  # mixing weight, used where weights.source = "public"
    model: str = ""  # a folder of diffusers or a JSON file: brought, instead of trained here
    training: str = setting(NOT_PRIVATE, one_of(NOT_PRIVATE, CLAIMED, TUNED))  # of its own model
    claim: str = ""  # signed privacy claim of a brought model, where training = "claimed"
    claim_key: str = ""  # its signer's public key, hex
    provenance: str = ""  # training = "dp-sgd": whose public records its first weights are from
    parameters: int = setting(0, within(0, 10**9))  # how many it has, where dp-sgd; public

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

    schema: str = "schema.toml"  # public; relative to the configuration file
    folder: str = ""  # where paths of records start; empty: the configuration's folder
    path: str = ""  # one file for all silos, divided as [partition] says
    test: str = ""  # a public test file instead of a held-out part
    conditional: bool = True  # generate per label; else labels are not modelled (images)
    test_fraction: float = setting(0.3, within(0, 0.9))  # held out by keyed hash of a row's id
    split_key: str = "1"  # public; another key is another split


@dataclass(frozen=True)
class PartitionSettings:
    """How one file is divided over simulated silos; seeded and recorded in the run folder."""

    # By a column's values, skewed labels, shards of sorted labels, two labels each, or by size.
    kind: str = setting("dirichlet", one_of("column", "dirichlet", "shards", "pairs", "power-law"))
    silos: int = setting(4, within(1, 1000))  # how many; pairs: as many as there are labels
    names: tuple[str, ...] = ()  # column: the values that own a silo each, in order
    column: str = ""  # column: whose values they are; of images "label"
    alpha: float = setting(0.5, POSITIVE)  # dirichlet: small is skewed
    shards: int = setting(2, within(1, 1000))  # shards per silo
    exponent: float = setting(1.0, within(0, 10))  # power-law: size ~ rank^-exponent
    size: int = setting(0, within(0, 10_000_000))  # records per silo on average; 0: all there are
    reference_size: float = setting(DEFAULT_REFERENCE_SIZE, POSITIVE)  # public; of every silo
    seed: int = setting(1, within(0, 2**63 - 1))  # of the division


@dataclass(frozen=True)
class PrivacySettings:
    """What is promised, per silo, and how the budget mu^2 is shared out."""

    epsilon: float = setting(8.0, within(0, 1e6, open_low=True))  # of each silo, at delta
    delta: float = setting(1e-5, within(0, 0.1, open_low=True))  # far below 1 / (number of units)
    unit: str = setting(RECORD, one_of(RECORD, PERSON))  # whose data is hidden
    # Which data sets are neighbours: what hiding a unit means.
    adjacency: str = setting("add-or-remove", one_of("add-or-remove", "replace", "zero-out"))
    overlap: int = setting(1, COUNT)  # one person may have records in this many silos
    counts_share: float = setting(0.03, SHARE)  # of mu^2
    moments_share: float = setting(0.57, SHARE)  # of mu^2; DP-SGD gets what is left
    anchors: str = ""  # folder of the ledgers' anchors, best on another disk; empty: the run's own
    unsafe_noise_seed: int | None = None  # repeatable noise: voids the statement; for tests


@dataclass(frozen=True)
class WeightsSettings:
    """Where the mixing weights w_i(y) and the shares of the labels come from."""

    source: str = setting("counts", one_of("counts", "public"))  # noisy counts, or silos.weight
    labels: tuple[float, ...] = ()  # public label shares; empty: all alike


@dataclass(frozen=True)
class BaseSettings:
    """The private analytic base: per-label means and one shrunken covariance."""

    clip_radius: float = setting(3.8, POSITIVE)  # L2 bound on an encoded record
    means_share: float = setting(0.4, SHARE)  # of the squared radius of the joint moment vector
    mean_spread: float = setting(0.4, POSITIVE)  # public prior std of a mean's coordinate
    shrinkage: float = setting(3.0, within(0, 100))  # of correlations, in noise variances
    floor: float = setting(0.15, SHARE)  # least eigenvalue of the correlation matrix
    residual_radius: float = setting(0.0, within(0, 1e12))  # > 0: means first, L2 bound about them
    origin_share: float = setting(0.0, within(0, 1, open_high=True))  # of mu^2: all records' mean
    origin_radius: float = setting(0.0, within(0, 1e12))  # L2 bound on a record about that mean
    label_share: float = setting(0.0, within(0, 1))  # covariances of single labels; 1: these alone
    label_prior: float = setting(50.0, POSITIVE)  # records that the shared covariance counts for
    combine: str = setting("none", one_of("none", "pool", "sum"))  # whose base; not none: released
    clusters: int = setting(1, within(1, 1000))  # Gaussians per label; 1 where pooled
    cluster_axes: int = setting(16, within(1, 1000))  # leading directions in which they differ
    cluster_rounds: int = setting(0, within(0, 20))  # in which centres move, before the last
    cluster_radius: float = setting(4.0, POSITIVE)  # L2 bound of a record about its centre
    clusters_share: float = setting(0.25, SHARE)  # of the moments' mu^2, where there are several
    marginals_share: float = setting(0.0, within(0, 1, open_high=True))  # as before: histograms

    @property
    def questions(self) -> int:
        """How often every silo is asked for sums."""
        cells = self.cluster_rounds + 1 if self.clusters > 1 else 0
        return 2 + (self.residual_radius > 0.0) + (self.origin_share > 0.0) + cells


@dataclass(frozen=True)
class NetworkSettings:
    """The network for what the base leaves (EDM preconditioning)."""

    hidden: int = setting(512, COUNT)  # mlp: units of its one hidden layer
    data_std: float = setting(0.7, POSITIVE)  # public scale of the residual, encoded units
    kind: str = setting("mlp", one_of("mlp", "unet", "none"))  # unet: in pixels, images alone
    channels: int = setting(8, CHANNELS)  # unet: at full resolution; twice as many at half
    # sqrt((1 - abar) / abar), encoded units: training's noisiest sample; above, the base is alone
    highest_noise: float = setting(1000.0, within(0.02, 1e6))


@dataclass(frozen=True)
class PretrainSettings:
    """Training of one network on released synthetic records, from which every silo starts."""

    steps: int = setting(0, within(0, 10_000_000))  # 0: none, silos start at the base
    batch: int = setting(256, COUNT)  # synthetic records per step
    learning_rate: float = setting(4e-3, POSITIVE)  # at the first step; a tenth at the last
    rows: int = setting(20_000, COUNT)  # synthetic records to train on


@dataclass(frozen=True)
class TrainSettings:
    """DP-SGD through Opacus, or an ensemble without it."""

    method: str = setting("dp-sgd", one_of("dp-sgd", "ensemble", "not-private"))  # last: no claim
    steps: int = setting(200, COUNT)  # of DP-SGD in all, each of which is charged
    block: int = setting(50, within(1, 50))  # steps charged at once, before they are taken
    sampling_rate: float = setting(0.25, within(0, 1, open_low=True))  # Poisson, public
    clip: float = setting(1.0, POSITIVE)  # L2 norm of a record's gradient
    draws: int = setting(8, COUNT)  # (t, noise) draws averaged inside a record's gradient
    learning_rate: float = setting(3e-4, POSITIVE)  # of Adam, at the first step
    last_rate: float = setting(1.0, SHARE_OR_ALL)  # share of the rate left at the last step
    ema: float = setting(0.99, within(0, 1, open_high=True))  # decay of the weights' average
    parts: int = setting(1, within(1, 1000))  # disjoint models of an ensemble


@dataclass(frozen=True)
class EvaluateSettings:
    """What the internal evaluation computes on the held-out part of the real records."""

    enabled: bool = True  # unpaid: what it finds stays with the owners of the records
    groups: tuple[str, ...] = ()  # public columns; utility is shown for each of their values
    baselines: tuple[str, ...] = names_among(*TRAINED_BASELINES, "all")  # with training: minutes
    seed: int = setting(1, within(0, 2**31 - 1))  # of classifiers and baselines

    @property
    def trained(self) -> tuple[str, ...]:
        """The baselines with training of their own; those that need none are always there."""
        wanted = TRAINED_BASELINES if "all" in self.baselines else self.baselines
        return tuple(name for name in TRAINED_BASELINES if name in wanted)


@dataclass(frozen=True)
class Config:
    """A whole run, resolved: every value is set, every path absolute when used."""

    name: str  # of the run
    folder: Path  # what relative paths are relative to
    silos: tuple[SiloSettings, ...]
    # What [sampler] starts from; [presets.NAME.SECTION] holds what a preset changes elsewhere.
    preset: str = setting("default", one_of("default", "paper", "best"))
    device: str = "auto"  # where networks run: "auto" | "cpu" | "cuda"
    data: DataSettings = DataSettings()
    partition: PartitionSettings | None = None
    privacy: PrivacySettings = PrivacySettings()
    weights: WeightsSettings = WeightsSettings()
    base: BaseSettings = BaseSettings()
    network: NetworkSettings = NetworkSettings()
    pretrain: PretrainSettings = PretrainSettings()
    train: TrainSettings = TrainSettings()
    answers: AnswersSettings = field(default_factory=AnswersSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    participation: ParticipationSettings = field(default_factory=ParticipationSettings)
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
