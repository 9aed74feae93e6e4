"""The search spaces by name, as the option `space` names them."""

from __future__ import annotations

from nasjac.architecture.space import Space
from nasjac.kinds.densenet.space import DenseNetSpace
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.kinds.transformer.encoder_space import VitSpace

SPACES: dict[str, type[Space]] = {
    "residual_mlp": ResidualMlpSpace,
    "transformer_lm": TransformerLmSpace,
    "vit": VitSpace,
    "resnet": ResNetSpace,
    "densenet": DenseNetSpace,
}
