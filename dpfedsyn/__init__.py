"""One private synthetic data set from several silos that share neither records nor models.

The data flow, in the order of the modules:

    data -> moments, dpsgd (train) -> privatise -> ledger -> silo.answer -> server -> report

Start reading at `dpfedsyn.run`. Importing this package imports nothing heavy.
"""

__version__ = "0.1.0"
