"""What a server can send moves nobody to read a model or to import code: only a silo's settings."""

import dataclasses
import importlib
import typing
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import brought as reading
from dpfedsyn import config as configuration
from dpfedsyn import envelope, messages
from dpfedsyn.daemon import process
from dpfedsyn.daemon.resident import Resident
from dpfedsyn.envelope import Ask, Combine, Describe, Health, Released
from dpfedsyn.messages import Packed
from dpfedsyn.resolved import with_places
from tests.dpfedsyn import brought
from tests.dpfedsyn.test_silo import query
from tests.end_to_end.test_brought import ENCODER, FEW, silo, written

NAMES = st.sampled_from(["tests.dpfedsyn.brought:Twice", "model.json", "/etc/passwd", "../x", ""])


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resident]:
    """A silo in its process, ready, with the model that its own side named."""
    folder = tmp_path_factory.mktemp("brought")
    brought.declared(folder, [ENCODER.dimension])
    (folder / "model.json").rename(folder / "here.json")
    config = written(folder, silo("a", model="elsewhere.json"), public=True)
    loaded = configuration.load(str(config), [*FEW], records=False)
    home = process.open_home(
        with_places(loaded, "a", model=folder / "here.json"), "a", folder / "home"
    )
    resident = home.resident()
    with process._made(home, resident) as member:
        resident.member = member
        yield resident


def reply(serving: Resident, data: bytes) -> envelope.Reply:
    """What it replies, where reading a model or importing a module would fail the test."""

    def note(name: object, *_: object, **__: object) -> None:
        raise AssertionError(f"a message led to {name}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "read", note)
        patched.setattr(importlib, "import_module", note)
        return envelope.reply(serving.handle(data))


SAMPLES = {"x": np.zeros((2, ENCODER.dimension), np.float32), "labels": np.array([0, 1])}
REQUESTS = st.one_of(
    st.just(Health()),
    st.just(Describe()),
    st.builds(Ask, st.binary(max_size=60)),
    NAMES.map(lambda name: Ask(messages.encode_query(query(run=name)))),
    st.integers(1, 99).map(
        lambda number: Ask(
            messages.encode_query(query(run="brought", round_number=number, **SAMPLES))
        )
    ),
    st.builds(Combine, st.just(()), NAMES),
    st.builds(
        Combine,
        st.lists(st.just(Released(Packed("<f8", (1,), bytes(8)), Packed("<f8", (1,), bytes(8)))),
                 max_size=2).map(tuple),
        NAMES,
    ),
)  # fmt: skip


@given(request=REQUESTS)
def test_no_message_leads_to_a_model_or_to_code(
    request: envelope.Request, serving: Resident
) -> None:
    """Whatever is asked, and with whatever names in it: a reply, and nothing is opened."""
    assert isinstance(reply(serving, envelope.encode(request)), envelope.Reply)


@given(data=st.binary(max_size=200))
def test_no_bytes_lead_to_a_model_or_to_code(data: bytes, serving: Resident) -> None:
    """Nor do bytes that are no message."""
    assert isinstance(reply(serving, data), envelope.Refused)


def test_a_question_is_answered_by_the_model_that_was_read_before(serving: Resident) -> None:
    """Which is what the tests above would miss if everything were refused."""
    one = query(run="brought", round_number=100, score_std=500.0, energy_std=None, **SAMPLES)
    answered = reply(serving, envelope.encode(Ask(messages.encode_query(one))))
    assert isinstance(answered, envelope.Answered)


def test_no_request_has_a_field_for_a_path_or_a_module() -> None:
    """Words in requests are compared with the silo's own: the run's name, and what was agreed."""
    words = set()
    for kind in typing.get_args(envelope.Request):
        hints = typing.get_type_hints(kind)
        words |= {f"{kind.__name__}.{name}" for name, hint in hints.items() if hint is str}
    hints = typing.get_type_hints(messages.ScoreQuery)
    words |= {f.name for f in dataclasses.fields(messages.ScoreQuery) if hints[f.name] is str}
    assert words == {"Combine.agreed", "run"}
