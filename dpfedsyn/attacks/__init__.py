"""Attacks on the synthetic tables of a run, by whoever holds the records: risks, not proofs.

target       Target           used and held-out records, synthetic rows, what the claim allows
membership   membership       which records were used? our own attacks, with exact intervals
risks        risks            singling out, linkability, inference, in a process of their own
worker                        that process: needs the package anonymeter, knows nothing of dpfedsyn
environment  find, make       the interpreter that has it
command      attack           `dpfedsyn audit attack RUN`

An attack that succeeds is a risk that was measured. An attack that fails proves nothing: another
one may succeed, and only the stated epsilon and delta are a guarantee. The numbers are computed
from records without noise: they are internal and must not be published.
"""
