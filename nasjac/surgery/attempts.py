"""Growths that are tried, until there are as many new blocks as were asked for, or as many as are safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Generator

from nasjac.architecture.spec import MOST_BLOCKS
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.surgery.branches.norms import Norms
from nasjac.surgery.insertion import Beginning
from nasjac.surgery.limits import Allowed, Limits
from nasjac.surgery.network import Network
from nasjac.surgery.paths import branch_norms

#: new blocks by which it is first told how many there may be
PILOT = 8
#: most blocks that `max` gives: beyond, a number is to be asked for
MOST = 512


@dataclass(frozen=True)
class Plan:
    """How many new blocks come, how they begin, what holds them back, and after which blocks they go.

    `blocks` may be "max", as many as are safe; `option` is what the user calls it. `full` is how new blocks begin by which
    those are measured that begin as the identity. `after` None spreads them evenly.
    """

    option: str
    blocks: int | str
    beginning: Beginning
    limits: Limits
    after: tuple[int, ...] | None = None
    full: Beginning | None = None

    def __post_init__(self) -> None:
        if self.blocks != "max":
            if not isinstance(self.blocks, int) or isinstance(self.blocks, bool) or self.blocks < 1:
                raise InputError(f"`{self.option}` must be a whole number of at least 1, or max, got {self.blocks!r}")
            arguments.whole(self.option, self.blocks, 1, MOST_BLOCKS)
        if self.after is not None and not self.after:
            raise InputError("`after` must hold numbers of blocks, got none")


@dataclass(frozen=True)
class Attempt:
    """A grown network, the norms of its new blocks by their numbers, and whether there may be so many."""

    network: Network
    norms: Mapping[int, Norms]
    allowed: Allowed


def attempts(old: Network, plan: Plan, pilot: int, say: Callable[[str], None]) -> tuple[Attempt | None, Attempt]:
    """A growth at full size where new blocks begin as the identity, and the growth that was asked for.

    As many as are safe are as many as are safe at full size.
    """

    def attempt(count: int, beginning: Beginning) -> Attempt:
        network, new = old.grown(count, beginning, plan.after)
        with network.ready():
            norms = branch_norms(network.links, new, Generator().manual_seed(beginning.seed))
        spectral = tuple(float(one.spectral.max()) for one in norms.values())
        return Attempt(network, norms, Allowed(plan.limits, spectral, tuple(one.energy for one in norms.values())))

    count = pilot if plan.blocks == "max" else int(plan.blocks)
    nominal = attempt(count, plan.full) if plan.full else None
    if plan.blocks != "max":
        return nominal, attempt(count, plan.beginning)
    first = nominal or attempt(count, plan.beginning)
    most = _as_many(first, lambda number: attempt(number, plan.full or plan.beginning), plan.option, say)
    return nominal, attempt(len(most.norms), plan.beginning) if nominal else most


def _as_many(first: Attempt, attempt: Callable[[int], Attempt], name: str, say: Callable[[str], None]) -> Attempt:
    """Return the first attempt with as many blocks as the rule allows, beginning from the count that `first` allows.

    Raises:
        InputError: The rule allows not even one block, more than `MOST`, or any number.
    """
    done, count = first, first.allowed.count
    while count:
        if count > MOST:
            told = f"more than {MOST}, got max: it allows {count}"
            raise InputError(f"`{name}` must be a number where the rule allows {told}")
        say(f"trying {count} new blocks")
        done = attempt(count)
        if done.allowed.holds:
            return done
        count = min(count - 1, done.allowed.count or 0)
    if count is None:
        raise InputError(f"`{name}` must be a number where any number is allowed (new blocks are the identity), got max")
    raise done.allowed.refusal("max, of which not even one is allowed")
