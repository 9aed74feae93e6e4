"""What of a table `nasjac correlate` has memory for: pairs, resamples, and networks."""

from __future__ import annotations

import torch
from torch import Tensor

from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
from nasjac.foundation.memory import free
from nasjac.kinds.facts import facts

#: architectures that are compared pair by pair, at most: every pair is a place in memory
MOST = 2**14
#: architectures of all bootstrap resamples together, at most
RESAMPLED = 2**26
#: initializations of a network that are there at once, at least
DRAWS = 16
#: why an architecture that is too large has no score
NO_ROOM = "no memory for it on this machine, even alone"


def check_size(count: int, resamples: int) -> None:
    """InputError where memory has no room for the pairs of `count` architectures, or for their resamples."""
    if count > MOST:
        raise InputError(f"`n` must be at most {MOST} to compare all pairs, got {count} architectures of the table")
    if count * resamples > RESAMPLED:
        rule = f"at most {RESAMPLED // count} for {count} architectures"
        raise InputError(f"`resamples` must be {rule}, got {resamples}")


def has_room(spec: Spec, inputs: Tensor, device: torch.device) -> bool:
    """Whether there is memory for the largest tensor that a Spec's network needs: weights or a layer, of each draw."""
    [found] = facts([spec])
    columns = inputs.shape[-1] if inputs.is_floating_point() else int(inputs.max()) + 1  # or as many ids
    weights = found.params // max(1, found.depth)
    return 4 * DRAWS * max(weights, spec.width * columns, spec.units) <= free(device)
