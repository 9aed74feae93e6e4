"""The report in words: the names of what is compared, and the chief findings as sentences.

`found` is what `nasjac.searching.findings.findings` returns. Where a figure is missing the sentence says why. The predictor
is the first objective of the study: the score whose agreement with training is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

COST = "trainability_cost"
BASELINES = ("params", "flops", "depth", "skip_count")
SUBSETS = {"all": "all validated", "random": "random ones alone"}

#: what is meant wherever these words are printed
EFFECTIVE_RANK = (
    "The effective rank r is the participation ratio (tr A)² / tr A², A = J Jᵀ; the entropy rank and ‖J‖_F² / ‖J‖₂² are "
    "called so too."
)
EFFECTIVE_DEPTH = "Effective depth weighs gradient paths by their energy; Veit et al. (2016) weigh them by amplitude."

Found = Mapping[str, Any]


def sentences(found: Found) -> list[str]:
    """The chief findings, a sentence or two each: trials, recommendation, its rival, agreement, divergence."""
    count = len(found["front"])
    front = f"{trials(found)}, {count} architecture{'' if count == 1 else 's'} on the front."
    return [front, *_recommendation(found), *_correlation(found), *_left_out(found), *_mixed(found)]


def noun(predictor: str) -> str:
    """What the predictor is: a cost, or a score."""
    return "cost" if predictor == COST else "score"


def short(name: str) -> str:
    """The name of a predictor as a table or a legend has it."""
    return "cost" if name == COST else name.replace("_", " ")


def extremes(predictor: str, direction: str) -> tuple[str, str]:
    """The best and the worst of a predictor: ("lowest cost", "highest cost"), ("highest merit", "lowest merit")."""
    low, high = (f"{word} {short(predictor)}" for word in ("lowest", "highest"))
    return (low, high) if direction == "minimize" else (high, low)


def trials(found: Found) -> str:
    """How many trials there were, by state: "575 trials (500 complete, 75 infeasible)"."""
    states = {state: count for state, count in found["trials"].items() if state != "all"}
    counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none yet"
    return f"{found['trials']['all']} trials ({counts})"


def _why(found: Found) -> str:
    """The most frequent reason of trials without a measurement."""
    reasons = [outcome for outcome in found["outcomes"] if outcome["reason"]]
    most = max(reasons, key=lambda outcome: outcome["trials"], default=None)
    return f" ({most['trials']} {most['state']}: {most['reason']})" if most else ""


def _recommendation(found: Found) -> list[str]:
    best, rival = found["recommended"], found["strongest_random_equal_params"]
    if best is None:
        return [f"No architecture is recommended: no trial of this study has a measured architecture{_why(found)}."]
    reason = best["reason"].rstrip(".")
    said = [f"Recommended: {best['key']}. {reason[:1].upper()}{reason[1:]}."]
    if best.get("trainings") is None:
        return [*said, "It has not been trained."]
    if best["accuracy"] is None:
        return [*said, f"All {best['trainings']} trainings of it diverged."]
    reached = f"Trained, it reaches an accuracy of {plus_minus(best['accuracy'], best['standard_error'])}"
    if rival is None:
        return [*said, f"{reached}; no random architecture of equal parameters has been trained to compare it with."]
    if rival["accuracy"] is None:
        return [*said, f"{reached}; all {rival['of']} random architectures of equal parameters diverged."]
    errors = [best["standard_error"], rival["standard_error"]]
    error = math.hypot(*errors) if None not in errors else None
    difference = best["accuracy"] - rival["accuracy"]
    reached += f"; the strongest of {rival['of']} random ones of equal parameters, {rival['key']}, "
    reached += f"{plus_minus(rival['accuracy'], rival['standard_error'])}. "
    return [*said, f"{reached}Difference {plus_minus(difference, error, '+.4f')}."]


def _correlation(found: Found) -> list[str]:
    validated, kendall, predictor = found["validated"], found["kendall"], found["predictor"]
    if not validated["trained"]:
        return [f"Nothing has been validated: whether the {noun(predictor)} agrees with training is not known."]
    said = f"Kendall's tau of {predictor} with accuracy (plus: the {noun(predictor)} is right), "
    said += "; ".join(f"{name}: {interval(kendall[subset])}" for subset, name in SUBSETS.items()) + "."
    baselines = {name: found["baselines"][name]["kendall"]["all"]["value"] for name in BASELINES if name != predictor}
    known = {name: value for name, value in baselines.items() if value is not None}
    if known:
        name = max(known, key=lambda name: abs(known[name]))
        said += f" Of the trivial baselines {name} says most: {known[name]:+.2f}."
    ceiling = found["noise_ceiling"]["kendall"]
    if ceiling is not None:
        said += f" Two training seeds agree with each other at {ceiling:+.2f}."
    if not validated["diverged"]:
        return [said]
    every = f"{validated['diverged']} of {validated['trained']} validated architectures diverged in every training"
    return [said, f"{every}; they rank below every finished one."]


def _left_out(found: Found) -> list[str]:
    count = found["validated"]["trainings_on_unknown_data"]
    if not count:
        return []
    trainings = f"{count} training{'' if count == 1 else 's'} of these architectures, stored by an earlier version,"
    unknown = "it is unknown which data they were trained on (nasjac validate trains anew)"
    return [f"{trainings} count for nothing here, for {unknown}."]


def _mixed(found: Found) -> list[str]:
    told = (mixed(f"The {what} of this study", counts) for what, counts in found["fingerprints"].items())
    return [sentence for sentence in told if sentence is not None]


def mixed(what: str, counts: Mapping[str, int]) -> str | None:
    """The sentence on values by several fingerprints {fingerprint: how many}; None where all are by one."""
    if len(counts) < 2:
        return None
    parts = ", ".join(f"{count} by {fingerprint}" for fingerprint, count in counts.items())
    return f"{what} are by unlike processors or versions ({parts}), whose values differ by rounding, about 1e-7."


def interval(correlation: Found) -> str:
    """A correlation in words: "+0.52 [+0.21, +0.74] (n = 16)", or why there is none."""
    if correlation["value"] is None:
        return f"not known ({correlation['reason']})"
    low, high, n = correlation["low"], correlation["high"], correlation["n"]
    if low is None:
        return f"{correlation['value']:+.2f} (n = {n}, {correlation['reason']})"
    return f"{correlation['value']:+.2f} [{low:+.2f}, {high:+.2f}] (n = {n})"


def plus_minus(value: float | None, error: float | None, form: str = ".4f") -> str:
    """A value and its standard error in words; the error left out where there is none."""
    if value is None:
        return "not known"
    return f"{value:{form}}" if error is None else f"{value:{form}} ± {error:{form.lstrip('+')}}"
