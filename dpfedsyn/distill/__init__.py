"""Any number of further rows from the rows of a run, at no cost: a sampler made of them alone.

smoothed       the sampler: a smoothed bootstrap of rows
released_run   the run's rows as its statement names them, and nothing else of the run
writing        new rows as files, with a statement of what they are

Nothing here can open a silo's folder, a record, a model or a ledger: it is post-processing of what
the run released, so the run's claim is the claim of these rows too. They add no information.
"""

from dpfedsyn.distill.writing import Distilled, distil

__all__ = ["Distilled", "distil"]
