"""What residual branches do at the data of a network: their Jacobians' norms, their share of the stream.

norms   ‖J_F‖₂ and ‖J_F‖_F of one function at given points
ours    the branches of networks that `nasjac.kinds.build` builds
theirs  the blocks x + F(x) of any model
"""

from __future__ import annotations

from nasjac.surgery.branches.norms import Norms, norms

__all__ = ["Norms", "norms"]
