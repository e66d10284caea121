"""Code of others that runs while a model is loaded: what it raises becomes one `ModelError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dpfedsyn.errors import ModelError

_SHOWN = 200  # characters of a message that others wrote


@contextmanager
def refused(fact: str, mend: str) -> Iterator[None]:
    """Refuse the model where the block raises anything, an exit of the interpreter too.

    Args:
        fact: the file, and what could not be done with it. mend: what to do instead.

    Raises:
        ModelError: for whatever was raised; its first line stands in the message.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ModelError(f"{fact} ({told(error)}); nothing was loaded. {mend}") from error


def told(error: BaseException) -> str:
    """Return an error's kind and the first line of its text."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__}: {lines[0][:_SHOWN]}"
