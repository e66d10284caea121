"""What a run's server has heard of its silos, kept in the run's folder from before the first round.

`described.json` holds what each silo had released and spent then; `questions.jsonl` a line for each
question before it is sent, and for each reply: so a server that is started again knows a silo that
came back as another, and can say of one that never came back what it may have been charged.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import msgspec

from dpfedsyn import checkpoint, topups
from dpfedsyn.agreement import ROUNDED_UP, require_described, require_one_ledger, require_spent
from dpfedsyn.engine import Engine
from dpfedsyn.envelope import Description, Spent
from dpfedsyn.errors import RunError
from dpfedsyn.folder import RunFolder
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.plan import Plan
from dpfedsyn.released import Charged, LastHeard

DESCRIBED, QUESTIONS = "described.json", "questions.jsonl"


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who is about to be asked in a round, or what a silo's ledger held with its reply.

    Attributes:
        round: counted over all passes; 0: of a description.
    """

    round: int
    sent: tuple[str, ...] = ()
    heard: dict[str, Spent] = {}


class Roster:
    """The silos of a run, as they were described, asked and heard.

    Raises:
        RunError: a file of the folder is damaged.
    """

    def __init__(self, plan: Plan, folder: RunFolder) -> None:
        self._plan = plan
        self._costs = topups.round_costs(plan, topups.read(folder.path))
        self._described, self._questions = folder.path / DESCRIBED, folder.path / QUESTIONS
        self.described: dict[str, Description] = {}
        self._sent: dict[str, set[int]] = {name: set() for name in plan.budgets}
        self._answered: dict[str, set[int]] = {name: set() for name in plan.budgets}
        self._spent: dict[str, Spent] = {}
        self._read()

    def keep(self, found: Mapping[str, Description]) -> None:
        """Keep what all silos have released, before anything is asked about samples."""
        text = msgspec.json.format(msgspec.json.encode(dict(found)), indent=2)
        checkpoint.write_bytes(self._described, text + b"\n")
        self._describe(found)

    def sent(self, number: int, names: Sequence[str]) -> None:
        """Keep durably that silos are about to be asked in a round."""
        new = [name for name in names if number not in self._sent[name]]
        if new:
            self._append(_Line(number, sent=tuple(new)))
            for name in new:
                self._sent[name].add(number)

    def heard(self, name: str, number: int, spent: Spent) -> None:
        """Keep what a silo's ledger held with its answer in a round.

        Raises:
            ProtocolMismatch: it is another ledger than before, or no ledger can hold that.
        """
        require_spent(self._plan, name, self.described[name], spent)
        self._append(_Line(number, heard={name: spent}))
        self._hear(name, number, spent)

    def met(self, name: str, silo: Description) -> None:
        """Take a silo's description now, after others.

        Raises:
            ProtocolMismatch: it is another silo than before, or not of this run.
        """
        before = self.described[name]
        require_described(self._plan, name, silo, silo.base)
        require_one_ledger(name, before, silo, self._spent[name].answers)
        self.heard(name, 0, silo.spent)

    def spent(self) -> dict[str, Spent]:
        """What each silo's ledger held when it was last heard."""
        return dict(self._spent)

    def charged(self, name: str, now: Description | None) -> Charged:
        """What a silo's ledger has charged, for the statement.

        Args:
            now: how it stands at the end of the run; None: it is not there.

        Guarantee:
            Never less than the ledger's answers: of a silo that is not there, every question that
            it was sent and never answered is counted as charged, at the planned cost of its round.
        """
        if now is not None:
            return _charged(now, now.spent)
        budget, spent, before = self._plan.budgets[name], self._spent[name], self.described[name]
        unheard = self._sent[name] - self._answered[name]
        more = ROUNDED_UP * math.fsum(self._costs[number - 1] for number in unheard)
        # The ledger itself refuses beyond its caps.
        mu2, record = min(budget.answers_mu**2, spent.answers_mu2 + more), spent.record_mu2
        if budget.record_mu is not None and record is not None:
            record = min(budget.record_mu**2, record + budget.at_record_level(more))
        bound = Spent(mu2, record, spent.answers + len(unheard), spent.ledger_id, spent.ledger_head)
        last = LastHeard(max(self._answered[name], default=0), len(unheard))
        return _charged(before, bound, last)

    def _describe(self, found: Mapping[str, Description]) -> None:
        self.described = {name: found[name] for name in self._plan.budgets}
        self._spent = {name: silo.spent for name, silo in self.described.items()}

    def _hear(self, name: str, number: int, spent: Spent) -> None:
        if number:
            self._answered[name].add(number)
        if spent.answers >= self._spent[name].answers:  # a late reply may be of an earlier moment
            self._spent[name] = spent

    def _append(self, line: _Line) -> None:
        self._questions.touch(mode=0o600)
        with self._questions.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            if line.sent:  # a reply that is lost is counted as charged; a question must not be lost
                file.flush()
                os.fsync(file.fileno())

    def _read(self) -> None:
        try:
            if self._described.exists():
                text = self._described.read_bytes()
                self._describe(msgspec.json.decode(text, type=dict[str, Description]))
            for line in self._lines():
                found = msgspec.json.decode(line, type=_Line)
                for name in found.sent:
                    self._sent[name].add(found.round)
                for name, spent in found.heard.items():
                    self._hear(name, found.round, spent)
        except (msgspec.DecodeError, KeyError) as error:
            raise RunError(
                f"{self._questions.parent}: {DESCRIBED} or {QUESTIONS} is damaged ({error}), so "
                "what silos were asked is unknown and nothing was asked. Put the file back, or "
                "start a new run in another folder, whose budget composes with this one."
            ) from None

    def _lines(self) -> list[bytes]:
        """Whole lines; one that a kill cut short is dropped: what it announced was not sent."""
        if not self._questions.exists():
            return []
        data = self._questions.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            checkpoint.write_bytes(self._questions, whole)
        return whole.splitlines()


class Recorded:
    """An engine whose questions are kept in a roster before they are sent."""

    def __init__(self, engine: Engine, roster: Roster) -> None:
        self._engine, self._roster = engine, roster

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return self._engine.members()

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Keep who is asked, and ask."""
        for number in {query.round_number for query in queries.values()}:
            self._roster.sent(number, list(queries))
        return self._engine.ask(queries)

    def why(self) -> Mapping[str, str]:
        """Why silos gave no answer when they were asked last, by silo."""
        return self._engine.why()


def _charged(silo: Description, spent: Spent, last: LastHeard | None = None) -> Charged:
    return Charged(
        ledger_id=silo.ledger_id,
        head=spent.ledger_head or silo.ledger_head,
        released=silo.released,
        inside=silo.inside,
        answers=silo.answers if last is None else spent.answers,
        answers_mu2=spent.answers_mu2,
        record_mu2=spent.record_mu2,
        last_heard=last,
    )
