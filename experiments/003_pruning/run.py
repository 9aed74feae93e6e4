"""What does pruning residual branches do to a network's paths and to its Jacobian? README.md beside this file tells.

    python experiments/003_pruning/run.py [name=value ...]

Prunes relu chains whose branches differ in energy, by every criterion and in several ratios; counts paths, and measures
the Jacobian that is left and the damage beside the closed forms. Writes table.csv, lengths.csv and figure.png into `out`.
The last line is one JSON object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from nasjac import Block, Spec
from nasjac.architecture.pruning_criteria import CRITERIA, keep_set
from nasjac.cli.experiment import experiment
from nasjac.foundation.text_tables import write_csv
from nasjac.kinds.facts import columns
from nasjac.kinds.population import sample
from nasjac.mathematics.gradient_paths import count_paths, energy_shares, log_pruning_damage, path_lengths
from nasjac.mathematics.meanfield import expected_norms
from nasjac.mathematics.meanfield.kernels import kernel
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style
from nasjac.sampling.draws import Draws

Array = NDArray[np.float64]
Keep = NDArray[np.bool_]
FEATURES = 32  # of the random inputs; no expectation depends on it


@dataclass
class Options:
    """Chains of `depth` blocks of `width` units; branch energies are log-spaced from `chi_low` to `chi_high`, shuffled.

    `draws` of the weights; `ratios` of the branches that are pruned; `lengths_ratio` is the one whose path lengths are
    drawn. `seed` of the order of the energies, of the weights and of the criterion `random`.
    """

    out: str = "reports/003_pruning"
    width: int = 48
    depth: int = 20
    chi_low: float = 0.05
    chi_high: float = 1.0
    ratios: list[float] = field(default_factory=lambda: [round(0.1 * step, 1) for step in range(10)])
    lengths_ratio: float = 0.5
    draws: int = 200
    seed: int = 0


class Estimate(NamedTuple):
    """The mean over draws and its standard error."""

    value: Any
    error: Any


def estimate(values_D: Array) -> Estimate:
    return Estimate(values_D.mean(axis=0), values_D.std(axis=0, ddof=1) / math.sqrt(len(values_D)))


def branch_energies(options: Options) -> Array:
    """[L] chi of the blocks."""
    spaced = np.geomspace(options.chi_low, options.chi_high, options.depth)
    return np.asarray(np.random.default_rng(options.seed).permutation(spaced))


def chain(options: Options, chi: Array, keep: Keep) -> Spec:
    """Two-matrix relu branches of weight gain 1 have chi = scale²/2."""
    blocks = (Block(keep=bool(k), scale=math.sqrt(2 * energy)) for energy, k in zip(chi, keep, strict=True))
    return Spec.of(width=options.width, blocks=tuple(blocks))


def keep_sets(options: Options, chi: Array) -> dict[tuple[str, float], Keep]:
    """[L] what stays, by criterion and ratio."""
    depth = options.depth
    pairs = ((criterion, ratio) for criterion in CRITERIA for ratio in options.ratios)
    return {(name, ratio): keep_set(ratio, name, depth, lambda: chi, options.seed) for name, ratio in pairs}


def norms_left(options: Options, chi: Array, keeps: dict[tuple[str, float], Keep]) -> dict[str, Estimate]:
    """By key of the pruned Spec: log E‖J_K‖²/N, as any other architecture is sampled."""
    specs = {spec.key: spec for keep in keeps.values() if (spec := chain(options, chi, keep).canonical).blocks}
    inputs = torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(options.seed))
    draws = Draws(options.seed, range(options.draws), torch.float64, torch.device("cpu"))
    found = {}
    for key, samples in zip(specs, sample(list(specs.values()), inputs, draws), strict=True):
        mean, error = estimate(np.exp(samples.forward[..., -1]).mean(axis=(1, 2)))
        found[key] = Estimate(math.log(mean), error / mean)
    return found


class Chains:
    """Draws of the whole network with their exact Jacobians. Letters: D draws, L blocks, N width; float64."""

    def __init__(self, options: Options, chi: Array) -> None:
        generator = torch.Generator().manual_seed(options.seed)
        size = (options.depth, options.draws, options.width, options.width)
        inner, outer = torch.randn(2, *size, generator=generator, dtype=torch.float64) / math.sqrt(options.width)
        scale = torch.from_numpy(np.sqrt(2 * chi))
        self.inner_LDNN, self.outer_LDNN = inner, outer * scale[:, None, None, None]
        self.start_DN = torch.randn(size[1], size[2], generator=generator, dtype=torch.float64)
        self.identity = torch.eye(options.width, dtype=torch.float64).expand(options.draws, -1, -1)
        everything = np.ones(options.depth, dtype=np.bool_)
        self.branches_LDNN = torch.stack(list(self._branches(everything)))
        self.whole_DNN = self.removed(everything)

    def _branches(self, keep: Keep) -> Iterator[Tensor]:
        """Jacobians W2 D W1 of the kept branches, at the relu masks of the network that has these branches only."""
        stream = self.start_DN
        for block in np.flatnonzero(keep):
            inner, outer = self.inner_LDNN[block], self.outer_LDNN[block]
            before = (inner @ stream[..., None])[..., 0]
            stream = stream + (outer @ before.relu()[..., None])[..., 0]
            yield (outer * (before > 0)[:, None, :]) @ inner

    def removed(self, keep: Keep) -> Tensor:
        """[D, N, N] the paths of the whole network that stay, at its own masks."""
        jacobian = self.identity
        for block in np.flatnonzero(keep):
            jacobian = jacobian + self.branches_LDNN[block] @ jacobian
        return jacobian

    def alone(self, keep: Keep) -> Tensor:
        """[D, N, N] the Jacobian of the pruned network, which shares the weights and has masks of its own."""
        jacobian = self.identity
        for branch in self._branches(keep):
            jacobian = jacobian + branch @ jacobian
        return jacobian

    def damage(self, pruned_DNN: Tensor) -> Estimate:
        """E‖J − J_K‖² / E‖J‖², a ratio of two means over the same draws."""
        lost, whole = energy(self.whole_DNN - pruned_DNN), energy(self.whole_DNN)
        ratio = lost.mean() / whole.mean()
        return Estimate(ratio, estimate(lost - ratio * whole).error / whole.mean())

    def lengths(self, keep: Keep, log_norm: float) -> Estimate:
        """[L + 1] the energy of the paths through as many branches, as a share of E‖J_K‖² = e^`log_norm` N."""
        paths = [self.identity]  # by length
        for block in np.flatnonzero(keep):
            longer = [self.branches_LDNN[block] @ jacobian for jacobian in paths]
            paths = [paths[0], *(a + b for a, b in zip(paths[1:], longer[:-1], strict=True)), longer[-1]]
        energies = [energy(jacobian) for jacobian in paths]
        energies += [np.zeros_like(energies[0])] * (len(keep) + 1 - len(paths))
        return estimate(np.stack(energies, axis=1) / math.exp(log_norm))


def energy(jacobian_DNN: Tensor) -> Array:
    """[D] ‖J‖_F² / N."""
    return np.asarray(jacobian_DNN.square().sum(dim=-1).mean(dim=-1).numpy())


def wide_damage(chi: Array, keep: Keep) -> float:
    """The damage of the pruned network run by itself, N → ∞.

    The streams of the two networks have energies k, k_K and covariance c, their Jacobians energies k, k_K (relu) and
    E tr(J J_Kᵀ)/N = x. A kept block adds to c and x what the branches have in common: scale² = 2 chi times the relu's
    cross moments E φφ and E φ'φ'. Behind a gap c² < k k_K, so masks differ and x grows by less than 1 + chi.
    """
    k = k_kept = c = x = 1.0
    for energy_l, kept in zip(chi, keep, strict=True):
        if kept:
            common = kernel("relu", k, k_kept, c)
            c, x = c + 2 * energy_l * float(common.second), x * (1 + 2 * energy_l * float(common.derivative_second))
            k_kept *= 1 + energy_l
        k *= 1 + energy_l
    return (k + k_kept - 2 * x) / k


def log_norm(options: Options, chi: Array, keep: Keep) -> float:
    """The closed form, Σ log(1 + chi) over the kept blocks."""
    return float(expected_norms(columns([chain(options, chi, keep)])).forward[0, -1])


def pruned_rows(options: Options, chi: Array, chains: Chains) -> Iterator[dict[str, Any]]:
    keeps = keep_sets(options, chi)
    sampled = norms_left(options, chi, keeps)
    for (criterion, ratio), keep in keeps.items():
        left = sampled.get(chain(options, chi, keep).key, Estimate(0.0, 0.0))  # nothing left: the identity
        removed, alone = chains.damage(chains.removed(keep)), chains.damage(chains.alone(keep))
        yield {
            "criterion": criterion,
            "ratio": ratio,
            "kept": int(keep.sum()),
            "paths": count_paths([True] * options.depth, [bool(k) for k in keep]),
            "effective_depth": path_lengths(energy_shares(chi, keep=keep)).effective_depth,
            "log_norm_closed": log_norm(options, chi, keep),
            "log_norm": left.value,
            "log_norm_se": left.error,
            "damage_closed": math.exp(log_pruning_damage(chi, keep)),
            "damage_removed": removed.value,
            "damage_removed_se": removed.error,
            "damage_wide": wide_damage(chi, keep),
            "damage_alone": alone.value,
            "damage_alone_se": alone.error,
        }


def length_rows(options: Options, chi: Array, chains: Chains) -> Iterator[dict[str, Any]]:
    """Of the whole network, and of what `lengths_ratio` leaves of it: shares of the paths' number and of their energy."""
    depth, ratio = options.depth, options.lengths_ratio
    kept = {"whole": np.ones(depth, dtype=np.bool_)}
    kept |= {name: keep_set(ratio, name, depth, lambda: chi, options.seed) for name in ("lowest_energy", "last")}
    for name, keep in kept.items():
        counted = path_lengths(0.5 * keep).probability
        weighted = path_lengths(energy_shares(chi, keep=keep)).probability
        measured = chains.lengths(keep, log_norm(options, chi, keep))
        columns_L = (counted, weighted, measured.value, measured.error)
        for length, values in enumerate(zip(*columns_L, strict=True)):
            names = ("counted", "energy_closed", "energy", "energy_se")
            yield {"network": name, "length": length, **dict(zip(names, values, strict=True))}


LOOK: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.5, "elinewidth": 0.9, "capsize": 2}

#: a panel's title and label, and its columns: a line, and points with their errors
PANELS = (
    ("effective depth", "effective depth (blocks)", "effective_depth", None),
    (
        "what is left: sampled, closed form",
        r"$\log\,\mathrm{E}\,\Vert J_K\Vert_F^2/N$ (nats)",
        "log_norm_closed",
        "log_norm",
    ),
    ("damage, paths removed: measured, closed form", "DAMAGE", "damage_closed", "damage_removed"),
    ("damage, pruned network run by itself: measured, N → ∞", "DAMAGE", "damage_wide", "damage_alone"),
)
DAMAGE = r"$\mathrm{E}\,\Vert J-J_K\Vert_F^2\,/\,\mathrm{E}\,\Vert J\Vert_F^2$"


def draw(path: Path, rows: list[dict[str, Any]], lengths: list[dict[str, Any]], options: Options) -> None:
    """Lines are closed forms, points are measured."""
    figure = sheet(14, 8.2)
    places = [style(axes) for axes in figure.subplots(2, 3).flat]
    for axes, (title, label, line, points) in zip((*places[:2], *places[3:5]), PANELS, strict=True):
        for name, part, colour in by_criterion(rows):
            axes.plot(part["ratio"], part[line], color=colour, label=name if axes is places[0] else None)
            if points:
                axes.errorbar(part["ratio"], part[points], part[f"{points}_se"], color=colour, **LOOK)
        axes.set(xlabel="share of branches pruned", ylabel=DAMAGE if label == "DAMAGE" else label)
        axes.set_title(title, fontsize=10, loc="left")
    places[4].sharey(places[3])
    draw_lengths(places[2], lengths, options)
    draw_ratio(places[5], rows)
    save(figure, path, columns=5)


def by_criterion(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, colour in zip(CRITERIA, LINES, strict=False):
        yield name, {key: np.array([row[key] for row in rows if row["criterion"] == name]) for key in rows[0]}, colour


def draw_ratio(axes: Axes, rows: list[dict[str, Any]]) -> None:
    for _, part, colour in by_criterion(rows):
        hurt = part["damage_closed"] > 0
        wide, alone = (part[f"damage_{kind}"][hurt] for kind in ("wide", "alone"))
        axes.plot(part["ratio"][hurt], wide / part["damage_closed"][hurt], color=colour)
        axes.plot(part["ratio"][hurt], alone / part["damage_removed"][hurt], color=colour, marker="o", ms=4.5, ls="")
    axes.set(xlabel="share of branches pruned", ylabel="ratio of the two damages")
    axes.set_title("run by itself / paths removed: measured, N → ∞", fontsize=10, loc="left")


def draw_lengths(axes: Axes, rows: list[dict[str, Any]], options: Options) -> None:
    colours = {"whole": DARK, "lowest_energy": LINES[4], "last": LINES[2]}
    for name, colour in colours.items():
        part = {key: np.array([row[key] for row in rows if row["network"] == name]) for key in rows[0]}
        axes.plot(part["length"], part["energy_closed"], color=colour)
        axes.errorbar(part["length"], part["energy"], part["energy_se"], color=colour, **LOOK)
        text = "whole network" if name == "whole" else f"{name}, {options.lengths_ratio:.0%} pruned"
        top = int(part["energy_closed"].argmax())
        axes.annotate(text, (top + 0.5, part["energy_closed"][top] + 0.004), color=colour, fontsize=9)
        if name == "whole":
            axes.plot(part["length"], part["counted"], "--", color=colour)
            middle = int(part["counted"].argmax())
            axes.annotate("whole, by number", (middle + 1.2, part["counted"][middle]), color=colour, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("paths by length: measured, closed form", fontsize=10, loc="left")
    axes.set(xlabel="branches on the path", ylabel="share of the paths' energy (or number)", ylim=(0, None))


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}


def largest(rows: list[dict[str, Any]], value: str, closed: str) -> float:
    """The largest deviation from the closed form, in standard errors."""
    pairs = [(abs(row[value] - row[closed]), row[f"{value}_se"]) for row in rows]
    return round(max((gap / error for gap, error in pairs if error > 1e-12), default=0.0), 2)


def summary(rows: list[dict[str, Any]], lengths: list[dict[str, Any]], chi: Array) -> dict[str, Any]:
    hurt = [row for row in rows if row["damage_removed"] > 0]
    worst = max(hurt, key=lambda row: row["damage_alone"] / row["damage_removed"])
    wide = [row["damage_alone"] / row["damage_wide"] for row in hurt]
    return {
        "paths": rows[0]["paths"],
        "effective_depth": round(path_lengths(energy_shares(chi)).effective_depth, 3),
        "max_z_norm": largest(rows, "log_norm", "log_norm_closed"),
        "max_z_removed": largest(rows, "damage_removed", "damage_closed"),
        "max_z_lengths": largest([row for row in lengths if row["energy_closed"] > 1e-4], "energy", "energy_closed"),
        "max_alone_to_removed": round(worst["damage_alone"] / worst["damage_removed"], 3),
        "max_alone_to_removed_at": [worst["criterion"], worst["ratio"]],
        "alone_to_wide": [round(min(wide), 3), round(max(wide), 3)],
    }


@experiment(Options, __doc__)
def main(options: Options, out: Path) -> dict[str, Any]:
    chi = branch_energies(options)
    chains = Chains(options, chi)
    rows, lengths = list(pruned_rows(options, chi, chains)), list(length_rows(options, chi, chains))
    write_csv(out / "table.csv", map(rounded, rows))
    write_csv(out / "lengths.csv", map(rounded, lengths))
    draw(out / "figure.png", rows, lengths, options)
    return summary(rows, lengths, chi)


if __name__ == "__main__":
    main()
