"""Models that are not ours: the layer-by-layer Jacobian of any nn.Module."""

from nasjac.foreign.diagnose import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
