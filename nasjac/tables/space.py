"""The contract of a space of tables: which architectures a table of trained networks holds, and what is known of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Flag, auto
from typing import Any, ClassVar, Protocol

from torch import Tensor

from nasjac.datasets import Data


class Material(Flag):
    """What a space offers of its architectures, and what a score needs one of.

    FACTS     params, FLOPs, depth, width and skips: `TableSpace.facts`
    SPECS     Specs of nasjac's own kinds, all those of one table
    NETWORKS  networks that nasjac builds, of images: `NetworkSpace`
    """

    FACTS = auto()
    SPECS = auto()
    NETWORKS = auto()


class Elsewhere(ValueError):
    """An architecture is valid but belongs to another space: a table can hold architectures of several spaces."""


class Architecture(Protocol):
    """A frozen dataclass; `key` is that of the function it computes, 12 hexadecimal digits."""

    @property
    def key(self) -> str: ...

    def to_json(self) -> str: ...


class TableSpace(ABC):
    """The architectures of a table: derive a frozen dataclass from it.

    `column` holds the architecture, `targets` what training gave (the first one unless another is asked for), `others` are
    further columns that the table has, of which some are understood: see `nasjac.tables.file.read_table`. `offers` is what
    scores find there.
    """

    column: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    others: ClassVar[tuple[str, ...]]
    offers: ClassVar[Material] = Material.FACTS

    @property
    @abstractmethod
    def name(self) -> str:
        """The label of the space in answers, and of its rows in a column `kind`."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the architecture of a cell.

        Args:
            text: What stands in `column`.

        Returns:
            An `Architecture`.

        Raises:
            InputError: It is malformed.
            Elsewhere: It is valid, but of another space.
        """

    @abstractmethod
    def facts(self, architecture: Any) -> Mapping[str, float]:
        """Return what is known of an architecture without a pass.

        Args:
            architecture: As `parse` returns it.

        Returns:
            params, flops (a multiply-add is two), depth, width and skip_count of the trained network.
        """

    @abstractmethod
    def random(self, count: int, seed: int) -> list[Any]:
        """Return random architectures, always the same for a seed: a reference population for scores that rank.

        Args:
            count: How many; there may be fewer where the space holds no more.
            seed: Of the draw.

        Raises:
            InputError: The space holds what its table does and is not bound to one (`bind`).
        """

    @abstractmethod
    def inputs(self, data: Data) -> Tensor:
        """Return the training inputs that the space's networks take.

        Args:
            data: A dataset as loaded.

        Returns:
            Standardized images [n, C, H, W], features [n, features], or token ids [n, T].

        Raises:
            InputError: The dataset does not fit the networks.
        """

    def bind(self, architectures: Sequence[Any]) -> TableSpace:
        """Return the space with the architectures of one table, if it holds what its table does; by default itself.

        Args:
            architectures: All those of the table, in any order.
        """
        return self
