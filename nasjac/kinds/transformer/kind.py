"""The kinds `transformer_lm` (decoders) and `vit` (encoders)."""

from __future__ import annotations

from nasjac.kinds.kind import Kind
from nasjac.kinds.training.stack import Replicas
from nasjac.kinds.training.training import Training
from nasjac.kinds.transformer.closed_form import branch_energies, facts, size
from nasjac.kinds.transformer.decoder_space import TransformerLmSpace
from nasjac.kinds.transformer.encoder_space import VitSpace
from nasjac.kinds.transformer.network import DecoderNetwork, vision_transformer
from nasjac.kinds.transformer.sampling import TransformerSampler, embedded_ids, embedded_patches
from nasjac.kinds.transformer.spec import Decoder, Transformer, VisionTransformer
from nasjac.kinds.transformer.surgery import DECODER_SURGERY, ENCODER_SURGERY


class TransformerTraining(Training[Transformer]):
    """Training of one architecture after the other, with all runs of each at once."""

    def alone(self, spec: Transformer) -> type[Replicas]:
        """Return Replicas, for there is no BatchNorm: all runs are one batched computation."""
        return Replicas


DECODER = Kind(
    spec=Decoder,
    network=DecoderNetwork,
    facts=facts,
    size=size,
    branch_energies=branch_energies,
    sampler=TransformerSampler(DecoderNetwork, embedded_ids, lambda spec: ()),
    training=TransformerTraining(),
    surgery=DECODER_SURGERY,
    space=TransformerLmSpace,
)
ENCODER = Kind(
    spec=VisionTransformer,
    network=vision_transformer,
    facts=facts,
    size=size,
    branch_energies=branch_energies,
    sampler=TransformerSampler(vision_transformer, embedded_patches, lambda spec: (spec.shape, spec.patch)),
    training=TransformerTraining(),
    surgery=ENCODER_SURGERY,
    space=VitSpace,
)
