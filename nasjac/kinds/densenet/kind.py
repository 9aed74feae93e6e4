"""DenseNets: all that nasjac knows of them."""

from __future__ import annotations

from nasjac.kinds.convolutional.network import built_by
from nasjac.kinds.convolutional.sampler import ConvolutionalSampler
from nasjac.kinds.densenet.closed_form import branch_energies, facts, size
from nasjac.kinds.densenet.network import DenseNetNetwork
from nasjac.kinds.densenet.space import DenseNetSpace
from nasjac.kinds.densenet.spec import DenseNet
from nasjac.kinds.densenet.surgery import SURGERY
from nasjac.kinds.kind import Kind

_NETWORK = built_by(DenseNetNetwork)
KIND = Kind(
    spec=DenseNet,
    network=_NETWORK,
    facts=facts,
    size=size,
    branch_energies=branch_energies,
    sampler=ConvolutionalSampler(_NETWORK),
    surgery=SURGERY,
    space=DenseNetSpace,
)
