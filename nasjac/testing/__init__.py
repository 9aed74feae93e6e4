"""Contract tests that a kind, space, score, dataset or trainer of your own can inherit.

    from nasjac.testing import SpaceContract

    class TestMySpace(SpaceContract):
        def space(self):
            return MySpace()

pytest then runs every test of the contract on it.
"""

from nasjac.testing.datasets import DatasetContract
from nasjac.testing.kinds import KindContract
from nasjac.testing.scores import ScoreContract
from nasjac.testing.spaces import SpaceContract
from nasjac.testing.trainers import TrainerContract

__all__ = ["DatasetContract", "KindContract", "ScoreContract", "SpaceContract", "TrainerContract"]
