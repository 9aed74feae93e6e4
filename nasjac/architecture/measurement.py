"""What a score says of an architecture: terms with standard errors, and the layer profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "diverged", "unsupported", "out_of_memory", "failed"]

#: statuses that the machine decides: with more memory it may be another one
OF_THE_MACHINE: frozenset[Status] = frozenset({"out_of_memory", "failed"})


@dataclass(frozen=True)
class Term:
    """A number that a score may give; `ranks_as` is the score of tables that ranks by `sign` times it, larger is better."""

    meaning: str
    ranks_as: str | None = None
    sign: float = 1.0


#: the terms every score may give, in the order in which they are stored
TERMS = {
    "trainability_cost": Term("S*, lower is better (nasjac.searching.objectives)", "trainability_cost", -1.0),
    "log_mean": Term("log E 𝒥, natural logarithm, 𝒥 = ‖∂h_L/∂h_0‖_F² / N_L"),
    "mean_log": Term("E log 𝒥"),
    "sd_log": Term("sd of log 𝒥 over initializations and inputs, probe variance removed", "spread", -1.0),
    "log_rank": Term("log r/N, r the effective rank (tr A)² / tr A², A = J Jᵀ", "effective_rank"),
    "log_decorrelation": Term("log(1 − c), c the correlation of two inputs' outputs", "output_decorrelation"),
    "dead_fraction": Term("share of samples whose Jacobian is exactly zero"),
    "sd_log_patterns": Term("standard deviation of E log 𝒥 over the skip patterns of an ensemble"),
    "token_mean_log": Term("E log 𝒥_⊥, of what differs between tokens in h_L, forward from h_0"),
    "token_mean_log_backward": Term("the same of what differs between tokens in h_0, backward from h_L"),
    "token_log_decorrelation": Term("log of the share of ‖h_L‖² that differs between tokens", "token_differential"),
    "trainability_penalty": Term("what harms training, lower is better (nasjac.mathematics.trainability)"),
    "jacobian_decorrelation": Term("−Σ (log λ + 1/λ) / B of the correlations of B inputs' Jacobians, −1 at most"),
    "merit": Term("log-ranks of FLOPs and jacobian_decorrelation or −trainability_penalty, the weaker; higher is better"),
}


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error; None where there is none."""

    value: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Layer:
    """One point of a Jacobian profile.

    `direction` forward: ‖∂h_l/∂h_0‖_F² / N_l; backward: ‖∂h_L/∂h_l‖_F² / N_L. Natural logarithms; `standard_error` is
    that of `mean_log`. Not finite is None.
    """

    name: str
    direction: Literal["forward", "backward"]
    log_mean: float | None
    mean_log: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Profile:
    """Norms of one network layer by layer, forward and backward; `exact` at its very width, or for N → ∞."""

    layers: tuple[Layer, ...]
    exact: bool


@dataclass(frozen=True)
class Measurement:
    """One architecture under one score.

    `model_error` is the usual size of the finite-width correction to a closed form's log E 𝒥, in nats, and no bound on it
    (0: exact at this width); None for a sampled score, whose errors are the terms' standard errors.

    `precision_reached` says whether the standard error that was asked for was reached, None if none was; `raced` that
    sampling stopped early because the architecture was certain to be dominated; `pattern_of` is the key of the ensemble in
    which it was sampled, to the ensemble's precision, None where it was measured for itself.

    For an ensemble `patterns` holds the JSON of each Spec that stood for it, with that one's own measurement (not read
    back from a store), and `kept_key` is that of the cheapest, None if none has a cost; otherwise the latter is the
    architecture's own key, which it is unless said.
    """

    key: str
    status: Status
    reason: str | None = None
    terms: Mapping[str, Estimate] = field(default_factory=dict)
    profile: tuple[Layer, ...] = ()
    draws: int = 0
    seconds: float = 0.0
    kept_key: str | None = ""
    model_error: float | None = None
    precision_reached: bool | None = None
    raced: bool = False
    pattern_of: str | None = None
    patterns: tuple[tuple[str, Measurement], ...] = ()

    def __post_init__(self) -> None:
        if self.kept_key == "":
            object.__setattr__(self, "kept_key", self.key)

    @property
    def is_reusable(self) -> bool:
        """Whether it need not be made again: it depends on the architecture, the score and its inputs alone.

        One that the machine decided may come out otherwise with more memory; how far one was sampled that racing stopped,
        or that is of an ensemble's pattern, was up to other architectures.
        """
        return self.status not in OF_THE_MACHINE and not self.raced and self.pattern_of is None

    def replaces(self, earlier: Measurement) -> bool:
        """Whether it takes the place of an earlier one of the same architecture under the same score.

        A reusable one takes the place of any that is not, and gives it to none. Of two others the newer one counts, but
        what is `ok` stays, and so does what the architecture decided where the machine decided the newer one.
        """
        if self.is_reusable or earlier.is_reusable:
            return not earlier.is_reusable
        if earlier.status == "ok":
            return False
        return self.status not in OF_THE_MACHINE or earlier.status in OF_THE_MACHINE
