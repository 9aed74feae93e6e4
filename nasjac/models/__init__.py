"""Models that are not ours: the layer-by-layer Jacobian of any nn.Module."""

from nasjac.models.diagnose import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
