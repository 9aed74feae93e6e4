"""Closed forms: expected squared Jacobian norms at initialization, without a network. Arrays in, arrays out.

moments, kernels   Gaussian moments of the activations, of one pre-activation and of pairs
law, pair_laws, quadrature   what they are made of: closed forms, or quadrature for an activation that has none
columns, chain     many residual chains as arrays; the recursion over their blocks
block_energies     the energy of each block
expected, gates    log E 𝒥 layer by layer over weights and gates; gates that couple to the size of the stream
fluctuations       spread over initializations, effective rank
correlation        how far two inputs stay apart
critical           where 𝒥 neither grows nor decays
sensitivity        how log 𝒥 answers to gains, scales and skip probabilities
growth             how many new blocks a trained network takes
graphs             random DAGs, DenseNets, zero-padded convolutions
tokens, token_stack, token_maps, grams   transformers, by the Gram matrix of their tokens
decoder            the branches of transformers, to leading order
norms              the Jacobian of LayerNorm and RMSNorm
"""

from __future__ import annotations

from nasjac.mathematics.meanfield.block_energies import BlockEnergies, block_energies
from nasjac.mathematics.meanfield.columns import Columns
from nasjac.mathematics.meanfield.expected import ExpectedNorms, expected_norms
from nasjac.mathematics.meanfield.fluctuations import Fluctuations, fluctuations

__all__ = [
    "BlockEnergies",
    "Columns",
    "ExpectedNorms",
    "Fluctuations",
    "block_energies",
    "expected_norms",
    "fluctuations",
]
