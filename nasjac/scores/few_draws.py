"""E log 𝒥 of large networks from as few draws of the weights as the asked precision takes: two, where two are enough.

A draw of the weights carries two inputs, forward alone, with four tangents each, or two in a large network. What is known
of their variance before is a `Prior` (`nasjac.mathematics.moderated`): by closed form, or fitted on architectures of
the same space, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.measurement import Estimate, Status
from nasjac.architecture.spec import Spec
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.population import Tally
from nasjac.mathematics.logarithms import debiased
from nasjac.mathematics.moderated import NO_PRIOR, Prior, fitted
from nasjac.sampling.samples import FORWARD, Array, Plan, Samples
from nasjac.scores.closed_forms import log_relative_square, uncovered
from nasjac.scores.sample_bank import SampleBank, Sampling
from nasjac.scores.sampled_terms import DEAD_DRAWS, failure_of, is_dead

#: Draws before the first look where nothing is known before: Student's interval of fewer, looked at again and again, holds
#: the truth less often (`experiments/017_few_draws`).
UNINFORMED = 6
#: draws before a zero Jacobian among them says that the architecture diverges
JUDGED = 16
#: what the closed form of the variance counts, in degrees of freedom (`experiments/017_few_draws`)
CLOSED_FORM_DEGREES = 4.0
#: draws of each architecture that a prior is fitted on, and the least architectures
FITTED_DRAWS, LEAST_FITTED = 8, 8
MOST_DRAWS = 2**12
#: what a draw carries of a network whose h_0 has so many units of all tokens
LARGE, LARGE_UNITS = FORWARD._replace(tangents=2), 2**12


@dataclass(frozen=True)
class LogNorm:
    """E log 𝒥 of one architecture, 𝒥 = ‖∂h_L/∂h_0‖_F² / N_L, in nats.

    Args:
        key: The architecture's.
        status: ok; diverged, where activations or Jacobians are not finite or more than a tenth of the draws have a zero
            Jacobian; out_of_memory.
        mean_log: The mean over draws with a Jacobian that is not zero. Its standard error is that of the moderated t times
            the quantile of Student's distribution over 1.96, so that value ± 1.96 errors is an honest 95% interval however
            few the draws. Both are None unless the status is ok.
        degrees: Degrees of freedom of that interval, those of the prior and of the draws.
        draws: Draws of the weights that were taken.
        reached: Whether the standard error is as small as was asked for.
    """

    key: str
    status: Status
    mean_log: Estimate
    degrees: float
    draws: int
    reached: bool


def expected_log_norm(
    specs: Sequence[Spec],
    inputs: Tensor,
    error: float = 0.25,
    *,
    prior: Prior | None = None,
    max_draws: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[LogNorm]:
    """Estimate E log 𝒥 of architectures at initialization, each with as few draws as the precision takes.

    Below 4,096 units the draws are those of the score apjn with the same seed and `plan="forward"`. Those of large networks
    stream: their memory does not grow with the draws.

    Args:
        specs: Architectures that are no ensembles.
        inputs: [n, features] standardized data or [n, T] token ids, n at least 2.
        error: The largest standard error, in nats, above 0; of `LogNorm.mean_log`, an honest one.
        prior: What is known of the variance over draws: of `fitted_prior`, on architectures of the same space. By default
            it is ln(1 + cv²) of the closed form, where that covers the architecture; otherwise there is none, and at
            least 6 draws are taken.
        max_draws: The most draws, at least 2.
        seed: Of weights, inputs and probes.
        device: Where networks are sampled.

    Returns:
        One LogNorm for each architecture, in order.

    Raises:
        InputError: An ensemble, inputs that do not fit, or an option out of range.

    >>> [found] = expected_log_norm([Spec.of(width=8, blocks=())], torch.ones(4, 3))
    >>> found.draws, abs(round(found.mean_log.value, 3))
    (2, 0.0)
    """
    known = _concrete(specs)
    error = arguments.number("error", error, 0.0, open_low=True)
    max_draws = arguments.whole("max_draws", max_draws, 2, MOST_DRAWS)
    plans = {plan: _bank(inputs, seed, device, plan) for plan in (FORWARD, LARGE)}
    banks, priors = [plans[_plan(spec)] for spec in known], [prior or closed_form_prior(spec) for spec in known]
    found: dict[int, LogNorm] = {}
    draws = 0
    while waiting := [index for index in range(len(known)) if index not in found]:
        draws = min(next_look(draws), max_draws)
        for bank in plans.values():
            bank.reach(draws, [known[index] for index in waiting if banks[index] is bank])
        for index in waiting:
            one = log_norm(
                known[index].key, banks[index].samples[known[index].key], priors[index], error, draws == max_draws
            )
            if one.status != "ok" or one.reached or draws == max_draws:
                found[index] = one
    return [found[index] for index in range(len(known))]


def fitted_prior(
    specs: Sequence[Spec], inputs: Tensor, *, draws: int = FITTED_DRAWS, seed: int = 1, device: torch.device | str = "cpu"
) -> Prior:
    """Fit what the variances of log 𝒥 over draws are like among architectures of a space, for `expected_log_norm`.

    Its intervals then hold the truth for 95% of the architectures that are drawn as these were, not of each one.

    Args:
        specs: Random architectures of the space, at least 8 with a Jacobian that is not zero, no ensembles.
        inputs: [n, features] standardized data or [n, T] token ids, n at least 2.
        draws: Draws of the weights of each, at least 4.
        seed: Of weights, inputs and probes; another one than that of the estimates.
        device: Where networks are sampled.

    Returns:
        The prior variance and its degrees of freedom.

    Raises:
        InputError: An ensemble, too few architectures, inputs that do not fit, or an option out of range.
    """
    known, draws = _concrete(specs), arguments.whole("draws", draws, 4, MOST_DRAWS)
    held = []
    for plan, group in ((plan, [spec for spec in known if _plan(spec) == plan]) for plan in (FORWARD, LARGE)):
        bank = _bank(inputs, seed, device, plan)
        bank.reach(draws, group)
        held += [bank.samples[spec.key] for spec in group]
    values = [_logs(item) for item in held if item is not None and failure_of(item) is None and not is_dead(item).any()]
    variances = [float(logs.var(ddof=1)) for logs in values]
    if len(variances) < LEAST_FITTED or not any(variances):
        rule = f"at least {LEAST_FITTED} architectures whose Jacobians are finite, not zero, and differ between draws"
        raise InputError(f"`specs` must be {rule}, got {len(variances)} with finite ones")
    return fitted(variances, draws - 1)


def _concrete(specs: Sequence[Spec]) -> list[Spec]:
    known = [spec.canonical for spec in arguments.items("specs", specs, Spec, "Spec")]
    if any(spec.is_ensemble for spec in known):
        raise InputError("`specs` must be architectures without random skips, got an ensemble")
    return known


def _plan(spec: Spec) -> Plan:
    """The vectors of a draw: half as many tangents where the probes' noise is far below that of the weights."""
    return LARGE if spec.start_units >= LARGE_UNITS else FORWARD


def _bank(inputs: Tensor, seed: int, device: torch.device | str, plan: Plan) -> SampleBank:
    how = Sampling(2, plan, arguments.seed("seed", seed), "float32", None)
    return SampleBank(how, arguments.dense("inputs", inputs).detach(), arguments.device("device", device), Tally())


def next_look(draws: int) -> int:
    """The number of draws at the next look, all even: 2, 4, 6, 8, 12, 16, 24, ..."""
    power = 1 << (max(1, draws).bit_length() - 1)
    return max(2, draws + max(2, power // 2))


def closed_form_prior(spec: Spec) -> Prior:
    """What the closed form says of the variance over draws: nothing where it does not cover the architecture."""
    variance = None if uncovered(spec) else log_relative_square(spec)
    return NO_PRIOR if variance is None else Prior(variance, CLOSED_FORM_DEGREES)


def log_norm(key: str, samples: Samples | None, prior: Prior, error: float, last: bool) -> LogNorm:
    """What the samples say: too little as long as it is ok, not `reached` and not the `last` word."""
    nothing = Estimate(None, None)
    if samples is None:
        return LogNorm(key, "out_of_memory", nothing, 0.0, 0, False)
    draws, living = len(samples.decorrelation), np.logical_not(is_dead(samples).any(axis=1))
    dead = 1 - float(living.mean())
    # a share near the bound would be above it at one of many looks: so before the last one, only where that is certain
    bound = DEAD_DRAWS if last else DEAD_DRAWS + 2 * math.sqrt(DEAD_DRAWS * (1 - DEAD_DRAWS) / draws)
    if failure_of(samples) is not None or (dead > bound and (last or draws >= JUDGED)):
        return LogNorm(key, "diverged", nothing, 0.0, draws, False)
    if not living.any():
        return LogNorm(key, "ok", nothing, 0.0, draws, False)
    values = _logs(samples)[living]
    told = prior.error(values)
    least = JUDGED if dead else 2 if prior.degrees else UNINFORMED
    enough = told <= error and draws >= least and dead <= DEAD_DRAWS
    mean = Estimate(float(values.mean()), told if math.isfinite(told) else None)
    return LogNorm(key, "ok", mean, prior.degrees + len(values) - 1, draws, enough)


def _logs(samples: Samples) -> Array:
    """[D] log 𝒥 of each draw, the mean over its inputs, without the bias of few probes."""
    return np.asarray(debiased(samples.forward[..., -1]).value.mean(axis=-1))
