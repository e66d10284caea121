"""The settings of the table: which data, how divided, which epsilon, which columns, how often.

`mnist` is read from the folder `shared/data/mnist` beside the project. Everything that a column
depends on is the configuration of a whole run by preset `best`; columns differ in what is made of
the same records with the same budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.utility.source import Source
from benchmarks.utility.tuned import tuned
from dpfedsyn import config
from dpfedsyn.settings import Config

OURS, BASE, NETWORK, UNION, ALONE, REAL = "ours", "base", "network", "union", "alone", "real"
OF_A_RUN = (OURS, UNION, ALONE)
TRAINED = ("gaussians", "networks", "paper", "fedavg", "embedding", "pooled")
COMMON = (OURS, UNION, BASE)
IMAGES, TABLE = ("logistic", "mlp", "cnn"), ("logistic", "mlp")
DEVELOPMENT_SIZE = 5000  # images a silo: a development split has 50,000 to train on

NO_NETWORK = ("network.kind=none", "pretrain.steps=0")
WITH_NETWORK = ("network.kind=unet", "pretrain.steps=600")
"""The same run without a network, whose budget the base has then, and with one (of images)."""


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        name: of files. title: for readers. example, overrides: the run. columns: what is measured
            beside the rest, which is null. seeds, other_seeds: of ours, and of the other columns.
        classifiers, score: what counts. canonical: whether images are canonicalised.
        denoising: whether the network's denoising error is measured. deciding: the classifier by
            which a row's winner is found where one number has to do.
    """

    name: str
    title: str
    example: str
    overrides: tuple[str, ...]
    columns: tuple[str, ...] = COMMON
    seeds: int = 3
    other_seeds: int = 1
    classifiers: tuple[str, ...] = IMAGES
    score: str = "accuracy"
    canonical: bool = True
    denoising: bool = False

    @property
    def mnist(self) -> bool:
        """Whether it needs the images that are not shipped."""
        return self.example.startswith("mnist")

    @property
    def deciding(self) -> str:
        """The classifier whose score is told where one has to do."""
        return "cnn" if "cnn" in self.classifiers else "logistic"

    def seeds_of(self, column: str) -> int:
        """How often a column is measured; 0: not at all."""
        if column not in self.columns:
            return 0
        return self.seeds if column == OURS else self.other_seeds

    def load(self, seed: int, source: Source, more: tuple[str, ...] = ()) -> Config:
        """Return the run's configuration, with a seed and a split of its own, and `more` of it."""
        seeded = ["sampler.seed", "best.seed", "evaluate.seed"]
        seeded += ["partition.seed"] if self.example != "hospitals" else []
        settings = ["preset=best", *self.overrides, *more, *(f"{key}={seed}" for key in seeded)]
        settings.append("evaluate.enabled=true")  # in its place a cell's own scoring is taken
        if self.mnist:
            settings.append(f'data.folder="{source.folder}"')
        else:
            settings.append(f'data.split_key="{source.split(seed)}"')
        if source.development:
            settings += [_smaller(entry) for entry in self.overrides if entry.startswith(_SIZES)]
        if not self.canonical:
            settings.append(f'data.schema="{source.plain_schema(_schema(self.example))}"')
        return config.load(self.example, settings)


_SIZES = ("partition.size=", "partition.reference_size=")


def _smaller(override: str) -> str:
    key, _, size = override.partition("=")
    return f"{key}={min(int(size), DEVELOPMENT_SIZE)}"


def _schema(example: str) -> Path:
    loaded = config.load(example, records=False)
    return loaded.path(loaded.data.schema)


def pairs(
    size: int,
    epsilon: float,
    *,
    rows: int,
    columns: tuple[str, ...] = COMMON,
    seeds: int = 3,
    canonical: bool = True,
    denoising: bool = False,
) -> Setting:
    """MNIST in ten silos of two digits each: silo i holds halves of the digits i and i + 1."""
    plain = "" if canonical else "-plain"
    return Setting(
        name=f"mnist-{size}-epsilon-{epsilon:g}{plain}",
        title=f"MNIST, 10 x {size:,}, epsilon {epsilon:g}" + ("" if canonical else ", general"),
        example="mnist-private",
        overrides=(
            *tuned(size, epsilon, canonical=canonical),
            f"partition.size={size}",
            f"partition.reference_size={size}",
            f"privacy.epsilon={epsilon}",
            f"answers.rows={rows}",
        ),
        columns=columns,
        seeds=seeds,
        canonical=canonical,
        denoising=denoising,
    )


def small(example: str, epsilon: float, columns: tuple[str, ...]) -> Setting:
    """An embedded example on ten splits; every column is made on all of them."""
    table = example == "hospitals"
    return Setting(
        name=f"{example}-epsilon-{epsilon:g}",
        title=f"{example}, epsilon {epsilon:g}",
        example=example,
        overrides=(f"privacy.epsilon={epsilon}", *_counts(example, epsilon)),
        columns=columns,
        seeds=10,
        other_seeds=10,
        classifiers=TABLE if table else IMAGES,
        score="auc" if table else "accuracy",
    )


def _counts(example: str, epsilon: float) -> tuple[str, ...]:
    """Shares of a small budget: with the usual ones its noise would drown a silo's counts."""
    if epsilon > 1.0:
        return ()
    if example == "hospitals":
        return ("privacy.counts_share=0.05",)
    return ("privacy.counts_share=0.07", "privacy.moments_share=0.88", "base.label_share=0.0")


NOT_PRIVATE = Setting(
    "mnist-not-private", "MNIST, 10 x 300, Dirichlet 0.1, no privacy", "mnist", ()
)
EVERYTHING = (*OF_A_RUN, BASE, *TRAINED, REAL)
WHOLE_MNIST = pairs(6000, 1.0, rows=20_000, columns=(*EVERYTHING, NETWORK))
GAIN = pairs(6000, 10.0, rows=20_000, columns=(*COMMON, NETWORK), denoising=True)
TABLES = (
    small("hospitals", 10.0, (*COMMON, REAL)),
    small("hospitals", 3.0, (*EVERYTHING, "mst")),
    small("hospitals", 1.0, COMMON),
)
DIGITS = (
    small("digits", 10.0, (*COMMON, REAL)),
    small("digits", 3.0, COMMON),
    small("digits", 1.0, COMMON),
)
SIXTHOUSAND = (
    GAIN,
    pairs(6000, 3.0, rows=20_000),
    WHOLE_MNIST,
    pairs(6000, 0.3, rows=20_000),
)
SIXHUNDRED = tuple(pairs(600, epsilon, rows=5000) for epsilon in (10.0, 3.0, 1.0))
PLAIN = (
    pairs(6000, 10.0, rows=20_000, canonical=False),
    pairs(6000, 1.0, rows=20_000, canonical=False),
    pairs(6000, 3.0, rows=20_000, canonical=False, seeds=1),
    pairs(6000, 0.3, rows=20_000, canonical=False, seeds=1),
    *(pairs(600, e, rows=5000, canonical=False, seeds=1) for e in (10.0, 3.0, 1.0)),
)
SETTINGS = (NOT_PRIVATE, *SIXTHOUSAND, *SIXHUNDRED, *PLAIN, *DIGITS, *TABLES)


def _rounds(levels: int) -> Setting:
    """The same run with so many rounds; its answers have next to no noise of their own."""
    basis = pairs(600, 10.0, rows=5000)
    return Setting(
        name=f"rounds-{levels}",
        title=f"{basis.title}, {levels:,} rounds",
        example=basis.example,
        overrides=(*basis.overrides, f"sampler.levels={levels}", f"best.levels={levels}"),
        columns=(OURS,),
        seeds=1,
    )


ROUNDS = (_rounds(25), _rounds(1000))

SMOKE = (
    Setting(
        name="smoke",
        title="hospitals, small",
        example="hospitals",
        overrides=(
            "answers.rows=200",
            "train.steps=4",
            "sampler.levels=3",
            "best.levels=3",
        ),
        columns=(OURS, UNION, BASE, "gaussians", "networks", "mst"),
        seeds=1,
        classifiers=TABLE,
        score="auc",
    ),
)
