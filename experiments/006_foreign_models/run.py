"""What do the Jacobians of well-known models look like at initialization? README.md beside this file tells.

    python experiments/006_foreign_models/run.py [name=value ...]

Diagnoses GPT-2, BERT, ViT and ResNet of the package transformers (pip install 'nasjac[foreign]') and a DenseNet, random
weights from their configurations, at three depths each. Writes layers.csv, table.csv and figure.png into `out`. The last
line is one JSON object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasjac import diagnose
from nasjac.cli.experiment import experiment
from nasjac.foundation.text_tables import write_csv
from nasjac.models.diagnosis import Diagnosis
from nasjac.reporting.canvas import DARK, LINES, save, sheet, style


@dataclass
class Options:
    """`models` and, for each, its depths; `width` of the transformers, in heads of 32 units; `batch` inputs of `tokens`
    tokens or of `pixels` × `pixels` pixels; averaged over `reinitialize` initializations.
    """

    out: str = "reports/006_foreign_models"
    models: list[str] = field(default_factory=lambda: ["gpt2", "bert", "vit", "resnet", "densenet"])
    depths: list[int] = field(default_factory=lambda: [6, 12, 24])
    width: int = 256
    tokens: int = 64
    pixels: int = 64
    batch: int = 4
    reinitialize: int = 4
    seed: int = 0


VOCABULARY = 1000
#: residual blocks of a ResNet stage, and dense layers of a DenseNet's block, of a network of so many blocks in all
STAGES = {4: [1, 1, 1, 1], 6: [1, 2, 2, 1], 8: [2, 2, 2, 2], 12: [2, 4, 4, 2], 24: [4, 6, 10, 4]}


class DenseLayer(nn.Module):
    """Norm, ReLU, 1×1, norm, ReLU, 3×3; its new features beside what came in (Huang et al. 2017, DenseNet-B)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, 4 * growth, 1, bias=False)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(inplace=True)),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], dim=1)


def densenet(stages: list[int], growth: int = 16) -> nn.Module:
    """Dense blocks with half of the channels and of the pixels between them; He weights, as the authors have them."""
    channels = 2 * growth
    parts: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for number, layers in enumerate(stages):
        for _ in range(layers):
            parts.append(DenseLayer(channels, growth))
            channels += growth
        if number < len(stages) - 1:
            parts += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            parts += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    parts += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*parts, nn.Linear(channels, 10))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network


def factory(name: str, depth: int, options: Options) -> Callable[[], nn.Module]:
    """What makes the model, random weights from its configuration."""
    if name == "densenet":
        return partial(densenet, STAGES[depth])
    import transformers

    transformers.logging.set_verbosity_error()
    heads = options.width // 32
    if name == "gpt2":
        config = transformers.GPT2Config(
            n_embd=options.width, n_layer=depth, n_head=heads, vocab_size=VOCABULARY, use_cache=False
        )
        return partial(transformers.GPT2LMHeadModel, config)
    shape = {"hidden_size": options.width, "num_hidden_layers": depth, "num_attention_heads": heads}
    shape["intermediate_size"] = 4 * options.width
    if name == "bert":
        return partial(transformers.BertModel, transformers.BertConfig(**shape, vocab_size=VOCABULARY))
    if name == "vit":
        patch = options.pixels // 8
        return partial(transformers.ViTModel, transformers.ViTConfig(**shape, image_size=options.pixels, patch_size=patch))
    if name == "resnet":
        stages = {"depths": STAGES[depth], "hidden_sizes": [32, 64, 128, 256], "embedding_size": 32}
        return partial(transformers.ResNetForImageClassification, transformers.ResNetConfig(**stages, layer_type="basic"))
    raise ValueError(f"`models` must be of gpt2, bert, vit, resnet, densenet, got {name!r}")


def inputs(name: str, options: Options) -> Tensor:
    """Token ids, or images of standard normal pixels."""
    generator = torch.Generator().manual_seed(options.seed)
    if name in ("gpt2", "bert"):
        return torch.randint(VOCABULARY, (options.batch, options.tokens), generator=generator)
    return torch.randn(options.batch, 3, options.pixels, options.pixels, generator=generator)


def found(options: Options) -> Iterator[tuple[str, int, Diagnosis]]:
    """Every model at every depth."""
    for name in options.models:
        for depth in options.depths:
            began = time.perf_counter()
            one = diagnose(
                factory(name, depth, options),
                inputs(name, options),
                reinitialize=options.reinitialize,
                seed=options.seed,
            )
            print(f"{name} {depth}: {one.verdict} ({time.perf_counter() - began:.0f} s)", flush=True)
            yield name, depth, one


def row(name: str, depth: int, one: Diagnosis) -> dict[str, Any]:
    """A line of the table: laws, end-to-end norm, and by how much the first block's weight gradient exceeds the last's."""
    count = len(one.points)
    total = one.layers[count]
    gradients = [point.weight_gradient for point in one.points if point.weight_gradient is not None]
    line: dict[str, Any] = {"model": name, "blocks": depth, "log_norm": total.mean_log, "error": total.standard_error}
    for what, law in one.laws.items():
        line[f"{what}_law"] = law.form if law else None
        line |= {f"{what}_{end}": getattr(law, end) if law else None for end in ("rate", "low", "high")}
    line["gradient_first_to_last"] = gradients[0] - gradients[-1]
    line["output_correlation"] = one.points[-1].correlation
    line["last_token_correlation"] = one.points[-2].token_correlation
    return line


def draw(cases: list[tuple[str, int, Diagnosis]], path: Path) -> None:
    """A column a model, a colour a depth: log norms along the blocks, forward and backward; dashes between tokens."""
    names = list(dict.fromkeys(name for name, _, _ in cases))
    depths = list(dict.fromkeys(depth for _, depth, _ in cases))
    figure = sheet(3.1 * len(names), 6.2)
    panels = figure.subplots(2, len(names), squeeze=False)
    for column, name in enumerate(names):
        for axes, direction in zip(panels[:, column], ("forward", "backward"), strict=True):
            style(axes).axhline(0, color=DARK, linewidth=0.8, linestyle=":")
            axes.set_title(f"{name}, {direction}", fontsize=10, loc="left")
            axes.set(xlabel="block", ylabel="E log norm" if column == 0 else None)
            for depth, one in [(d, o) for n, d, o in cases if n == name]:
                layers = [layer for layer in one.layers if layer.direction == direction][1:-1]
                at, colour = range(1, len(layers) + 1), LINES[::2][depths.index(depth) % 4]
                label = f"{depth} blocks" if (column, direction) == (0, "forward") else None
                axes.errorbar(
                    at,
                    [layer.mean_log for layer in layers],
                    [2 * (layer.standard_error or 0) for layer in layers],
                    color=colour,
                    linewidth=1.5,
                    label=label,
                )
                if layers[0].token_log_mean is not None:
                    label = "between tokens" if label and depth == depths[-1] else None
                    axes.plot(at, [layer.token_log_mean for layer in layers], "--", color=colour, linewidth=1, label=label)
    save(figure, path, columns=len(depths) + 1)


@experiment(Options, __doc__)
def main(options: Options, folder: Path) -> dict[str, Any]:
    cases = list(found(options))
    write_csv(
        folder / "layers.csv",
        (
            {"model": name, "blocks": depth, **{key: value for key, value in vars(layer).items()}}
            for name, depth, one in cases
            for layer in one.layers
        ),
    )
    rows = [row(*case) for case in cases]
    write_csv(folder / "table.csv", rows)
    draw(cases, folder / "figure.png")
    return {"rows": rows}


if __name__ == "__main__":
    main()
