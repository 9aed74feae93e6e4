"""Samplers: those of ours, one file each, and by name those that a search is usually given.

Every other sampler of Optuna's is named by its class.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import optuna

from nasjac.samplers.nsga2 import NSGAII

#: nsga2  genetic search for several objectives (Deb et al. 2002); the default
#: nsga3  genetic search with reference points (Deb and Jain 2014), for three objectives and more
#: random uniform random search: the baseline
#: tpe    tree-structured Parzen estimator (Bergstra et al. 2011); batches need its constant liar
SAMPLERS: dict[str, partial[Any]] = {
    "nsga2": partial(NSGAII, population_size=50),
    "nsga3": partial(optuna.samplers.NSGAIIISampler, population_size=50),
    "random": partial(optuna.samplers.RandomSampler),
    "tpe": partial(optuna.samplers.TPESampler, multivariate=True, constant_liar=True),
}
