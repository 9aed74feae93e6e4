"""The typed configuration of a verb, as Hydra has it. Defaults live in its `Config` and in the options' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from nasjac.samplers import SAMPLERS
from nasjac.searching.options import GROUPS, choose


@dataclass(frozen=True)
class Common:
    """What every verb takes. `trust` imports and runs what the database names, module:name options of one's own, and takes
    a database whose schema is not nasjac's. `groups` are the verb's option groups.
    """

    groups: ClassVar[dict[str, dict[str, Any]]] = GROUPS

    database: str = "nasjac.db"
    device: str = "auto"
    quiet: bool = False
    format: str = "text"
    trust: bool = False


def config_of(verb: str) -> type[Common]:
    """Return the dataclass of a verb's options."""
    kind: type[Common] = import_module(f"nasjac.cli.{verb}").Config
    return kind


def register(verb: str) -> None:
    """Make a verb's schema and options known to Hydra, in place of another verb's."""
    store, kind = ConfigStore.instance(), config_of(verb)
    store.store(name=f"{verb}_schema", node=open_node(kind))
    for group, options in kind.groups.items():
        store.repo.pop(group, None)
        for name, option in options.items():
            store.store(group=group, name=name, node=open_node(option))
    for name in SAMPLERS:
        store.store(group="sampler", name=name, node=dict(choose("sampler", name).options))


def open_node(option: Any) -> Any:
    """A config node of a dataclass or an instance of one; a frozen dataclass may be overridden like any other."""
    node = OmegaConf.structured(option)
    _unfreeze(node)
    return node


def _unfreeze(node: Any) -> None:
    OmegaConf.set_readonly(node, None)
    for name in node:
        child = node._get_node(name)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_missing():
            _unfreeze(child)
