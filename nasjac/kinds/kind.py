"""The contract of a kind of network. Its Spec and its module are required; every other part has a fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasjac.architecture.facts import Facts
from nasjac.architecture.size import Size
from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.kinds.closed_form import ClosedForm
from nasjac.kinds.modules.measured import facts_of_modules, measured_energies
from nasjac.kinds.sampler import Network, Sampler
from nasjac.kinds.surgery import Surgery
from nasjac.kinds.training.training import Training


@dataclass(frozen=True)
class Kind:
    """One kind of network.

    Args:
        spec: Its dataclass, a subclass of `nasjac.Spec` with `kind` and `ops`.
        network: Makes an initialized module from (spec, inputs, outputs, generator): a `nasjac.ResidualNetwork`, whose
            blocks map h_{l-1} to h_l.
        facts: Gives the facts of canonical Specs. Without it the module's parameters and FLOPs are counted, and the
            energies of its branches are measured at one initialization.
        size: Gives parameters and FLOPs of a canonical Spec's blocks, without learned gates, sooner than `facts` does.
        branch_energies: Gives [L] the expected energy χ of each kept block's branch. Without it they are measured too.
        closed_form: Its closed forms by the mean-field theory; without them the score `meanfield` does not cover it.
        sampler: How its Jacobians are sampled; without it one architecture after the other, by autograd.
        training: How it is trained; without it one network after the other.
        surgery: How it grows and loses branches; without it by the rules of blocks x -> x + F(x).
        space: Its search space, a dataclass of options with defaults; without it none has to be named.
    """

    spec: type[Spec]
    network: Network
    facts: Callable[[Sequence[Any]], list[Facts]] | None = None
    size: Callable[[Any], Size] | None = None
    branch_energies: Callable[[Any], NDArray[np.float64]] | None = None
    closed_form: ClosedForm[Any] | None = None
    sampler: Sampler[Any] | None = None
    training: Training[Any] = field(default_factory=Training)
    surgery: Surgery = field(default_factory=Surgery)
    space: type[Space] | None = None

    @property
    def sampling(self) -> Sampler[Any]:
        """How its Jacobians are sampled."""
        return self.sampler or Sampler(self.network)

    def facts_of(self, specs: Sequence[Spec]) -> list[Facts]:
        """Say how large and how deep architectures are.

        Args:
            specs: Canonical Specs of this kind.

        Returns:
            Facts of each, in order.
        """
        return self.facts(specs) if self.facts else facts_of_modules(self.network, specs)

    def size_of(self, spec: Spec) -> Size:
        """Say how large an architecture is.

        Args:
            spec: A canonical Spec of this kind.

        Returns:
            Parameters and FLOPs of its blocks, those of its facts.
        """
        if self.size is None:
            [known] = self.facts_of([spec])
            return Size(known.params, known.flops)
        params, flops = self.size(spec)
        return Size(params + sum(block.gate for block in spec.blocks), flops)

    def energies_of(self, spec: Spec) -> NDArray[np.float64]:
        """Say how much each block's branch adds to the stream.

        Args:
            spec: A canonical Spec of this kind.

        Returns:
            [L] energy χ of each kept block's branch.
        """
        return self.branch_energies(spec) if self.branch_energies else measured_energies(self.network, spec)
