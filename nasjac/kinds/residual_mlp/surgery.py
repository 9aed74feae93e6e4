"""How residual MLPs grow and lose branches."""

from __future__ import annotations

from nasjac.kinds.surgery import PlacedSurgery, SteppedSurgery


class ResidualMLPSurgery(PlacedSurgery, SteppedSurgery):
    """The rules of blocks with placed norms that may be steps in time."""


SURGERY = ResidualMLPSurgery()
