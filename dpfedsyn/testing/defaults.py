"""What the pytest plugin tells assertions, and what they tell it; imported at pytest's start."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

CALLS = 20_000

calls: ContextVar[int] = ContextVar("calls", default=CALLS)
report: ContextVar[Callable[[Any], None] | None] = ContextVar("report", default=None)
