"""A run's synthetic data as a folder that others can take: data, claim, card, metadata.

bundle      the folder: what is copied, under which names, with which digests
files       a file of rows
card        README.md, as data hubs show it
croissant   croissant.json, as machines read it (MLCommons Croissant 1.0)

Internal figures (utility on held-out real rows, attacks) are not part of it.
"""

from dpfedsyn.export.bundle import write

__all__ = ["write"]
