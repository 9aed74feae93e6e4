"""A search space of MLP-Mixers: nasjac search space=examples.new_kind.space:space"""

from examples.new_kind.network import KIND
from nasjac import Block


def space(trial):
    """One architecture from one trial."""
    layers = trial.suggest_int("layers", 1, 4)
    scale = trial.suggest_float("scale", 0.2, 1.0)
    width = trial.suggest_categorical("width", [8, 16])
    blocks = (Block(op="patches", scale=scale), Block(op="channels", scale=scale)) * layers
    return KIND.spec(width=width, blocks=blocks, shape=(1, 8, 8))
