"""Silos with no record, or with records of one label: what is said of that, and to whom.

Under add-or-remove adjacency a data set without a record, or with one label alone, is a data set
like any other. So a silo that is one trains, charges and answers as every silo does, and only its
owner is told, in the log of the silo's own process. A file that breaks the schema is no data set
of it: that one is refused, before the process says a word to anybody.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from dpfedsyn.data import Records
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import NoRecords

_LOG = logging.getLogger(__name__)


def read(encoder: Encoder, path: Path, silo: str, *, may_be_empty: bool) -> Records:
    """Read a silo's records, and tell its owner where they are scarce.

    Args:
        may_be_empty: go on without a record, as a silo must that answers somebody else; a
            simulation of all silos by one who sees them all stops at what is surely a mistake.

    Guarantee:
        With `may_be_empty`, whether a silo has a record, or one label alone, changes nothing but
        its records and its own log: no error, and nothing that a server could tell it by.

    Raises:
        DataError: the file breaks the schema. NoRecords: it holds no record, and may not be empty.
    """
    try:
        records = encoder.read(path, silo=silo)
    except NoRecords as nothing:
        if not may_be_empty:
            raise
        _LOG.warning(
            "%s: %s. The silo goes on without a record, as one with records would: its sums are "
            "noise, and nobody else is told. End it now if that is a mistake.", silo, nothing,
        )  # fmt: skip
        x = np.empty((0, encoder.dimension), dtype=np.float32)
        return Records(x, np.empty(0, dtype=np.int64), (), silo)
    found = np.unique(records.y)
    if len(encoder.labels) > 1 and len(found) == 1:
        _LOG.warning(
            "%s: %s: every record has the label %r, so the silo's model learns nothing of the "
            "others. Nobody else is told: counts are released with noise. Mend the file's labels "
            "if that is a mistake, and there is nothing to do if it is not.",
            silo, path, encoder.labels[int(found[0])],
        )  # fmt: skip
    return records
