"""Contract tests that a kind, space, score, dataset, trainer or table score of your own can inherit.

    from nasjac.testing import SpaceContract

    class TestMySpace(SpaceContract):
        def space(self):
            return MySpace()

pytest then runs every test of the contract on it. For the values in a failed assertion, say in your `conftest.py`, before
anything imports this package: `pytest.register_assert_rewrite("nasjac.testing")`.
"""

from nasjac.testing.datasets import DatasetContract
from nasjac.testing.kinds import KindContract
from nasjac.testing.scores import ScoreContract
from nasjac.testing.spaces import SpaceContract
from nasjac.testing.table_scores import TableScoreContract
from nasjac.testing.trainers import TrainerContract

__all__ = ["DatasetContract", "KindContract", "ScoreContract", "SpaceContract", "TableScoreContract", "TrainerContract"]
