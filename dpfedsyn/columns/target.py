"""The label of a table."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dpfedsyn.columns.cells import Code, code_faults, listing, number, position, token

_RULE = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Target:
    """The label: public values of one column, and the public label that each stands for.

    Args:
        column: name of the column in the file.
        values: every value that the column may hold.
        labels: public names; y = 0 .. len(labels) - 1 counts in this order.
        positive: a rule such as "> 0" for two labels: values that meet it get the second label.
            Empty: `values` and `labels` correspond one to one.
    """

    column: str
    values: tuple[Code, ...]
    labels: tuple[str, ...]
    positive: str = ""
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The values."""
        return self.values

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        return {
            token(code): self._label(code) if self.positive else place
            for place, code in enumerate(self.values)
        }

    @cached_property
    def representatives(self) -> tuple[Code, ...]:
        """The first value of each label: what synthetic tables hold in this column."""
        order = [self.read(code) for code in self.values]
        return tuple(self.values[order.index(label)] for label in range(len(self.labels)))

    def _label(self, code: Code) -> int:
        rule, value = _RULE.fullmatch(self.positive), number(code)
        if rule is None or value is None:
            return 0
        return int(_COMPARE[rule[1]](value, float(rule[2])))

    def read(self, cell: object) -> int:
        """Return the label of a cell, 0 .. len(labels) - 1; DataError if it is none of `values`."""
        return position(self._positions, cell, "values", self.values)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = code_faults(self.values, "values", 2)
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            faults.append(f"`labels` = {list(self.labels)}; give at least two different names")
        if not self.positive:
            if len(self.values) != len(self.labels):
                faults.append(
                    f"{len(self.values)} `values` for {len(self.labels)} `labels`; give one value "
                    'for each label, or a rule such as positive = "> 0" for two labels'
                )
            return faults
        return faults + self._rule_faults()

    def _rule_faults(self) -> list[str]:
        rule = _RULE.fullmatch(self.positive)
        if rule is None or number(rule[2]) is None:
            return [
                f"`positive` = {self.positive!r} is no rule; write one of "
                f'{listing(_COMPARE)} and a number, for example "> 0"'
            ]
        if len(self.labels) != 2:
            return [f"`positive` makes two labels, `labels` names {len(self.labels)}; give two"]
        words = [code for code in self.values if number(code) is None]
        if words:
            return [f"`positive` compares numbers, `values` holds {listing(words)}; drop the rule"]
        if {self._label(code) for code in self.values} != {0, 1}:
            return [
                f'`positive` = "{self.positive}" gives every one of `values` '
                f"{listing(self.values)} the same label; change the rule or add values"
            ]
        return []
