"""What every kind of network must do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace

import numpy as np
import torch

from nasjac.architecture.spec import Spec
from nasjac.kinds.build import build
from nasjac.kinds.facts import branch_energies, facts
from nasjac.kinds.kind import Kind
from nasjac.kinds.modules.network import ResidualNetwork
from nasjac.kinds.population import sample
from nasjac.kinds.table import kind_of
from nasjac.sampling.draws import Draws
from nasjac.testing.inputs import inputs_of, size_of

OUTPUTS = 3


class KindContract(ABC):
    """Tests of a kind of network: of its Specs, of what is said of them, of its modules and of its samples.

    >>> from nasjac import Block, ResidualMLP
    >>> from nasjac.kinds.residual_mlp.kind import KIND
    >>> class TestResidualMLP(KindContract):
    ...     def kind(self):
    ...         return KIND
    ...     def specs(self):
    ...         return [ResidualMLP(width=8, blocks=(Block(),) * depth) for depth in (1, 3)]
    >>> TestResidualMLP().test_a_spec_names_its_kind()
    """

    @abstractmethod
    def kind(self) -> Kind:
        """Make the kind.

        Returns:
            The `nasjac.Kind` that its Specs name.
        """

    @abstractmethod
    def specs(self) -> Sequence[Spec]:
        """Make some of its Specs.

        Returns:
            At least two of several depths, with skips of 0 or 1, which take inputs of one size.
        """

    def test_a_spec_names_its_kind(self) -> None:
        for spec in self.specs():
            assert isinstance(spec, self.kind().spec) and kind_of(spec) is self.kind()

    def test_json_is_read_back_as_the_same_spec(self) -> None:
        for spec in self.specs():
            assert Spec.from_json(spec.to_json()) == spec
            assert Spec.from_json(spec.to_json()).key == spec.key

    def test_a_spec_is_frozen_and_hashable(self) -> None:
        for spec in self.specs():
            assert hash(spec) == hash(replace(spec))
            try:
                spec.width = 5  # type: ignore[misc]
            except FrozenInstanceError:
                continue
            raise AssertionError(f"{type(spec).__name__} can be changed: make it a frozen dataclass")

    def test_the_canonical_form_is_its_own(self) -> None:
        for spec in self.specs():
            assert spec.canonical.canonical == spec.canonical
            assert spec.canonical.key == spec.key

    def test_a_network_with_a_pruned_block_has_a_key_of_its_own(self) -> None:
        for spec in self.specs():
            kept = [n for n in range(len(spec.blocks)) if not spec.changes_shape(n)]
            if kept:
                gone = replace(spec.blocks[kept[-1]], keep=False)
                pruned = replace(spec, blocks=(*spec.blocks[: kept[-1]], gone, *spec.blocks[kept[-1] + 1 :]))
                assert pruned.key != spec.key
                assert pruned.canonical.key == pruned.key

    def test_facts_are_finite_and_the_same_for_equal_networks(self) -> None:
        specs = list(self.specs())
        for spec, known, again in zip(specs, facts(specs), facts([spec.canonical for spec in specs]), strict=True):
            assert known == again
            assert known.params > 0 and known.flops > 0 and math.isfinite(known.effective_depth)
            assert known.depth == sum(block.keep for block in spec.blocks)

    def test_branch_energies_are_there_for_every_kept_block(self) -> None:
        for spec in self.specs():
            energies = branch_energies(spec.canonical)
            assert len(energies) == sum(block.keep for block in spec.canonical.blocks)
            assert np.isfinite(energies).all() and (energies >= 0).all()

    def test_a_module_reads_its_own_stream(self) -> None:
        for spec in self.specs():
            module = build(spec, size_of(spec), OUTPUTS, torch.Generator().manual_seed(0)).eval()
            assert isinstance(module, ResidualNetwork)
            x = inputs_of(spec, 4)
            with torch.no_grad():
                layers, outputs = list(module.stream(x)), module(x)
            assert len(layers) == len(spec.canonical.blocks) + 1
            assert outputs.shape[-1] == OUTPUTS and len(outputs) == 4
            assert layers[0][0].numel() == spec.start_units and layers[-1][0].numel() == spec.units // spec.batch

    def test_the_generator_decides_the_module(self) -> None:
        for spec in self.specs():
            first, second = (build(spec, size_of(spec), OUTPUTS, torch.Generator().manual_seed(3)) for _ in range(2))
            other = build(spec, size_of(spec), OUTPUTS, torch.Generator().manual_seed(4)).state_dict()
            for name, tensor in first.state_dict().items():
                assert torch.equal(tensor, second.state_dict()[name]), name
            assert any(not torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())

    def test_samples_do_not_depend_on_the_other_architectures_of_the_call(self) -> None:
        specs = [spec.canonical for spec in self.specs()]
        draws = Draws(0, range(2), torch.float32, torch.device("cpu"))
        inputs = inputs_of(specs[0])
        together = sample(specs, inputs, draws)
        for spec, samples in zip(specs, together, strict=True):
            [alone] = sample([spec], inputs, draws)
            for name, value in vars(samples).items():
                assert np.array_equal(value, vars(alone)[name], equal_nan=True), name
            assert np.isfinite(samples.forward).all()
