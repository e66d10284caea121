"""What `dpfedsyn init` writes: an app without code of its own, certificates that hold together."""

import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dpfedsyn import __version__, resolved
from dpfedsyn import config as configuration
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.flower import app, security
from tests.end_to_end.small import call


def test_the_app_names_our_components_and_the_run_by_absolute_paths(tmp_path: Path) -> None:
    """Flower starts it elsewhere; what it ships to sites is one import."""
    config = tmp_path / "own.toml"
    config.touch()
    files = app.write(tmp_path / "My app", str(config), Path("out"))
    written = tomllib.loads((tmp_path / "My app" / "pyproject.toml").read_text())
    assert written["project"]["name"] == "my-app"
    assert written["project"]["dependencies"][0] == f"dpfedsyn[flower]=={__version__}"
    components = written["tool"]["flwr"]["app"]["components"]
    assert components == {"serverapp": "server_app:app", "clientapp": "client_app:app"}
    settings = written["tool"]["flwr"]["app"]["config"]
    assert settings["config"] == str(config)
    assert Path(settings["out"]).is_absolute()
    client = (tmp_path / "My app" / "client_app.py").read_text()
    assert [line for line in client.splitlines() if "import" in line] == [
        "from dpfedsyn.flower.client import app"
    ]
    shipped = written["tool"]["flwr"]["app"]["fab-include"]
    assert shipped == ["server_app.py", "client_app.py"]  # no run, no key
    assert {file.name for file in files} == {"pyproject.toml", "server_app.py", "client_app.py"}


def test_an_example_is_named_as_it_is(tmp_path: Path) -> None:
    """It is in the package on the server too."""
    app.write(tmp_path / "app", "hospitals", Path("out"))
    text = (tmp_path / "app" / "pyproject.toml").read_text()
    assert tomllib.loads(text)["tool"]["flwr"]["app"]["config"]["config"] == "hospitals"


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """Neither the app nor keys are written over anything."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "notes").touch()
    with pytest.raises(RunError, match="not empty"):
        app.write(tmp_path / "app", "hospitals", Path("out"))
    with pytest.raises(RunError, match="no key was written"):
        security.write(tmp_path / "app", ["a"])
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["notes"]


def test_certificates_hold_together_and_keys_are_the_owner_s(tmp_path: Path) -> None:
    """The server's certificate is the authority's and names its address; keys are P-384, 0600."""
    folder = tmp_path / "federation"
    files = security.write(folder, ["va", "cleveland"], hosts=["127.0.0.1", "server.example"])
    assert len(files) == 7
    root = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())
    server.verify_directly_issued_by(root)
    with pytest.raises(ValueError, match="Issuer"):
        root.verify_directly_issued_by(server)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["server.example"]
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    days = (server.not_valid_after_utc - server.not_valid_before_utc).days
    assert days == security.DAYS
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == server.public_key()
    for path in files:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o600 if path.suffix == ".key" else 0o644), path
    own = serialization.load_ssh_private_key((folder / "va.key").read_bytes(), None)
    public = serialization.load_ssh_public_key((folder / "va.pub").read_bytes())
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    assert own.curve.name == "secp384r1"
    assert own.public_key() == public


@pytest.mark.parametrize(
    "address",
    ["localhost", "localhost:", ":8000", "a:0", "a:65536", "::1:8000", "[a]:1", "ä:1", ""],
)
@pytest.mark.parametrize("secure", [(), ("--secure",)])
def test_an_address_that_is_none_is_refused_before_anything_is_written(
    address: str, secure: tuple[str, ...], tmp_path: Path
) -> None:
    """One error, and the same command with an address writes the app."""
    refused = call("init", "flower", tmp_path / "app", *secure, "--address", address)
    assert refused.exit_code == 2
    assert "HOST:PORT" in refused.output
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    ("address", "ips", "names"),
    [
        ("[::1]:8000", ["::1"], []),
        ("10.0.0.7:9000", ["10.0.0.7"], []),
        ("server.example:8000", [], ["server.example"]),
    ],
)
def test_the_certificate_names_the_address_without_its_port(
    address: str, ips: list[str], names: list[str], tmp_path: Path
) -> None:
    """An IPv6 address is an address there, not a name in brackets."""
    home = tmp_path / "app" / "federation"
    written = call("init", "flower", tmp_path / "app", "--secure", "--address", address)
    assert written.exit_code == 0, written.output
    server = x509.load_pem_x509_certificate((home / "server.crt").read_bytes())
    known = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in known.get_values_for_type(x509.IPAddress)] == ips
    assert known.get_values_for_type(x509.DNSName) == names
    local = tomllib.loads((home / "config.toml").read_text())["superlink"]["local"]
    assert local["address"] == address


def test_keys_are_pinned_under_the_silos_names(tmp_path: Path) -> None:
    """As Flower keeps them; one that is missing, or is two silos', is refused by name."""
    security.write(tmp_path / "keys", ["a", "b"])
    found = security.pinned(tmp_path / "keys", ["b", "a"])
    assert list(found) == ["b", "a"]
    own = serialization.load_ssh_private_key((tmp_path / "keys" / "b.key").read_bytes(), None)
    assert serialization.load_pem_public_key(found["b"]) == own.public_key()
    with pytest.raises(ConfigError, match=r"c\.pub: holds no public key"):
        security.pinned(tmp_path / "keys", ["a", "c"])
    (tmp_path / "keys" / "b.pub").write_bytes((tmp_path / "keys" / "a.pub").read_bytes())
    with pytest.raises(ConfigError, match="a, b have one key"):
        security.pinned(tmp_path / "keys", ["a", "b"])


def test_an_app_names_the_keys_that_are_pinned(tmp_path: Path) -> None:
    """Those that `--secure` writes, or the operator's; none where there are none."""
    for name, more, keys in (
        ("own", ("--secure",), str(tmp_path / "own" / "federation")),
        ("theirs", ("--keys", tmp_path / "keys"), str(tmp_path / "keys")),
        ("both", ("--secure", "--keys", tmp_path / "keys"), str(tmp_path / "keys")),
        ("open", (), ""),
    ):
        assert call("init", "flower", tmp_path / name, *more).exit_code == 0
        text = (tmp_path / name / "pyproject.toml").read_text()
        assert tomllib.loads(text)["tool"]["flwr"]["app"]["config"]["keys"] == keys


def test_a_job_is_written_over_nothing_and_not_into_its_run(tmp_path: Path) -> None:
    """A second one is refused, and so is one whose folder would be the run's own."""
    folder = tmp_path / "jobs"
    assert call("init", "nvflare", folder, "--site", "va").exit_code == 0
    meta = (folder / "hospitals" / "meta.json").read_text()
    again = call("init", "nvflare", folder, "--site", "cleveland")
    assert again.exit_code == 2
    assert "no job was written" in again.output
    assert (folder / "hospitals" / "meta.json").read_text() == meta
    named = tmp_path / "run.toml"
    loaded = replace(resolved.absolute(configuration.load("hospitals")), name="run")
    named.write_text(resolved.dump(loaded))
    for out in ((), ("--out", tmp_path / "new" / "run" / "x"), ("--out", tmp_path / "new")):
        refused = call("init", "nvflare", tmp_path / "new", "--config", named, *out)
        assert refused.exit_code == 2
        assert "Give another --out" in refused.output
        assert not (tmp_path / "new").exists()
    other = call(
        "init", "nvflare", tmp_path / "new", "--config", named, "--out", tmp_path / "elsewhere"
    )
    assert other.exit_code == 0


def test_init_writes_what_it_says(tmp_path: Path) -> None:
    """From the command line: the app, its keys, and a job of NVFlare."""
    secure = call("init", "flower", tmp_path / "app", "--secure")
    assert secure.exit_code == 0, secure.output
    assert (tmp_path / "app" / "federation" / "va.key").is_file()
    written = tomllib.loads((tmp_path / "app" / "federation" / "config.toml").read_text())
    assert written["superlink"]["local"] == {
        "address": "127.0.0.1:8000",
        "root-certificates": str(tmp_path / "app" / "federation" / "ca.crt"),
    }
    again = call("init", "flower", tmp_path / "app")
    assert again.exit_code == 2
    assert "not empty" in again.output
    job = call("init", "nvflare", tmp_path / "jobs", "--site", "va", "--site", "cleveland")
    assert job.exit_code == 0, job.output
    meta = (tmp_path / "jobs" / "hospitals" / "meta.json").read_text()
    assert '"va"' in meta
    assert '"hungarian"' not in meta
    unknown = call("init", "flower", tmp_path / "other", "--config", "nowhere")
    assert unknown.exit_code == 2
    assert not (tmp_path / "other").exists()
