"""The table of search spaces, by the names that the option `space` takes."""

from __future__ import annotations

from dataclasses import fields

from nasjac.architecture.space import Space
from nasjac.architecture.spec import Spec
from nasjac.foundation.errors import InputError
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


def default_space(spec: Spec) -> Space:
    """Return the space of a Spec's kind with its default options, for inputs such as the Spec takes.

    Raises:
        InputError: The kind is none of nasjac's own, which has no default space.
    """
    if spec.kind not in SPACES:
        raise InputError(f"`space` must be said for architectures of kind {spec.kind}, which has no default space")
    of = SPACES[spec.kind]
    named = {entry.name for entry in fields(of)} & {"shape", "context"}  # type: ignore[arg-type]
    return of(**{name: getattr(spec, name) for name in named})
