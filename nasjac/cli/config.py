"""The typed configuration of each verb. Defaults live here and in the options' own dataclasses; YAML chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from nasjac.models.comparison import Options as DiagnoseOptions
from nasjac.samplers import SAMPLERS
from nasjac.searching.job import SearchOptions
from nasjac.searching.objectives import Budget
from nasjac.searching.options import GROUPS, choose
from nasjac.searching.validate import ValidationOptions
from nasjac.searching.warm_space import WarmOptions
from nasjac.surgery.limits import Budget as GrowBudget
from nasjac.surgery.prune import PruneOptions
from nasjac.tables.correlate import Options as CorrelateOptions
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.spaces import TABLE_SPACES

#: what a verb has in their place
GROUPS_OF: dict[str, dict[str, dict[str, Any]]] = {"correlate": {"space": TABLE_SPACES, "score": TABLE_SCORES}}


@dataclass
class Common:
    """What every verb takes. `trust` imports and runs what the database names, module:name options of one's own, and takes
    a database whose schema is not nasjac's.
    """

    database: str = "nasjac.db"
    device: str = "auto"
    quiet: bool = False
    format: str = "text"
    trust: bool = False


@dataclass
class SearchConfig(Common):
    """nasjac search."""

    study: str | None = None
    on_conflict: str = "resume"
    seed: int = 0
    space: Any = None
    score: Any = None
    sampler: Any = None
    dataset: Any = None
    trainer: Any = None
    budget: Budget = field(default_factory=Budget)
    search: SearchOptions = field(default_factory=SearchOptions)
    warm: WarmOptions = field(default_factory=WarmOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    save: str | None = None
    out: str = "reports"


@dataclass
class ValidateConfig(Common):
    """nasjac validate. `space`, `score` and `sampler` are the study's own; one given confirms that it may be run."""

    study: str = "???"
    space: Any = None
    score: Any = None
    sampler: Any = None
    dataset: Any = None
    trainer: Any = None
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    save: str | None = None
    out: str = "reports"


@dataclass
class TrainConfig(Common):
    """nasjac train."""

    key: str = "???"
    out: str = "???"
    dataset: Any = None
    trainer: Any = None


@dataclass
class ReportConfig(Common):
    """nasjac report."""

    study: str = "???"
    out: str = "reports"


@dataclass
class ArchitectureConfig(Common):
    """What the closed forms take: a stored architecture, or a space's choices; and its stream."""

    key: str | None = None
    space: Any = None
    choices: dict[str, Any] = field(default_factory=dict)
    stream_variance: float = 1.0


@dataclass
class TheoryConfig(ArchitectureConfig):
    """nasjac theory."""

    out: str | None = "reports/theory"


@dataclass
class PrescribeConfig(ArchitectureConfig):
    """nasjac prescribe: of an architecture, or of a `model` with its `input` and its residual `blocks`."""

    model: Any = None
    input: Any = None
    blocks: str | None = None
    target: float = 0.0
    tolerance: float = 1.0
    seed: int = 0
    out: str | None = "reports/prescribe"


@dataclass
class DiagnoseConfig(Common):
    """nasjac diagnose."""

    model: Any = None
    input: Any = None
    compare: list[Any] = field(default_factory=list)
    layers: Any = DiagnoseOptions.layers
    origin: str | None = DiagnoseOptions.origin
    output: str | None = DiagnoseOptions.output
    batchnorm: str = DiagnoseOptions.batchnorm
    tokens: str = DiagnoseOptions.tokens
    reinitialize: int = DiagnoseOptions.reinitialize
    rel_error: float = DiagnoseOptions.rel_error
    max_probes: int = DiagnoseOptions.max_probes
    seed: int = DiagnoseOptions.seed
    out: str = "reports/diagnose"


@dataclass
class GrowConfig(Common):
    """nasjac grow: of a `checkpoint`, or of a `model` with its `input`, whose list of blocks `blocks` names."""

    checkpoint: str | None = None
    model: Any = None
    input: Any = None
    blocks: Any = "???"
    insert: Any = None
    init: str | None = None
    gain: float = 0.1
    after: Any = None
    budget: GrowBudget = field(default_factory=GrowBudget)
    rule: str | None = None
    epsilon_spectral: float | None = None
    epsilon_rms: float | None = None
    points: int = 16
    seed: int = 0
    force: bool = False
    allow_pickle: bool = False
    dataset: Any = None
    out: str | None = None


@dataclass
class PruneConfig(Common):
    """nasjac prune: of a `checkpoint`, a `spec`, or a `model` with its `input`, whose list of blocks `blocks` names."""

    checkpoint: str | None = None
    spec: str | None = None
    model: Any = None
    input: Any = None
    blocks: str | None = None
    ratio: float = PruneOptions.ratio
    criterion: str = PruneOptions.criterion
    points: int = PruneOptions.points
    fine_tune: int = PruneOptions.fine_tune
    learning_rate: float = PruneOptions.learning_rate
    save_tuned: str | None = None
    seed: int = PruneOptions.seed
    allow_pickle: bool = False
    dataset: Any = None
    out: str | None = None


@dataclass
class CorrelateConfig(Common):
    """nasjac correlate."""

    table: str = "???"
    space: Any = None
    score: Any = None
    dataset: Any = None
    target: str | None = CorrelateOptions.target
    n: int | None = CorrelateOptions.n
    half: str = CorrelateOptions.half
    seed: int = CorrelateOptions.seed
    resamples: int = CorrelateOptions.resamples
    out: str | None = None


SCHEMAS: dict[str, type[Common]] = {
    "search": SearchConfig,
    "validate": ValidateConfig,
    "train": TrainConfig,
    "report": ReportConfig,
    "theory": TheoryConfig,
    "prescribe": PrescribeConfig,
    "diagnose": DiagnoseConfig,
    "grow": GrowConfig,
    "prune": PruneConfig,
    "correlate": CorrelateConfig,
}


def groups_of(verb: str) -> dict[str, dict[str, Any]]:
    """The option groups of a verb."""
    return GROUPS | GROUPS_OF.get(verb, {})


def register(verb: str) -> None:
    """Make a verb's schema and options known to Hydra, in place of another verb's."""
    store = ConfigStore.instance()
    store.store(name=f"{verb}_schema", node=open_node(SCHEMAS[verb]))
    for group, options in groups_of(verb).items():
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
