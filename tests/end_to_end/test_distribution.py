"""What `pip install` brings: sdist and wheel hold the packages whole, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.end_to_end.small import ROOT

PACKAGES = ("accountants", "dpfedsyn")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def source() -> set[str]:
    """Return every file of the two packages."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def python(*arguments: object, cwd: Path, program: Path | str = sys.executable) -> str:
    """Run Python without this process's path, and return what it printed."""
    known = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran = subprocess.run(
        [str(program), *map(str, arguments)],
        cwd=cwd, env={**known, "COLUMNS": "120"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made of it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info", "results")
    for name in (*PACKAGES, "benchmarks", "docs", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=junk)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    python("-m", "build", "--outdir", folder, tree, cwd=folder)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_packages_whole_and_nothing_else(built: Path) -> None:
    """Code, `py.typed`, schemas, examples, templates, proofs; no test, benchmark or cache."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == source()
    wanted = {"accountants/py.typed", "dpfedsyn/py.typed", "dpfedsyn/report/report.html.j2"}
    assert wanted | {"dpfedsyn/examples/hospitals/schema.toml"} <= names


@pytest.mark.slow
def test_the_sdist_holds_what_a_wheel_is_made_of(built: Path) -> None:
    """Beside the packages: project file, README and licence; no records of a test."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {m.name.partition("/")[2] for m in sdist.getmembers() if m.isfile()}
    made = {name for name in names if name.startswith("dpfedsyn.egg-info/")}
    assert names - made - source() == {
        "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg",
    }  # fmt: skip
    assert source() <= names


@pytest.mark.slow
def test_the_wheel_installs_and_plans(built: Path, tmp_path: Path) -> None:
    """In a fresh environment over the packages there are; from outside the source."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    own = tmp_path / "venv" / "bin"
    get = "import sysconfig; print(sysconfig.get_path('purelib'))"
    (home,) = python("-c", get, cwd=tmp_path, program=own / "python").split()
    (there,) = python("-c", get, cwd=tmp_path).split()
    (Path(home) / "over.pth").write_text(there + "\n")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed")
    python(*install, wheel, cwd=tmp_path, program=own / "python")
    where = python("-c", "import dpfedsyn as d; print(d.__file__)", cwd=tmp_path,
                   program=own / "python")  # fmt: skip
    assert where.startswith(str(tmp_path))
    assert "epsilon" in python("plan", "hospitals", cwd=tmp_path, program=own / "dpfedsyn")


@pytest.mark.slow
def test_the_wheel_runs_on_the_oldest_versions(built: Path, tmp_path: Path) -> None:
    """In an environment of its own, from plan to audit. But torch: its oldest release brings
    gigabytes of CUDA libraries, so `.ci/oldest` is left to whoever changes that bound."""
    (wheel,) = built.glob("*.whl")
    pins = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    known = [line for line in pins if not line.startswith(("#", "torch=="))]
    (tmp_path / "pins.txt").write_text("\n".join(known), encoding="utf-8")
    venv.create(tmp_path / "venv", with_pip=True)
    own = tmp_path / "venv" / "bin"
    install = ("-m", "pip", "install", "--quiet", "-c", tmp_path / "pins.txt")
    python(*install, wheel, cwd=tmp_path, program=own / "python")
    listed = python("-m", "pip", "list", "--format=freeze", cwd=tmp_path, program=own / "python")
    there = dict(line.lower().replace("_", "-").split("==") for line in listed.split())
    for line in known:
        name, wanted = line.split("==")
        assert (there[name] + ".").startswith(wanted + "."), line
    small = ("answers.rows=60", "train.steps=4", "best.levels=4", "evaluate.enabled=false")
    chosen = [part for setting in small for part in ("--set", setting)]
    command = own / "dpfedsyn"
    python("run", *chosen, "--out", "r1", cwd=tmp_path, program=command)
    assert "CONSISTENT" in python("audit", "r1", cwd=tmp_path, program=command)
    python("export", "r1", "for-others", cwd=tmp_path, program=command)


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """`.ci/oldest.txt` pins each dependency to what pyproject.toml says is the oldest."""
    bounds = {
        found[1]: found[2]
        for found in (re.match(r"([\w-]+)>=([\d.]+)", text) for text in PROJECT["dependencies"])
        if found is not None
    }
    assert len(bounds) == len(PROJECT["dependencies"])
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned == bounds


def test_the_citation_names_the_version() -> None:
    """CITATION.cff, pyproject.toml and the package say the same."""
    import yaml

    import dpfedsyn

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["title"] == PROJECT["name"]
    assert cited["version"] == PROJECT["version"] == dpfedsyn.__version__
    assert cited["license"] == PROJECT["license"]
