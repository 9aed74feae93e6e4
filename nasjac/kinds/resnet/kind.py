"""The kind `resnet`."""

from __future__ import annotations

from nasjac.kinds.kind import Kind
from nasjac.kinds.resnet.closed_form import branch_energies, facts, size
from nasjac.kinds.resnet.sampling import ResNetSampler
from nasjac.kinds.resnet.space import ResNetSpace
from nasjac.kinds.resnet.spec import ResNet
from nasjac.kinds.resnet.surgery import SURGERY

_SAMPLER = ResNetSampler()
KIND = Kind(
    spec=ResNet,
    network=_SAMPLER.network,
    facts=facts,
    size=size,
    branch_energies=branch_energies,
    sampler=_SAMPLER,
    surgery=SURGERY,
    space=ResNetSpace,
)
