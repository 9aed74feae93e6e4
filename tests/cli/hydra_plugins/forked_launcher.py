"""A launcher of sweeps whose jobs run in other processes, as those of joblib or of a cluster do.

Hydra takes plugins from the package `hydra_plugins` alone, which may lie in several places.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict


class ForkedLauncher(Launcher):
    """One child after the other; what a job returns or raises comes back as a pickle, without its traceback."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        return [self._run(number, list(words)) for number, words in enumerate(job_overrides, initial_job_idx)]

    def _run(self, number: int, words: list[str]) -> JobReturn:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, words)
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            task = pickle.loads(pickle.dumps(self.task_function))
            keys = {"job_dir_key": "hydra.sweep.dir", "job_subdir_key": "hydra.sweep.subdir"}
            done = run_job(hydra_context=self.hydra_context, task_function=task, config=config, **keys)
            with open(writing, "wb") as pipe:
                pickle.dump(done, pipe)
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            done = pickle.load(pipe)
        os.waitpid(child, 0)
        assert isinstance(done, JobReturn)
        return done
