"""Models that people bring: the Jacobian of any nn.Module, what brings it to criticality, and closed forms of ours."""

from nasjac.models.diagnose import diagnose
from nasjac.models.diagnosis import Diagnosis

__all__ = ["Diagnosis", "diagnose"]
