"""Where a figure was measured: machine and versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from dpfedsyn import __version__

PACKAGES = ("torch", "opacus", "numpy", "scipy", "scikit-learn", "pandas", "cryptography")


def machine() -> dict[str, str | int | float]:
    """Return processor, cores that this process may use, memory and system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of what the figures depend on."""
    own = {"python": platform.python_version(), "dpfedsyn": __version__}
    return own | {name: version(name) for name in PACKAGES}


def load() -> float | None:
    """Return how many processes wanted a core in the last minute; None where nobody counts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cores() -> int:
    return os.cpu_count() or 1


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
