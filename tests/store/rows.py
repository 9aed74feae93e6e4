"""Small made-up content for a results database."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from nasjac.architecture.measurement import TERMS, Estimate, Layer, Measurement
from nasjac.store import Store
from nasjac.store.rows import ArchitectureRow, TrialRow, ValidationRow


def key_of(number: int) -> str:
    return f"{number:012x}"


def architecture(number: int, **changes: Any) -> ArchitectureRow:
    content: dict[str, Any] = {
        "key": key_of(number),
        "spec": {"width": 8, "blocks": [{}, {}, {"scale": 0.5}]},
        "kind": "residual_mlp",
        "depth": 3,
        "width": 8,
        "placement": "pre" if number % 2 else "none",
        "norm": "layernorm",
        "activation": "relu",
        "branch": "two_matrix",
        "skip_density": number / 8,
        "params": 100 + number,
        "nonlinear_effective_depth": 1.5,
    }
    return ArchitectureRow(**{**content, **changes})


def measurement(number: int, **changes: Any) -> Measurement:
    terms = {term: Estimate(number + 0.125, 0.25) for term in TERMS}
    profile = (
        Layer("h_0", "forward", 0.0, 0.0, 0.0),
        Layer("h_1", "forward", 0.5, 0.25, 0.0625),
        Layer("h_0", "backward", None, math.inf, math.nan),
    )
    content: dict[str, Any] = {"key": key_of(number), "status": "ok", "terms": terms, "profile": profile, "draws": 16}
    return Measurement(**{**content, **changes})


def trial(number: int, study: str = "k", batch: int = 0, **changes: Any) -> TrialRow:
    content: dict[str, Any] = {
        "study": study,
        "number": number,
        "batch": batch,
        "state": "complete",
        "asked": number,
        "architecture_key": key_of(number),
        "kept_key": key_of(number),
        "objectives": {"trainability_cost": number + 0.125},
        "choices": {"depth": 3, "placement": "pre"},
        "system_attrs": {"nsga2:parents": [1, 2]},
    }
    return TrialRow(**{**content, **changes})


def validation(number: int, rate: float, seed: int, accuracy: float | None, **changes: Any) -> ValidationRow:
    status: Literal["ok", "diverged"] = "diverged" if accuracy is None else "ok"
    content: dict[str, Any] = {"accuracy": accuracy, "loss": None if accuracy is None else 1 - accuracy}
    content = {"dataset": "digits", "dataset_digest": "d1", "trainer": "adamw", "trainer_id": "t1", **content, **changes}
    content = {"architecture_key": key_of(number), "seed": seed, "learning_rate": rate, "status": status, **content}
    return ValidationRow(**content)


def record(store: Store, study: str, batch: int, numbers: range) -> None:
    """One batch of complete trials, an architecture each."""
    store.record_batch(
        study,
        batch,
        [trial(number, study, batch) for number in numbers],
        [architecture(number) for number in numbers],
        [measurement(number) for number in numbers],
        "apjn",
        "s1",
        {"sampler:parents": [batch]},
    )


def filled(path: Path) -> Store:
    """A database of one study `k`, eight complete trials; the cost of architecture n is n + 1/8."""
    store = Store(path)
    store.open_study("k", {"seed": 0, "dataset": "digits"}, "error", "s1", "d1")
    record(store, "k", 0, range(4))
    record(store, "k", 1, range(4, 8))
    return store
