"""How residual MLPs grow and lose branches."""

from __future__ import annotations

from nasjac.kinds.surgery import PlacedSurgery, SteppedSurgery


class ResidualMLPSurgery(PlacedSurgery, SteppedSurgery):
    """Its blocks have placed norms, and may be steps in time."""


SURGERY = ResidualMLPSurgery()
