"""The report in words: the names of what is compared, and the chief findings as sentences.

Where a figure is missing the sentence says why. The predictor is the first objective of the study: the score whose
agreement with training is asked.
"""

from __future__ import annotations

import math

from nasjac.reporting.wording import mixed
from nasjac.searching.agreement import BASELINES, Correlation
from nasjac.searching.findings import Findings
from nasjac.searching.objectives import COST
from nasjac.searching.validated import Pick

SUBSETS = {"all": "all validated", "random": "random ones alone"}


def sentences(found: Findings) -> list[str]:
    """The chief findings, a sentence or two each: trials, recommendation, its rival, agreement, divergence."""
    count = len(found.front)
    front = f"{trials(found)}, {count} architecture{'' if count == 1 else 's'} on the front."
    unlike = [mixed(f"The {what} of this study", counts) for what, counts in found.fingerprints.items()]
    return [front, *_recommendation(found), *_correlation(found), *_left_out(found), *filter(None, unlike)]


def noun(predictor: str) -> str:
    """What the predictor is: a cost, or a score."""
    return "cost" if predictor == COST else "score"


def short(name: str) -> str:
    """The name of a predictor as a table or a legend has it."""
    return "cost" if name == COST else name.replace("_", " ")


def extremes(found: Findings) -> tuple[str, str]:
    """The best and the worst of the predictor: ("lowest cost", "highest cost"), ("highest merit", "lowest merit")."""
    low, high = (f"{word} {short(found.predictor)}" for word in ("lowest", "highest"))
    return (low, high) if found.objectives[found.predictor] == "minimize" else (high, low)


def trials(found: Findings) -> str:
    """How many trials there were, by state: "575 trials (500 complete, 75 infeasible)"."""
    counts = ", ".join(f"{count} {state}" for state, count in found.trials.items()) or "none yet"
    return f"{found.trials.total()} trials ({counts})"


def reached(pick: Pick) -> str:
    """The accuracy of a trained architecture with its standard error."""
    return "diverged" if pick.accuracy is None else plus_minus(pick.accuracy, pick.standard_error)


def _recommendation(found: Findings) -> list[str]:
    best = found.recommended
    if best is None:
        reasons = [outcome for outcome in found.outcomes if outcome["reason"]]
        most = max(reasons, key=lambda outcome: outcome["trials"], default=None)
        why = f" ({most['trials']} {most['state']}: {most['reason']})" if most else ""
        return [f"No architecture is recommended: no trial of this study has a measured architecture{why}."]
    reason = str(found.study.recommended_reason).rstrip(".")
    said = [f"Recommended: {best.key}. {reason[:1].upper()}{reason[1:]}."]
    if best.training is None:
        return [*said, "It has not been trained."]
    if best.accuracy is None:
        return [*said, f"All {best.training.trainings} trainings of it diverged."]
    told = f"Trained, it reaches an accuracy of {reached(best)}"
    if not found.rivals:
        return [*said, f"{told}; no random architecture of equal parameters has been trained to compare it with."]
    rival, count = found.rivals[0], len(found.rivals)
    if rival.accuracy is None:
        return [*said, f"{told}; all {count} random architectures of equal parameters diverged."]
    errors = [best.standard_error, rival.standard_error]
    error = math.hypot(*errors) if None not in errors else None  # type: ignore[arg-type]
    difference = best.accuracy - rival.accuracy
    told += f"; the strongest of {count} random ones of equal parameters, {rival.key}, {reached(rival)}. "
    return [*said, f"{told}Difference {plus_minus(difference, error, '+.4f')}."]


def _correlation(found: Findings) -> list[str]:
    validated, predictor, agreement = found.validated, found.predictor, found.agreement
    if not validated.trained:
        return [f"Nothing has been validated: whether the {noun(predictor)} agrees with training is not known."]
    said = f"Kendall's tau of {predictor} with accuracy (plus: the {noun(predictor)} is right), "
    said += "; ".join(f"{name}: {interval(agreement.kendall[subset])}" for subset, name in SUBSETS.items()) + "."
    sizes = {name: agreement.baselines[name]["kendall"]["all"].value for name in BASELINES if name != predictor}
    known = {name: value for name, value in sizes.items() if value is not None}
    if known:
        name = max(known, key=lambda name: abs(known[name]))
        said += f" Of the trivial baselines {name} says most: {known[name]:+.2f}."
    if agreement.noise_ceiling.kendall is not None:
        said += f" Two training seeds agree with each other at {agreement.noise_ceiling.kendall:+.2f}."
    if not validated.diverged:
        return [said]
    every = f"{validated.diverged} of {validated.trained} validated architectures diverged in every training"
    return [said, f"{every}; they rank below every finished one."]


def _left_out(found: Findings) -> list[str]:
    if not found.unknown:
        return []
    trainings = f"{found.unknown} training{'' if found.unknown == 1 else 's'} of these architectures, "
    trainings += "stored by an earlier version,"
    unknown = "it is unknown which data they were trained on (nasjac validate trains anew)"
    return [f"{trainings} count for nothing here, for {unknown}."]


def interval(correlation: Correlation) -> str:
    """A correlation in words: "+0.52 [+0.21, +0.74] (n = 16)", or why there is none."""
    if correlation.value is None:
        return f"not known ({correlation.reason})"
    if correlation.low is None:
        return f"{correlation.value:+.2f} (n = {correlation.n}, {correlation.reason})"
    return f"{correlation.value:+.2f} [{correlation.low:+.2f}, {correlation.high:+.2f}] (n = {correlation.n})"


def plus_minus(value: float | None, error: float | None, form: str = ".4f") -> str:
    """A value and its standard error in words; the error left out where there is none."""
    if value is None:
        return "not known"
    return f"{value:{form}}" if error is None else f"{value:{form}} ± {error:{form.lstrip('+')}}"
