"""Scores: one option a file. A score maps architectures to measurements without training (`nasjac.scores.base.Score`)."""

from __future__ import annotations

from nasjac.scores.apjn import Apjn
from nasjac.scores.base import Score
from nasjac.scores.meanfield import Meanfield
from nasjac.scores.measuring import SCORES, measure
from nasjac.scores.merit import Merit

__all__ = ["SCORES", "Apjn", "Meanfield", "Merit", "Score", "measure"]
