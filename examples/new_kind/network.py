"""The MLP-Mixer as a module, and its kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import nasjac
from examples.new_kind.spec import Mixer


class MixerNetwork(nasjac.ResidualNetwork):
    """Images [batch, numbers] -> [batch, outputs]; the stream is [batch, patches, channels]."""

    def __init__(self, spec: Mixer, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape, self.patch = spec.shape, spec.patch
        self.embedding = nn.Linear(spec.shape[0] * spec.patch**2, spec.width)
        self.blocks = nn.ModuleList(MixerBlock(spec, block) for block in spec.blocks)
        self.norm, self.readout = nn.LayerNorm(spec.width), nn.Linear(spec.width, outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
                nn.init.zeros_(layer.bias)

    def start(self, x: Tensor) -> Tensor:
        """The embedded patches."""
        images = x.reshape(len(x), *self.shape)
        patches = nn.functional.unfold(images, self.patch, stride=self.patch).mT
        return self.embedding(patches)

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self.stream(x)
        return self.readout(self.norm(last).mean(1))


class MixerBlock(nn.Module):
    """x -> skip * x + scale * F(norm(x)), F an MLP over the patches or over the channels."""

    def __init__(self, spec: Mixer, block: nasjac.Block) -> None:
        super().__init__()
        self.over_patches, self.skip, self.scale = block.op == "patches", block.skip, block.scale
        units = spec.tokens if self.over_patches else spec.width
        self.norm = nn.LayerNorm(spec.width)
        self.mlp = nn.Sequential(nn.Linear(units, 2 * units), nn.GELU(), nn.Linear(2 * units, units))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        branch = self.mlp(y.mT).mT if self.over_patches else self.mlp(y)
        return self.skip * x + self.scale * branch


KIND = nasjac.Kind(spec=Mixer, network=MixerNetwork)
