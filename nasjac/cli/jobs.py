"""The jobs of a command: one, or those of a sweep, in this process or in others as the launcher has it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nasjac.architecture.fields import check_choice
from nasjac.cli import print_usage_error
from nasjac.cli.call import Call
from nasjac.cli.sentence import sentence
from nasjac.foundation.errors import InputError
from nasjac.foundation.places import check_folder
from nasjac.searching.options import device_of

FORMATS = ("text", "json")


@dataclass(frozen=True)
class Jobs:
    """What Hydra calls once a job; a launcher may send it to another process, so it is plain data.

    `verb`     the command
    `command`  its words, as `sys.argv` has them here
    `failures` a folder in which each job that fails leaves an empty file, whose name ends with its exit code: no launcher
               or sweeper need hand it on
    `process`  the process of the command line
    """

    verb: str
    command: Sequence[str]
    failures: Path
    process: int

    def __call__(self, config: DictConfig) -> None:
        """Run one job. What a user can mend is said here, before Hydra prints it in its own way, and a sweep goes on."""
        sys.argv = list(self.command)
        try:
            code = self._code(config)
        except Exception:
            self._fail(1)
            if os.getpid() != self.process:  # an exception that comes back from there has lost its traceback
                traceback.print_exc()
            raise
        if code:
            self._fail(code)
        if code >= 128:
            raise SystemExit(code)  # a signal stops the whole sweep

    def _code(self, config: DictConfig) -> int:
        try:
            check_choice("format", config.format, FORMATS)
            for name in ("out", "save"):
                if config.get(name) is not None:
                    check_folder(config[name], name)
            device_of(config.device)
            answer = import_module(f"nasjac.cli.{self.verb}").run(Call(config, HydraConfig.get().runtime.choices))
            if isinstance(answer, int):
                return answer
            print(answer.json if config.format == "json" else answer.text, flush=True)
            return 0
        except (HydraException, OmegaConfBaseException) as error:
            return print_usage_error(sentence(error))
        except (InputError, OSError) as error:
            return print_usage_error(error)

    def _fail(self, code: int) -> None:
        (self.failures / f"{uuid4().hex}.{code}").touch()

    @property
    def code(self) -> int:
        """Return the exit code of the command: the largest of its jobs."""
        return max((int(path.suffix[1:]) for path in self.failures.iterdir()), default=0)
