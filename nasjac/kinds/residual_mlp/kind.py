"""The kind `residual_mlp`."""

from __future__ import annotations

from nasjac.kinds.closed_form import ClosedForm
from nasjac.kinds.kind import Kind
from nasjac.kinds.residual_mlp.closed_form import COVERED, branch_energies, columns, facts, size
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork
from nasjac.kinds.residual_mlp.sampling import ResidualMLPSampler
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.residual_mlp.spec import ResidualMLP
from nasjac.kinds.residual_mlp.training import ResidualMLPTraining
from nasjac.kinds.surgery import PlacedSurgery, SteppedSurgery


class ResidualMLPSurgery(PlacedSurgery, SteppedSurgery):
    """Its blocks have placed norms, and may be steps in time."""


KIND = Kind(
    spec=ResidualMLP,
    network=ResidualMLPNetwork,
    facts=facts,
    size=size,
    branch_energies=branch_energies,
    closed_form=ClosedForm(columns, COVERED),
    sampler=ResidualMLPSampler(),
    training=ResidualMLPTraining(),
    surgery=ResidualMLPSurgery(),
    space=ResidualMlpSpace,
)
