"""The configuration: every fault at once, with its mend, and a round trip without loss."""

import dataclasses
import math
import re
import string
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn import resolved
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.round_settings import PRESETS
from dpfedsyn.settings import TRAINED_BASELINES, Config, SiloSettings

ROOT = Path(configuration.__file__).parent / "examples" / "hospitals"
SCHEMA = f'schema = "{ROOT / "schema.toml"}"'


def written(folder: Path, text: str, name: str = "config.toml") -> str:
    """A configuration file beside the hospitals' schema and data."""
    head = f"""
[data]
schema = "{ROOT / "schema.toml"}"
"""
    path = folder / name
    path.write_text(text + ("" if "[data]" in text else head), encoding="utf-8")
    return str(path)


SILO = f"""
[[silos]]
name = "north"
path = "{ROOT / "data" / "processed.va.data"}"
"""


def faults(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configuration.load(written(folder, text), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_example_loads_and_is_listed() -> None:
    """By name, with all paths there, ready to plan; MNIST asks for the folder of its files."""
    assert configuration.examples() == (
        "answers-only",
        "digits",
        "hospitals",
        "mnist",
        "mnist-private",
        "two-hospitals",
    )
    for name in ("answers-only", "digits", "hospitals"):
        config = configuration.load(name)
        assert config.name == name
        assert len(config.silos) == 4
    assert configuration.load("hospitals").sampler == PRESETS["default"]
    with pytest.raises(ConfigError, match=r"data\.path: .*train\.npz is missing.*data\.folder"):
        configuration.load("mnist")


def test_every_fault_is_reported_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    """Unknown keys, wrong types, values out of range and missing files stand in one message."""
    text = faults(
        tmp_path,
        """
prest = "best"
[privacy]
epsilom = 4
delta = 0.5
unit = "family"
[train]
steps = 1.5
block = 51
method = "sgd"
[answers]
rows = true
[[silos]]
nam = "x"
path = "nowhere.data"
""",
    )
    for words in (
        "prest: no such key in the file. Did you mean `preset`?",
        "privacy.epsilom: no such key in [privacy]. Did you mean `epsilon`?",
        "privacy.delta = 0.5: allowed is (0, 0.1]",
        "privacy.unit = 'family': allowed is record | person",
        "train.steps = 1.5: expected int, got float",
        "train.block = 51: allowed is [1, 50]",
        "train.method = 'sgd': allowed is dp-sgd | ensemble",
        "answers.rows = True: expected int, got bool",
        "silos[0].nam: no such key in [silos[0]]. Did you mean `name`?",
        "silos[0]: `name` is missing",
    ):
        assert words in text, words
    assert text.startswith(str(tmp_path / "config.toml"))
    assert "nothing was run" in text


def test_faults_that_take_two_keys_are_reported_together(tmp_path: Path) -> None:
    """Missing files, double names, shares, overlap and steps that do not go together."""
    text = faults(
        tmp_path,
        """
device = "tpu"
[privacy]
overlap = 3
counts_share = 0.5
moments_share = 0.5
adjacency = "replace"
[sampler]
step = "anchored"
[[silos]]
name = "a"
path = "nowhere.data"
[[silos]]
name = "a"
path = "nowhere.data"
[data]
schema = "none.toml"
""",
    )
    for words in (
        "the name 'a' stands twice", "none.toml is missing", "nowhere.data is missing",
        "device = 'tpu'", "only 2 silos", "leaves nothing for DP-SGD",
        "accounted under add-or-remove and zero-out only", "an anchored sample asks one silo only",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("preset = 'fast'\n" + SILO, "preset = 'fast': allowed is default | paper | best"),
        ("preset = ['best']\n" + SILO, "preset = ['best']: expected str, got list"),
        ("silos = 3", "no silo is named"),
        ("", "no silo is named"),
        ("privacy = 3\n" + SILO, "expected a table [privacy]"),
        ("[weights]\nlabels = [1, 'x']\n" + SILO, "expected a list of positive numbers"),
        ("[weights]\nlabels = [1, 0]\n" + SILO, "expected a list of positive numbers"),
        ("[weights]\nlabels = 1\n" + SILO, "expected tuple, got int"),
        ("[privacy]\nepsilon = nan\n" + SILO, "privacy.epsilon = nan: allowed is (0, 1e+06]"),
        ("[privacy]\nepsilon = 0\n" + SILO, "privacy.epsilon = 0.0: allowed is"),
        ("[privacy]\nepsilon = inf\n" + SILO, "privacy.epsilon = inf: allowed is"),
        ("[train]\nmethod = 'ensemble'\n" + SILO, "set weights.source = 'public'"),
        ("[sampler]\nseed = -1\n" + SILO, "sampler.seed = -1: allowed is"),
        (SILO.replace("north", "../x"), "must consist of letters, digits, - and _"),
        ("folder = '/'\n" + SILO, "folder: no such key in the file"),
        ("a = [", "not a TOML file"),
        (f"[privacy]\nepsilon = 1{'0' * 400}\n" + SILO, "privacy.epsilon = "),
        (f"[train]\nsteps = 1{'0' * 400}\n" + SILO, "train.steps = "),
    ],
)
def test_a_faulty_file_gets_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    """Each names the key and what is allowed there; none is a traceback."""
    assert words in faults(tmp_path, text)


def test_a_name_that_is_no_file_gets_the_nearest_example() -> None:
    """Names what there is."""
    with pytest.raises(ConfigError, match="Did you mean `hospitals`"):
        configuration.load("hospital")
    with pytest.raises(ConfigError, match="neither a file nor an example"):
        configuration.load("nowhere/config.toml")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("privacy.epsilon=4", "privacy.epsilon", 4.0),
        ("privacy.delta=1e-6", "privacy.delta", 1e-6),
        ("privacy.unsafe_noise_seed=7", "privacy.unsafe_noise_seed", 7),
        ("sampler.absorb=false", "sampler.absorb", False),
        ("train.method=dp-sgd", "train.method", "dp-sgd"),
        ('data.split_key="2"', "data.split_key", "2"),
        ("weights.labels=[1, 2.5]", "weights.labels", (1.0, 2.5)),
        ("preset=best", "sampler.kernel", "ancestral"),
        ("data.split_key=a=b", "data.split_key", "a=b"),
    ],
)
def test_set_reads_the_type_of_the_key(override: str, path: str, value: Any) -> None:
    """Numbers, flags, lists and bare words each arrive as what the setting is."""
    found: Any = configuration.load("hospitals", [override])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("privacy.epsilon", "expected section.key=value"),
        ("=4", "expected section.key=value"),
        ("silos.epsilon=4", "`silos` is no section"),
        ("privacy.epsilon=many", "privacy.epsilon = 'many': expected float, got str"),
        ("privacy.epsilonn=4", "Did you mean `epsilon`"),
        ("train.steps=2.0", "train.steps = 2.0: expected int, got float"),
        ("name.x=4", "`name` is no section"),
    ],
)
def test_a_faulty_set_names_itself(override: str, words: str) -> None:
    """An override is as strict as the file, and says which one it was."""
    with pytest.raises(ConfigError) as caught:
        configuration.load("hospitals", [override])
    assert words in str(caught.value)


def test_a_section_best_overrides_the_preset_for_the_extra_pass_only() -> None:
    """Without one it is the preset with the run's seed; the asked-for pass keeps its sampler."""
    plain = configuration.load("hospitals", ["sampler.seed=7"])
    assert plain.best == dataclasses.replace(PRESETS["best"], seed=7)
    blended = ["best.step=blend", "best.energy=uniform", "best.levels=9"]
    config = configuration.load("hospitals", [*blended, "sampler.seed=7"])
    changes: dict[str, Any] = {"step": "blend", "energy": "uniform", "levels": 9, "seed": 7}
    assert config.best == dataclasses.replace(PRESETS["best"], **changes)
    assert config.sampler == dataclasses.replace(PRESETS["default"], seed=7)
    assert configuration.load("hospitals", ["sampler.seed=7", "best.seed=3"]).best.seed == 3


def test_the_preset_best_starts_from_the_section_best() -> None:
    """One pass then, by what [best] says; [sampler] has the last word."""
    chosen = ["preset=best", "best.step=blend", "best.levels=9", "best.seed=5"]
    config = configuration.load("hospitals", chosen)
    assert config.sampler == dataclasses.replace(PRESETS["best"], step="blend", levels=9, seed=5)
    assert configuration.load("hospitals", [*chosen, "sampler.levels=4"]).sampler.levels == 4


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("best.energy=released", "best.energy = 'released': an anchored sample asks one silo only"),
        ("best.step=mix", "best.order = 2 with step = 'mix': the answer before came from another"),
        ("best.step=bland", "best.step = 'bland': allowed is blend | mix | anchored"),
        ("best.stop=1", "Did you mean `step`"),
        ("best=1", "best: expected a table [best], got 1"),
    ],
)
@pytest.mark.parametrize("preset", ["default", "best"])
def test_a_faulty_section_best_is_refused(override: str, words: str, preset: str) -> None:
    """As strict as every other section, whichever pass reads it."""
    with pytest.raises(ConfigError) as caught:
        configuration.load("hospitals", [f"preset={preset}", override])
    assert caught.value.args[0].count(words) == 1


def test_steps_without_noise_cannot_tell_silos_apart() -> None:
    """Path energies of DDIM's steps would stay where they began; a little noise is enough."""
    chosen = ["best.eta=0", "best.step=blend", "preset=best"]
    with pytest.raises(ConfigError, match=r"eta = 0 with energy = 'path'.*at their prior"):
        configuration.load("hospitals", chosen)
    configuration.load("hospitals", [*chosen, "best.eta=0.1"])
    configuration.load("hospitals", [*chosen, "best.energy=uniform"])
    configuration.load("hospitals", ["best.eta=0"])  # anchored: a row has its silo


def values(field: dataclasses.Field[Any], hint: str) -> st.SearchStrategy[Any]:
    """Any value that a setting allows, by its type and its range."""
    allowed = field.metadata.get("allowed")
    words = "" if allowed is None else allowed.words
    ends = (
        [float(end) for end in words.strip("[]()").split(", ")]
        if words.startswith(("[", "("))
        else []
    )
    if "tuple" in hint or hint in ("str", "Path"):
        return st.sampled_from(words.split(" | ") if "|" in words else [field.default])
    if hint == "bool":
        return st.booleans()
    low, high = ends or (-(2**62), 2**62)
    if "int" in hint:
        found: st.SearchStrategy[Any] = st.integers(int(low), min(int(high), 2**62))
    else:
        found = st.floats(low, high)
    return st.one_of(st.just(field.default), found.filter(allowed.test if allowed else bool))


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8).filter(
    lambda name: name.strip("-_") != ""
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A whole configuration over the hospitals' files, any values inside their ranges."""
    base = configuration.load("hospitals")
    sections: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        section = getattr(base, field.name)
        if dataclasses.is_dataclass(section) and not isinstance(section, type):
            chosen = {
                entry.name: draw(values(entry, str(entry.type)))
                for entry in dataclasses.fields(section)
                if draw(st.booleans())
            }
            sections[field.name] = dataclasses.replace(section, **chosen)
    silos = tuple(
        SiloSettings(
            name, base.silos[place].path, draw(st.floats(1, 1e6)),
            draw(st.one_of(st.none(), st.floats(1e-3, 1e3))), draw(st.floats(1e-3, 1e3)),
        )
        for place, name in enumerate(
            draw(st.lists(NAMES, min_size=1, max_size=3, unique_by=str.casefold))
        )
    )  # fmt: skip
    labels = tuple(draw(st.lists(st.floats(1e-9, 1e9), max_size=3)))
    fitting: dict[str, dict[str, Any]] = {
        "weights": {"labels": labels},
        "data": {"split_key": draw(TEXTS)},
        "privacy": {"overlap": len(silos), "counts_share": 0.1 + 0.2, "adjacency": "zero-out"},
        "train": {"method": "dp-sgd"},
        "base": {
            "combine": "none",
            "clusters": 1,
            "marginals_share": 0.0,
            "origin_share": 0.0,
            "origin_radius": 0.0,
        },
        "pretrain": {"steps": 0},
        "sampler": {"energy": "path", "order": 1, "eta": 0.1 + 0.2},
        "best": {"energy": "uniform", "step": draw(st.sampled_from(["blend", "anchored"]))},
    }
    fitting["privacy"]["moments_share"] = 0.5
    for name, changes in fitting.items():
        sections[name] = dataclasses.replace(sections[name], **changes)
    return dataclasses.replace(
        base, name=draw(NAMES), preset=draw(st.sampled_from(sorted(PRESETS))), silos=silos,
        device=draw(st.sampled_from(["auto", "cpu", "cuda"])), **sections,
    )  # fmt: skip


@settings(max_examples=20)
@given(configs())
def test_what_is_dumped_is_read_back(config: Config) -> None:
    """`load(dump(config)) == config` for every configuration that could be loaded at all: floats
    to the last bit, any text in any place, absolute paths and silos with budgets of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(resolved.dump(resolved.absolute(config)), encoding="utf-8")
        again = configuration.load(str(path))
    expected = dataclasses.replace(resolved.absolute(config), folder=again.folder)
    assert again == expected


def test_absolute_paths_find_the_same_files_from_anywhere() -> None:
    """The resolved configuration of a run folder names the files that were read."""
    config = configuration.load("answers-only")
    anywhere = dataclasses.replace(resolved.absolute(config), folder=Path("/"))
    assert anywhere.path(anywhere.data.schema) == config.path(config.data.schema)
    for one, other in zip(config.silos, anywhere.silos, strict=True):
        assert config.path(one.path) == anywhere.path(other.path)


def test_a_resumed_run_must_have_the_same_configuration(tmp_path: Path) -> None:
    """Another epsilon, another seed: refused, the folder untouched; the same one is taken."""
    config = configuration.load("hospitals")
    folders.start(tmp_path / "run", config, resume=False)
    before = (tmp_path / "run" / "config.toml").read_bytes()
    for change in ("privacy.epsilon=9", "sampler.seed=2", "silos.0=1", "answers.mu=1"):
        if change.startswith("silos"):
            silos = (*config.silos[1:], config.silos[0])
            other = dataclasses.replace(config, silos=silos)
        else:
            other = configuration.load("hospitals", [change])
        with pytest.raises(RunError, match="another configuration") as refused:
            folders.start(tmp_path / "run", other, resume=True)
        assert refused.value.exit_code == 2
    assert (tmp_path / "run" / "config.toml").read_bytes() == before
    folders.start(tmp_path / "run", config, resume=True)


def test_a_folder_that_is_in_use_or_holds_no_run_is_refused(tmp_path: Path) -> None:
    """A second run would mix with the first; nothing to resume is no run."""
    config = configuration.load("hospitals")
    folders.start(tmp_path / "run", config, resume=False)
    with pytest.raises(RunError, match="not empty"):
        folders.start(tmp_path / "run", config, resume=False)
    with pytest.raises(RunError, match="no run to resume"):
        folders.start(tmp_path / "other", config, resume=True)


def test_defaults_lie_in_their_own_ranges() -> None:
    """Every default, and every preset, passes the test that the file's values must pass."""
    sections: list[Any] = [getattr(configuration.load("hospitals"), f.name)
                           for f in dataclasses.fields(Config)]  # fmt: skip
    for section in [*sections, *PRESETS.values()]:
        if dataclasses.is_dataclass(section) and not isinstance(section, type):
            for field in dataclasses.fields(section):
                value = getattr(section, field.name)
                allowed = field.metadata.get("allowed")
                assert allowed is None or value is None or allowed.test(value), field.name
                assert not (isinstance(value, float) and math.isnan(value))


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        ("", ()),
        ('baselines = "all"', TRAINED_BASELINES),
        ('baselines = ["all"]', TRAINED_BASELINES),
        ('baselines = ["paper", "fedavg"]', ("fedavg", "paper")),
        ('baselines = "pooled"', ("pooled",)),
        ("baselines = []", ()),
    ],
)
def test_trained_baselines_are_asked_for_by_name(
    text: str, trained: tuple[str, ...], tmp_path: Path
) -> None:
    """A list, one name alone, or all; none by default; what is dumped asks for the same."""
    config = configuration.load(written(tmp_path, f"{SILO}\n[evaluate]\n{text}\n[data]\n{SCHEMA}"))
    assert config.evaluate.trained == trained
    again = written(tmp_path, resolved.dump(resolved.absolute(config)), "again.toml")
    assert configuration.load(again).evaluate == config.evaluate


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("evaluate.baselines=fedagv", "evaluate.baselines: there is no 'fedagv'. Did you mean `fe"),
        ('evaluate.baselines=["all", "papers"]', "there is no 'papers'. Did you mean `paper`?"),
        ("evaluate.baselines=xyz", "there is no 'xyz'. Known: fedavg, pooled, paper, all."),
        ("evaluate.baselines=3", "evaluate.baselines = 3: expected a list of texts"),
        ("evaluate.groups=sex", "evaluate.groups = 'sex': expected a list of texts"),
    ],
)
def test_a_baseline_that_nobody_knows_is_a_fault(override: str, words: str, tmp_path: Path) -> None:
    """The nearest known name is said; a list without known names still needs its brackets."""
    assert words in faults(tmp_path, SILO, override)


def test_a_configuration_that_names_only_what_it_must_resumes(tmp_path: Path) -> None:
    """What is written into the run folder has the digest of what was read, defaults included."""
    examples = Path(configuration.__file__).parent / "examples" / "hospitals"
    path = tmp_path / "least.toml"
    path.write_text(
        f'name = "least"\n[data]\nschema = "{examples}/schema.toml"\n'
        f'[[silos]]\nname = "va"\npath = "{examples}/data/processed.va.data"\n'
    )
    config = configuration.load(str(path))
    stored = tmp_path / "config.toml"
    stored.write_text(resolved.dump(resolved.absolute(config)))
    assert resolved.digest(configuration.load(str(stored))) == resolved.digest(config)


@pytest.mark.parametrize("anchors", ["anchors", "/elsewhere/anchors", "~/anchors", ""])
def test_the_folder_of_anchors_is_stored_so_that_it_is_found_from_anywhere(anchors: str) -> None:
    """Relative to the configuration, or to the home folder; empty stays empty."""
    config = configuration.load("hospitals", [f"privacy.anchors={anchors}"])
    stored = resolved.absolute(config).privacy.anchors
    assert stored == "" if not anchors else Path(stored).is_absolute()
    assert "~" not in stored
    assert resolved.absolute(resolved.absolute(config)) == resolved.absolute(config)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("base.clusters=3", "base.combine=pool"), "pooled silos have their own"),
        (("base.combine=sum", "weights.source=public"), "how many records of a label"),
        (("base.clusters=3", "base.combine=sum"), "directions of its own"),
        (("base.marginals_share=0.1", "weights.source=public"), "drawn by released counts"),
        (("pretrain.steps=5",), "samples of one released base train"),
        (("pretrain.steps=5", "base.combine=sum", "network.kind=none"), "and a network.kind"),
        (("train.method=ensemble", "weights.source=public", "base.combine=sum"), "release no sums"),
        (("base.origin_share=0.1",), "base.origin_radius and base.residual_radius"),
        (("base.origin_share=0.1", "base.residual_radius=2"), "base.origin_radius and"),
        (("base.origin_share=0.6", "base.means_share=0.4"), "nothing is left for second moments"),
    ],
)
def test_bases_that_cannot_be_made_are_faults(overrides: tuple[str, ...], words: str) -> None:
    """Each says what is missing and names the setting that mends it."""
    with pytest.raises(ConfigError, match=words):
        configuration.load("hospitals", overrides)


def test_a_preset_changes_whole_sections_and_set_has_the_last_word() -> None:
    """[presets.best.base] is over [base], `--set` over both; other presets do not see it."""
    default, best = (configuration.load("digits", [f"preset={p}"]) for p in ("default", "best"))
    assert (default.base.combine, default.network.kind) == ("none", "mlp")
    assert (best.base.combine, best.network.kind) == ("pool", "none")
    assert best.base.clip_radius == default.base.clip_radius
    asked = configuration.load("digits", ["base.combine=none", "preset=best"])
    assert asked.base.combine == "none"
    assert asked.network.kind == "none"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[presets.bets.base]\ncombine = 'sum'", "presets.bets: "),
        ("[presets]\nbest = 3", "presets.best: "),
        ("[presets.best.base]\ncombin = 'sum'", "base.combin: no such key"),
    ],
)
def test_faulty_presets_are_refused(table: str, words: str, tmp_path: Path) -> None:
    """Unknown presets, values in place of sections, and unknown keys of a section."""
    example = Path(str(files("dpfedsyn") / "examples/hospitals"))
    text = (example / "config.toml").read_text(encoding="utf-8").split("[presets")[0]
    text = text.replace('"schema.toml"', f'"{example / "schema.toml"}"')
    text = text.replace('"data/', f'"{example}/data/').replace('"default"', '"best"')
    with pytest.raises(ConfigError, match=re.escape(words)):
        configuration.load(written(tmp_path, text + table))
