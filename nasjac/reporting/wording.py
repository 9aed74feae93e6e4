"""Sentences that several pages and verbs print."""

from __future__ import annotations

from collections.abc import Mapping

#: what is meant wherever these words are printed
EFFECTIVE_RANK = (
    "The effective rank r is the participation ratio (tr A)² / tr A², A = J Jᵀ; the entropy rank and ‖J‖_F² / ‖J‖₂² are "
    "called so too."
)
EFFECTIVE_DEPTH = "Effective depth weighs gradient paths by their energy; Veit et al. (2016) weigh them by amplitude."


def mixed(what: str, counts: Mapping[str, int]) -> str | None:
    """The sentence on values by several fingerprints {fingerprint: how many}; None where all are by one."""
    if len(counts) < 2:
        return None
    parts = ", ".join(f"{count} by {fingerprint}" for fingerprint, count in counts.items())
    return f"{what} are by unlike processors or versions ({parts}), whose values differ by rounding, about 1e-7."
