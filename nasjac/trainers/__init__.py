"""Trainers: brief training of a few architectures, to check what a score says; one file each."""

from __future__ import annotations

from nasjac.trainers.adamw import AdamW
from nasjac.trainers.population import fit_population
from nasjac.trainers.run import Progress, Run, Trainer, best, trainer_id
from nasjac.trainers.sgd import SGD

TRAINERS = {"adamw": AdamW, "sgd": SGD}

__all__ = ["SGD", "TRAINERS", "AdamW", "Progress", "Run", "Trainer", "best", "fit_population", "trainer_id"]
