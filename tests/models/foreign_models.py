"""Small models of other people's making, for the tests of nasjac.diagnose: float64, a few units each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNITS, TOKENS = 6, 4


class NormBlock(nn.Module):
    """Pre-LN, with dropout that must be off and an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(UNITS), nn.Dropout(0.5)
        self.inner, self.outer = nn.Linear(UNITS, UNITS), nn.Linear(UNITS, UNITS)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.drop(F.relu(self.inner(self.norm(x)), inplace=True)))


class BatchNormBlock(nn.Module):
    """A convolution with BatchNorm, whose ReLU works in place on the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.norm(self.conv(x)))


@dataclass
class Made:
    """What an attention block gives: not a tensor."""

    hidden: Tensor
    weights: Tensor | None = None


class AttentionBlock(nn.Module):
    """Causal attention by the fused function; takes a tensor or what the block before it made."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(UNITS), nn.Linear(UNITS, 3 * UNITS), nn.Linear(UNITS, UNITS)

    def forward(self, given: Tensor | Made) -> Made:
        x = given.hidden if isinstance(given, Made) else given
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return Made(x + self.out(mixed.transpose(1, 2).flatten(2)))


class Decoder(nn.Module):
    """Token ids in, a dict of logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(11, UNITS), nn.Embedding(TOKENS, UNITS)
        self.blocks = nn.ModuleList(AttentionBlock() for _ in range(3))
        self.head = nn.Linear(UNITS, 5)

    def forward(self, ids: Tensor) -> dict[str, Any]:
        x = self.embed(ids) + self.position(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return {"loss": None, "logits": self.head(x.hidden)}


class Concatenating(nn.Module):
    """A DenseNet's block: its input with new features beside it."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.new = nn.Linear(units, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.tanh(self.new(x))], dim=1)


class Shared(nn.Module):
    """One block called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = NormBlock(), nn.Linear(UNITS, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.block(x)
        return self.head(x)  # type: ignore[no-any-return]


class Jvpless(torch.autograd.Function):
    """A function of somebody's own that has a backward pass alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0].cos()


class NoForwardMode(nn.Module):
    """A block without a forward-mode derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(UNITS, UNITS)

    def forward(self, x: Tensor) -> Tensor:
        return x + Jvpless.apply(self.linear(x))  # type: ignore[no-any-return]


def sequence(*parts: nn.Module) -> nn.Module:
    """In a row, float64."""
    return nn.Sequential(*parts)


#: name -> (what makes the model, its inputs, how many watched layers there are)
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], int]] = {
    "layer norm": (
        lambda: sequence(nn.Linear(4, UNITS), NormBlock(), NormBlock(), NormBlock(), nn.Linear(UNITS, 3)),
        lambda: torch.randn(3, 4, dtype=torch.float64),
        3,
    ),
    "batch norm and convolution": (
        lambda: sequence(BatchNormBlock(), BatchNormBlock(), nn.Flatten(), nn.Linear(18, 2)),
        lambda: torch.randn(4, 2, 3, 3, dtype=torch.float64),
        2,
    ),
    "attention": (Decoder, lambda: {"ids": torch.randint(11, (2, TOKENS))}, 3),
    "concatenation": (
        lambda: sequence(Concatenating(4), Concatenating(6), Concatenating(8), nn.Linear(10, 3)),
        lambda: (torch.randn(3, 4, dtype=torch.float64),),
        3,
    ),
    "shared module": (Shared, lambda: torch.randn(3, UNITS, dtype=torch.float64), 3),
    "library encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(UNITS, 2, 8, batch_first=True), 2, enable_nested_tensor=False
        ),
        lambda: torch.randn(2, TOKENS, UNITS, dtype=torch.float64),
        2,
    ),
    "no forward mode": (
        lambda: sequence(NoForwardMode(), NoForwardMode(), nn.Linear(UNITS, 2)),
        lambda: torch.randn(3, UNITS, dtype=torch.float64),
        2,
    ),
}


def made(name: str) -> tuple[nn.Module, Any, int]:
    """A model of `MODELS` with its inputs."""
    torch.manual_seed(5)
    factory, inputs, layers = MODELS[name]
    return factory().double(), inputs(), layers
