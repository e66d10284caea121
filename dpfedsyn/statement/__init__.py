"""The privacy statement of a run: what is claimed for each silo, and what stands beside it.

making      the statement, from the plan, the ledgers' own rows and the rows' files
silos       one silo: its claim, what was charged, what is left
risk        what the worst claims mean to an attacker of somebody in several silos
mechanisms  how it was implemented, under which public settings
limits      what nobody pays for, and caveats
software    versions, and defects that are not inherited
release     the files of synthetic rows
hazards     28 hazards, each answered from the statement
registry    registry.yaml, a record of deployments, from the statement alone
keeping     both as files of the run folder
signing     statement.sig.json: who stands behind these bytes
verifying   whether a folder is what somebody signed
signers     as whom a key signs
"""

from dpfedsyn.statement.keeping import FILE, RECORD, keep
from dpfedsyn.statement.making import STATEMENT_VERSION, Outcome, audited, make
from dpfedsyn.statement.release import ReleasedFile, released

__all__ = [
    "FILE",
    "RECORD",
    "STATEMENT_VERSION",
    "Outcome",
    "ReleasedFile",
    "audited",
    "keep",
    "make",
    "released",
]
