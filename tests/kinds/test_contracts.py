"""Every kind of network and every search space does what the contract of its part says."""

from __future__ import annotations

from collections.abc import Sequence

from nasjac import Block, Decoder, DenseNet, Kind, ResidualMLP, ResNet, Spec, VisionTransformer
from nasjac.architecture.space import Space
from nasjac.kinds.spaces import SPACES
from nasjac.kinds.table import TABLE
from nasjac.testing import KindContract, SpaceContract

CUT, HALF = Block(skip=0.0), Block(scale=0.5)
ATTENTION, FFN = Block(op="attention"), Block(op="ffn", scale=0.5)
IMAGES = {"norm": "batchnorm", "shape": (1, 4, 4)}


class TestResidualMLP(KindContract):
    def kind(self) -> Kind:
        return TABLE["residual_mlp"]

    def specs(self) -> Sequence[Spec]:
        return [
            ResidualMLP(width=8, blocks=(Block(), CUT, HALF), placement="pre"),
            ResidualMLP(width=8, blocks=(Block(), Block(keep=False), HALF, Block()), placement="post", norm="rmsnorm"),
            ResidualMLP(width=4, blocks=(Block(gate=True),), activation="gelu", branch="one_matrix"),
            ResidualMLP(width=8, blocks=(Block(), HALF), block="leaky", step=0.5, leak=0.5),
            ResidualMLP(width=8, blocks=(Block(), HALF), block="implicit", step=0.5, weight_gain=0.5),
        ]


class TestDecoder(KindContract):
    def kind(self) -> Kind:
        return TABLE["transformer_lm"]

    def specs(self) -> Sequence[Spec]:
        return [
            Decoder(width=8, blocks=(ATTENTION, FFN), context=4, heads=2),
            Decoder(width=8, blocks=(ATTENTION, FFN, ATTENTION), context=4, heads=2, positions="rotary", placement="post"),
        ]


class TestVisionTransformer(KindContract):
    def kind(self) -> Kind:
        return TABLE["vit"]

    def specs(self) -> Sequence[Spec]:
        return [
            VisionTransformer(width=8, blocks=(ATTENTION, FFN) * depth, context=4, shape=(1, 4, 4), patch=2, heads=2)
            for depth in (1, 2)
        ]


class TestResNet(KindContract):
    def kind(self) -> Kind:
        return TABLE["resnet"]

    def specs(self) -> Sequence[Spec]:
        first, second = Block(op="basic"), Block(op="bottleneck", stage=1)
        return [
            ResNet(width=4, blocks=(first,), **IMAGES),
            ResNet(width=4, blocks=(first, Block(op="basic", keep=False), second, Block(op="basic", stage=1)), **IMAGES),
        ]


class TestDenseNet(KindContract):
    def kind(self) -> Kind:
        return TABLE["densenet"]

    def specs(self) -> Sequence[Spec]:
        first, second = Block(op="dense", scale=0.7), Block(op="dense", stage=1)
        return [DenseNet(width=4, blocks=blocks, growth=3, **IMAGES) for blocks in ((first,), (first, first, second))]


def test_every_kind_is_tested_by_the_contract() -> None:
    assert {test().kind().spec.kind for test in KindContract.__subclasses__() if test.__module__ == __name__} == set(TABLE)


class OfDefaults(SpaceContract):
    """A space with its default options."""

    name: str

    def space(self) -> Space:
        return SPACES[self.name]()


class TestResidualMlpSpace(OfDefaults):
    name = "residual_mlp"


class TestTransformerLmSpace(OfDefaults):
    name = "transformer_lm"


class TestVitSpace(OfDefaults):
    name = "vit"


class TestResNetSpace(OfDefaults):
    name = "resnet"


class TestDenseNetSpace(OfDefaults):
    name = "densenet"


def test_every_space_is_tested_by_the_contract() -> None:
    assert {test.name for test in OfDefaults.__subclasses__()} == set(SPACES)
