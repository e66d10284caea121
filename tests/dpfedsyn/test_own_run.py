"""A configuration for one's own files: it runs as it is, and says what has to be looked at."""

from importlib.resources import files
from pathlib import Path

import pytest

from dpfedsyn import config, own_run
from dpfedsyn import plan as planning
from dpfedsyn.errors import ConfigError
from tests.dpfedsyn.test_units import clinic
from tests.end_to_end.small import call

HOSPITALS = Path(str(files("dpfedsyn") / "examples" / "hospitals"))


@pytest.mark.parametrize("unit", ["record", "person"])
def test_it_is_a_configuration_that_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """With a silo for each file, the schema's unit, and defaults that are those of the settings."""
    naming = 'person_column = "patient"' if unit == "person" else 'drop = ["patient"]'
    for name in ("north", "south"):
        clinic(tmp_path, naming=naming).rename(tmp_path / f"{name}.csv")
    monkeypatch.chdir(tmp_path)
    printed = call("init", "run", "north.csv", "south.csv")
    assert printed.exit_code == 0, printed.output
    (tmp_path / "own.toml").write_text(printed.output)
    made = config.load("own.toml")
    assert [silo.name for silo in made.silos] == ["north", "south"]
    assert made.privacy.unit == unit
    assert f"about how many {unit}s, as the public knows it; never the count" in printed.output
    assert planning.make(made).fits


def test_what_it_writes_are_defaults(tmp_path: Path) -> None:
    """A key that is written has the value that it would have without."""
    (tmp_path / "schema.toml").touch()
    place, bare = tmp_path / "c.toml", 'name = "own"\n[[silos]]\nname = "a"\npath = "a.csv"\n'
    place.write_text(own_run.text("own", "schema.toml", {"a": "a.csv"}))
    written = config.load(str(place), records=False)
    place.write_text(bare)
    assert written == config.load(str(place), records=False)


def test_files_that_cannot_be_silos_are_said(tmp_path: Path) -> None:
    """No such file, two of one name, no schema: exit 2, nothing printed."""
    (tmp_path / "x").mkdir()
    for place in (tmp_path / "a.csv", tmp_path / "x" / "a.csv"):
        place.write_text("age\n1\n")
    with pytest.raises(ConfigError, match="both would be silo 'a'"):
        own_run.silos_of([tmp_path / "a.csv", tmp_path / "x" / "a.csv"])
    with pytest.raises(ConfigError, match="no such file"):
        own_run.silos_of([tmp_path / "b.csv"])
    refused = call("init", "run", tmp_path / "a.csv", "--schema", tmp_path / "none.toml")
    assert refused.exit_code == 2
    assert "dpfedsyn schema draft FILE" in refused.output
