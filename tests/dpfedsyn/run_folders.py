"""Made-up run folders, small and in the form that a run leaves behind."""

import json
import math
from pathlib import Path
from typing import Any

SILOS = ("cleveland", "hungary", "switzerland", "va-long-beach")
COLUMNS = ("age", "sex", "cp", "trestbps", "chol", "fbs", "exang", "oldpeak")


def bound(upper: float, lower: float = 0.0) -> dict[str, float]:
    return {"lower": lower, "upper": upper}


def risk() -> dict[str, Any]:
    found = ((0.001, 0.07601), (0.01, 0.2512), (0.05, 0.5034), (0.5, 0.95))
    return {
        "advantage": 0.59083,
        "right_guess_from_even_odds": 0.79542,
        "posterior_from_even_odds": 0.999851,
        "posterior_holds": "but for outputs that come with a probability of delta at most",
        "at_low_rate": {"fpr": 0.001, "tpr": 0.07601, "posterior": 0.98702},
        "tradeoff": [{"fpr": f, "tpr": t, "posterior": t / (t + f)} for f, t in found],
    }


def group(kind: str, name: str, rows: int, accuracy: float, **changes: Any) -> dict[str, Any]:
    ends = {"low": accuracy - 0.09, "high": min(accuracy + 0.09, 1.0)}
    marks = {"small": rows < 30, "below": False, "reference": accuracy + 0.02}
    return {
        "kind": kind,
        "name": name,
        "rows": rows,
        "accuracy": accuracy,
        **ends,
        **marks,
    } | changes


def statement(**changes: Any) -> dict[str, Any]:
    silos = [
        {
            "name": name,
            "unit": "record",
            "adjacency": "add-or-remove",
            "delta": 1e-5,
            "epsilon": bound(7.99, 4.12),
            "risk": risk(),
            "readings": {
                "record": bound(7.99, 4.12),
                "answers": bound(2.2e7, 2.2e7),
                "silo": None,
                "silo_reason": "noisy label counts have no silo-level sensitivity",
            },
            "charged": {
                "R": ["counts"],
                "A": ["dp-sgd", "moments"],
                "B": {"answers": 130, "mu": 5912.25, "cap_mu": 6000.0},
            },
            "shares_mu2": {"counts": 0.03, "moments": 0.62, "dp-sgd": 0.35},
            "ledger_head": "ab" * 32,
        }
        for name in SILOS
    ]
    return {
        "statement_version": 2,
        "status": "complete",
        "private": True,
        "reason": None,
        "void": None,
        "silos": silos,
        "overlap": 1,
        "across_silos": bound(7.99, 4.12),
        "implementation": {"noise": "float Gaussian from a ChaCha20 keystream, not lattice-exact"},
        "unprotected": ["schema", "label set", "reference sizes", "participation"],
        "caveats": ["Timing of replies is outside the claim."],
        "software": {"dpfedsyn": "0.1.0", "torch": "2.9"},
    } | changes


def results() -> dict[str, Any]:
    def line(name: str, kind: str, auc: float) -> dict[str, Any]:
        return {
            "name": name,
            "kind": kind,
            "logistic": {"accuracy": auc - 0.07, "auc": auc},
            "mlp": {"accuracy": auc - 0.08, "auc": auc - 0.02},
        }

    one_class = {"name": "switzerland alone", "kind": "baseline", "logistic": {"auc": None}}
    levels = (0.05, 0.2, 0.5, 1.0, 2.0)
    return {
        "test_rows": 221,
        "groups": [
            group("label", "disease", 110, 0.61, below=True),
            group("label", "healthy", 111, 0.88),
            group("silo ", "cleveland", 205, 0.75),
            group("silo ", "switzerland", 16, 0.80),
        ],
        "least_group": 30,
        "utility": [
            line("default (ULA)", "ours", 0.837),
            line("best (ancestral)", "ours", 0.856),
            line("cleveland alone", "baseline", 0.776),
            line("union of local generators", "baseline", 0.841),
            line("union of private bases (no network)", "baseline", 0.868),
            line("pooled real data", "baseline", 0.882),
            {**one_class, "mlp": None},
        ],
        "baselines_that_win": ["private base alone beats best (ancestral) in AUC: .868 to .856"],
        "similarity": {
            name: {
                "marginals": {c: 0.99 - k * 0.02 - shift for k, c in enumerate(COLUMNS)},
                "marginal_mean": 0.92 - shift,
                "pairwise": {"age & sex": 0.9 - shift, "chol & fbs": 0.71 - shift},
                "pairwise_mean": 0.88 - shift,
            }
            for name, shift in (("default", 0.03), ("best", 0.0))
        },
        "closeness": {
            name: {
                "share": 0.507,
                "usual": [0.46, 0.54],
                "train_median": 1.31,
                "control_median": 1.33,
                "records": 221,
                "rows": 1000,
                "note": "Distances are no privacy guarantee.",
            }
            for name in ("default", "best")
        },
        "denoising": [
            {"silo": s, "noise_level": t, "base": 0.9 * t, "network": 0.8 * t - 0.01}
            for s in SILOS
            for t in levels
        ],
    }


def plan() -> dict[str, Any]:
    mechanisms = [
        {
            "name": name,
            "group": group,
            "mu": 0.5,
            "noise_std": noise,
            "noise_of": unit,
            "share_mu2": share,
            "epsilon_alone": bound(alone),
        }
        for name, group, noise, unit, share, alone in (
            ("counts", "R", 5.1, "records", 0.03, 0.8),
            ("moments", "A", 3.2, "joint vector", 0.62, 5.0),
            ("dp-sgd", "A", 9.2, "clip norm, 200 steps", 0.35, 3.6),
            ("answers", "B", None, "", None, math.inf),
        )
    ]
    return {
        "unit": "record",
        "adjacency": "add-or-remove",
        "delta": 1e-5,
        "epsilon": 8.0,
        "overlap": 1,
        "across_silos": bound(7.99, 4.12),
        "rounds": 130,
        "rows": 3000,
        "epsilon_over_rounds": [
            {
                "round": number,
                "silos": {name: statement()["silos"][0]["readings"] for name in SILOS},
            }
            for number in (1, 100, 130)
        ],
        "passes": [
            {
                "name": name,
                "sampler": sampler,
                "rounds": rounds,
                "mu_per_round": [600.0, 600.0],
                "score_noise": [0.51, 1.2],
                "energy_noise": 2.5,
            }
            for name, sampler, rounds in (("default", "ula", 100), ("best", "ancestral", 30))
        ],
        "silos": [
            {
                "name": name,
                "reference_size": 200,
                "epsilon_target": 8.0,
                "readings": statement()["silos"][0]["readings"],
                "mechanisms": mechanisms,
            }
            for name in SILOS
        ],
        "faults": [],
        "notes": ["Noise on answers is defence in depth here: delta_B = 1."],
    }


def rounds(name: str, sampler: str, count: int, *, flat: bool = True) -> list[dict[str, Any]]:
    def entry(k: int, place: int) -> dict[str, Any]:
        mu2 = 3.6e5 * k if flat else 0.02 * k * (1 + 0.1 * place)
        record = 7.99 - 0.2 * place if flat else math.sqrt(mu2) * 4 + 0.1
        weak = mu2 / 2 + 4 * math.sqrt(mu2)
        silo = None if flat else bound(weak * 3, weak * 3)
        readings = {"record": bound(record), "answers": bound(weak, weak), "silo": silo}
        return readings | {"answers_mu": math.sqrt(mu2)}

    return [
        {
            "pass": name,
            "sampler": sampler,
            "round": k,
            "of": count,
            "seconds": 0.21,
            "silos": {s: entry(k, place) for place, s in enumerate(SILOS)},
        }
        for k in range(1, count + 1)
    ]


def write(folder: Path, **parts: Any) -> Path:
    """Write a complete run folder; a part named None is left out, others replace."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {"status": "complete", "reason": None}
    made: dict[str, Any] = {
        "statement": statement(),
        "plan": plan(),
        "results": results(),
        "state": state,
    } | {k: v for k, v in parts.items() if k != "rounds"}
    for name, value in made.items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value))
    lines = parts.get("rounds", rounds("default", "ula", 6) + rounds("best", "ancestral", 4))
    (folder / "rounds.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    (folder / "config.toml").write_text('name = "hospitals"\n[privacy]\nepsilon = 8.0\n')
    body = "\n".join(",".join(str(40 + k) for _ in COLUMNS) for k in range(30))
    (folder / "synthetic.csv").write_text(",".join(COLUMNS) + "\n" + body + "\n")
    return folder


def add(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write one more file of a run: `audit`, `attacks`, `federation`."""
    (folder / f"{name}.json").write_text(json.dumps(content))
