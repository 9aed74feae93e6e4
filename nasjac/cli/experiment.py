"""An experiment as a Hydra command: options from a dataclass, help from a docstring, one JSON object at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore

Main = Callable[[Any, Path], Mapping[str, Any]]


def experiment(options: type, story: str | None) -> Callable[[Main], Callable[[], None]]:
    """Make `main(options, folder)` a command that takes name=value and prints what it returns as JSON, in its last line.

    `options` is a dataclass with a field `out`, the folder, which is made; `story` is printed by --help. Hydra writes
    nothing of its own.
    """
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    text = "${hydra.help.header}\nOptions and their defaults:\n\n$CONFIG"
    settings = {
        "run": {"dir": "."},
        "output_subdir": None,
        "job": {"name": "experiment", "chdir": False},
        "help": {"header": story, "footer": "", "template": text},
    }
    store = ConfigStore.instance()
    store.store(name="options", node=options)
    store.store(name="experiment", node={"defaults": ["options", "_self_", *quiet], "hydra": settings})

    def command(main: Main) -> Callable[[], None]:
        def task(config: Any) -> None:
            folder = Path(config.out)
            folder.mkdir(parents=True, exist_ok=True)
            print(json.dumps(main(config, folder)))

        run: Callable[[], None] = hydra.main(version_base="1.3", config_path=None, config_name="experiment")(task)
        return run

    return command
