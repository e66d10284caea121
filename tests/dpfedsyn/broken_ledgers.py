"""A small correct ledger in one JSON file, and the same with one seeded bug each."""

import json
import math
from fractions import Fraction


class Refused(Exception):  # noqa: N818
    """Over the budget."""


class JsonLedger:
    """Correct: sums are exact, a row is on disk before its reply is returned."""

    refusals = (Refused,)

    def __init__(self):
        self.path = None

    def create(self, folder, cap):
        self.path, self.rows, self.cap = folder / "ledger.json", [], cap
        self.write()

    def open(self, folder):
        self.path = folder / "ledger.json"
        kept = json.loads(self.path.read_text())
        self.rows, self.cap = kept["rows"], kept["cap"]

    def close(self):
        self.path = None

    def write(self):
        self.path.write_text(json.dumps({"rows": self.rows, "cap": self.cap}))

    def spent(self):
        return sum((Fraction(row["cost"]) for row in self.rows), Fraction(0))

    def admit(self, cost):
        if not (math.isfinite(cost) and cost > 0):
            raise Refused(f"{cost} is no cost")
        if self.spent() + Fraction(cost) > Fraction(self.cap):
            raise Refused("over budget")

    def request(self, query, cost, draw):
        for row in self.rows:
            if row["query"] == query.decode():
                return row["reply"].encode()
        self.admit(cost)
        reply = draw()
        self.rows.append({"query": query.decode(), "cost": cost, "reply": reply.decode()})
        self.write()
        return reply


class ChargedAfterRelease(JsonLedger):
    """Writes a row only when the next one comes."""

    def request(self, query, cost, draw):
        self.write()
        writing, self.write = self.write, lambda: None
        try:
            return super().request(query, cost, draw)
        finally:
            self.write = writing


class FreshNoiseOnRetry(JsonLedger):
    """Answers a query that it has charged with new noise."""

    def request(self, query, cost, draw):
        reply = super().request(query, cost, draw)
        return draw() if reply in self.seen(query) else self.saw(query, reply)

    replies = None

    def seen(self, query):
        self.replies = self.replies or {}
        return self.replies.get(query, ())

    def saw(self, query, reply):
        self.replies.setdefault(query, set()).add(reply)
        return reply


class ChecksAfterwards(JsonLedger):
    """Refuses only when the cap has been passed already."""

    def admit(self, cost):
        if not (math.isfinite(cost) and cost > 0):
            raise Refused(f"{cost} is no cost")
        if self.spent() > Fraction(self.cap):
            raise Refused("over budget")


class AcceptsNan(JsonLedger):
    """Compares with > and so lets NaN pass, at no cost."""

    def admit(self, cost):
        if not math.isnan(cost):
            super().admit(cost)

    def spent(self):
        costs = (row["cost"] for row in self.rows)
        return sum((Fraction(c) for c in costs if math.isfinite(c)), Fraction(0))


class RefundsNegative(JsonLedger):
    """A negative cost buys budget back."""

    def admit(self, cost):
        if not math.isfinite(cost) or self.spent() + Fraction(cost) > Fraction(self.cap):
            raise Refused("over budget")


class RefusedIsCharged(JsonLedger):
    """A refusal leaves a row."""

    def admit(self, cost):
        try:
            super().admit(cost)
        except Refused:
            if cost > 0 and math.isfinite(cost):
                self.rows.append({"query": "refused", "cost": cost, "reply": ""})
            raise


class ComputesBeforeAsking(JsonLedger):
    """Draws the reply first and asks the filter later."""

    def request(self, query, cost, draw):
        reply = draw()
        return super().request(query, cost, lambda: reply)


class ForgetsOnReopening(JsonLedger):
    """Reads all rows but the last."""

    def open(self, folder):
        super().open(folder)
        self.rows = self.rows[:-1]


class RoundsDown(JsonLedger):
    """Keeps its sum in quarters, rounded down."""

    def spent(self):
        return sum((Fraction(int(row["cost"] * 4), 4) for row in self.rows), Fraction(0))


class RowBeforeReply(JsonLedger):
    """Charges, then computes: a crash between leaves a row that answers with nothing."""

    def request(self, query, cost, draw):
        for row in self.rows:
            if row["query"] == query.decode():
                return row["reply"].encode()
        self.admit(cost)
        row = {"query": query.decode(), "cost": cost, "reply": ""}
        self.rows.append(row)
        self.write()
        row["reply"] = draw().decode()
        self.write()
        return row["reply"].encode()


class CutByACrash(JsonLedger):
    """Empties the file before it computes, to write it anew."""

    def request(self, query, cost, draw):
        for row in self.rows:
            if row["query"] == query.decode():
                return row["reply"].encode()
        self.admit(cost)
        rows, self.rows = self.rows, []
        self.write()
        reply = draw()
        self.rows = [*rows, {"query": query.decode(), "cost": cost, "reply": reply.decode()}]
        self.write()
        return reply


class GrowsOnReopening(JsonLedger):
    """Adds a row whenever it is opened."""

    def open(self, folder):
        super().open(folder)
        self.rows.append({"query": "opened", "cost": 0.25, "reply": ""})
        self.write()


class RefundsRedelivery(JsonLedger):
    """Takes a row's cost off again when its reply is asked for twice."""

    def request(self, query, cost, draw):
        for row in self.rows:
            if row["query"] == query.decode():
                row["cost"] = 0.0
        return super().request(query, cost, draw)


class RechargesBeyondTheCap(JsonLedger):
    """Charges a retry again, as it may, but does not ask the filter."""

    def request(self, query, cost, draw):
        if not any(row["query"] == query.decode() for row in self.rows):
            return super().request(query, cost, draw)
        reply = draw()
        self.rows.append({"query": query.decode(), "cost": cost, "reply": reply.decode()})
        self.write()
        return reply


BROKEN = {
    GrowsOnReopening: "reopening changed the sum",
    RefundsRedelivery: "a redelivery lowered the sum",
    RechargesBeyondTheCap: "were released, the cap is",
    ChargedAfterRelease: "a crash now would forget it",
    FreshNoiseOnRetry: "a new reply to",
    ChecksAfterwards: "was accepted after",
    AcceptsNan: "a cost of nan was accepted",
    RefundsNegative: "a cost of -1.0 was accepted",
    RefusedIsCharged: "a refused request of cost",
    ComputesBeforeAsking: "a reply was computed for a request that was refused",
    ForgetsOnReopening: "a crash now would forget it|reopening changed the sum",
    RoundsDown: "was released for",
    CutByACrash: "a crash lowered the sum",
}
