"""Runs trained side by side: one loop, and of each run its optimizer, its losses and why it broke off.

Letters: M networks, B samples, F features.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from nasjac.datasets.data import Data
from nasjac.kinds.training.stack import Stack
from nasjac.trainers.brief import Brief
from nasjac.trainers.run import Progress, Run


def train(
    stack: Stack, pairs: Sequence[tuple[int, float]], data: Data, options: Brief, progress: Progress | None = None
) -> list[Run]:
    """One run for each network of the stack, from its pair of seed and peak learning rate."""
    started = time.perf_counter()
    device = stack.rows[0].device
    replicates = [Replicate(stack, index, *pair, options) for index, pair in enumerate(pairs)]
    orders = {seed: batch_order(seed, len(data.train_labels), options) for seed in {seed for seed, _ in pairs}}
    batches = torch.stack([orders[seed] for seed, _ in pairs], dim=1).to(device)
    inputs, labels = data.train_inputs.to(device), data.train_labels.to(device)
    for step, batch in enumerate(batches):
        _update(stack, replicates, inputs[batch], labels[batch], options.schedule(step))
        living = [replicate for replicate in replicates if replicate.reason is None]
        if not living:
            break
        if progress is not None and (step % 10 == 9 or step + 1 == options.steps):
            progress(step + 1, options.steps, f"loss {min(replicate.losses[-1] for replicate in living):.3g}")
    figures = stack.evaluate(data.valid_inputs.to(device), data.valid_labels.to(device))
    second = (time.perf_counter() - started) / sum(row.numel() for row in stack.rows)
    ends = zip(replicates, *(values.tolist() for values in figures), strict=True)
    return [replicate.run(accuracy, loss, second * replicate.row.numel()) for replicate, accuracy, loss in ends]


class Replicate:
    """One run in progress: network `index` of a stack, its optimizer, its training losses, and why it broke off."""

    def __init__(self, stack: Stack, index: int, seed: int, learning_rate: float, options: Brief) -> None:
        self.stack, self.index, self.seed, self.learning_rate = stack, index, seed, learning_rate
        self.row, self.gradient, self.clip = stack.rows[index], stack.gradients[index], options.clip
        self.row.grad = self.gradient
        self.optimizer = options.optimizer(self.row)
        self.losses: list[float] = []
        self.reason: str | None = None

    def update(self, loss: float, norm: float, rate: float) -> None:
        """One step at that share of the peak rate, unless the loss or the gradient's norm is not finite."""
        if norm == math.inf:  # squares overflow long before their root does
            norm = float(torch.linalg.vector_norm(self.gradient, dtype=torch.float64))
        if not (self._survives("loss", loss) and self._survives("gradient", norm)):
            return
        if norm > self.clip:
            self.gradient *= self.clip / norm
        self.losses.append(loss)
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * rate
        self.optimizer.step()

    def run(self, accuracy: float, loss: float, seconds: float) -> Run:
        """The outcome, given accuracy and loss on the validation split."""
        steps = len(self.losses)
        if self.reason is not None or not self._survives("validation loss", loss):
            return Run(self.seed, self.learning_rate, "diverged", self.reason, None, None, None, steps, seconds)
        last = self.losses[-max(1, steps // 10) :]
        figures = (accuracy, loss, math.fsum(last) / len(last))
        return Run(self.seed, self.learning_rate, "ok", None, *figures, steps, seconds, self.stack.state(self.index))

    def _survives(self, what: str, value: float) -> bool:
        if not math.isfinite(value):
            steps = len(self.losses)
            when = f"after {steps} steps" if steps else "at initialization"
            self.reason = f"the {what} is not finite {when}{self.stack.trouble(self.index)}"
        return self.reason is None


def batch_order(seed: int, samples: int, options: Brief) -> Tensor:
    """[steps, batch] indices of samples: random orders of all of them, one after the other."""
    generator = torch.Generator().manual_seed(2**32 + seed)  # not the numbers that the initialization draws
    passes = math.ceil(options.steps * options.batch / samples)
    order = torch.cat([torch.randperm(samples, generator=generator) for _ in range(passes)])
    return order[: options.steps * options.batch].view(options.steps, options.batch)


def _update(stack: Stack, replicates: Sequence[Replicate], inputs: Tensor, labels: Tensor, rate: float) -> None:
    """One step of all replicates that have not broken off, on their batches [M, B, F] and [M, B]."""
    losses = stack.backward(inputs, labels)
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in stack.gradients])
    for replicate, loss, norm in zip(replicates, losses.tolist(), norms.tolist(), strict=True):
        if replicate.reason is None:
            replicate.update(loss, norm, rate)
