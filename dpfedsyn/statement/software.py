"""What the run was made with, and which known defects of a library it does not inherit."""

from __future__ import annotations

from importlib.metadata import version

from dpfedsyn import __version__

# Threads of meta-pytorch/opacus, and what stands in place of what they are about.
DEFECTS = (
    (
        "opacus#819",
        "updates, noise included, are scaled by the number of records",
        "a public divisor: rate times public reference size",
    ),
    (
        "opacus#813",
        "sampler and accountant may silently disagree",
        "one public rate goes to both; Poisson bits are drawn and accounted here",
    ),
    (
        "opacus#616",
        "floating-point Gaussian noise leaks through its low bits",
        "rounded Gaussians on a lattice, sums in integers, their deviation carried by delta",
    ),
    (
        "opacus#504",
        "the secure generator no longer installs",
        "AES-256-CTR keystreams from the operating system's entropy",
    ),
    (
        "opacus#161",
        "empty Poisson batches are skipped or fail",
        "an empty batch is a step of noise alone, charged like the others",
    ),
    (
        "opacus#535",
        "the accountant's history is lost or emptied",
        "charges are rows of a ledger on disk, written before the step is taken",
    ),
)


def versions() -> dict[str, str]:
    """Return the versions of what privacy rests on."""
    return {
        "dpfedsyn": __version__,
        **{name: version(name) for name in ("torch", "opacus", "numpy", "cryptography")},
    }


def mitigated() -> list[dict[str, str]]:
    """Return the defects, each with what it would do and what stands in its place."""
    return [
        {"defect": name, "would": would, "instead": instead} for name, would, instead in DEFECTS
    ]
