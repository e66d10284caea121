"""A file of rows, as card and metadata name it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataFile:
    """A file of rows in the folder.

    Attributes:
        name: in the folder. kind: its media type. bytes: how many. sha256: of its content.
    """

    name: str
    kind: str
    bytes: int
    sha256: str
