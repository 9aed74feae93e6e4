"""Public functions given what no careful caller gives: a value comes, or an InputError that says what must be."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

import nasjac
from nasjac import Block, InputError, Spec
from nasjac.foundation.arguments import shown
from nasjac.mathematics import gradient_paths as paths
from nasjac.mathematics import meanfield
from nasjac.mathematics import pareto as front
from nasjac.mathematics import rank_correlation as ranking
from nasjac.models.foreign_calls import called
from nasjac.models.nested import mapped
from tests.crafted.calls import Rude, calls, columns, deep, fault, spec
from tests.crafted.models import MODELS, Odd


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What NumPy and torch warn of in passing is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_calls_are_the_same_by_seed_and_all_different() -> None:
    texts = [crafted.text for crafted in islice(calls(random.Random(3)), 300)]
    assert texts == [crafted.text for crafted in islice(calls(random.Random(3)), 300)] and len(set(texts)) == 300


@pytest.mark.parametrize("seed", range(3))
def test_a_call_gives_a_value_or_says_what_must_be(seed: int) -> None:
    faults = {crafted.text: found for crafted in islice(calls(random.Random(seed)), 20) if (found := fault(crafted))}
    assert not faults


@pytest.mark.slow
def test_many_calls() -> None:
    faults = {crafted.text: found for crafted in islice(calls(random.Random(1000)), 600) if (found := fault(crafted))}
    assert not faults


#: what is refused: the call, and words of its sentence
REFUSED: dict[str, tuple[Any, str]] = {
    "a list for a choice": (lambda: spec(activation=["relu"]), r"`activation` must be one of relu, .*, got \['relu'\]"),
    "a dict for a choice": (lambda: spec(placement={}), r"`placement` must be one of .*, got \{\}"),
    "no blocks": (lambda: spec(blocks=None), "`blocks` must be a sequence of blocks, got None"),
    "a stranger among blocks": (lambda: spec(blocks=[Block(), 3]), "`blocks` must be a sequence of Block, got 3 in it"),
    "a width of 100 bits": (
        lambda: spec(width=10**30),
        "`width` must be a whole number of at least 2 and at most 1048576",
    ),
    "a scale beyond floats": (
        lambda: Block(scale=10**400),
        "`scale` must be a finite number .* a whole number of 1329 bits",
    ),
    "no JSON": (lambda: Spec.from_json("{"), "`spec` must be JSON"),
    "JSON of 100,000 brackets": (lambda: Spec.from_json("[" * 100_000), "`spec` must be JSON of a depth"),
    "a whole number of 5,000 digits": (
        lambda: Spec.from_json('{"width": 1%s, "blocks": []}' % ("0" * 5000)),
        "`spec` must",
    ),
    "JSON without a width": (lambda: Spec.from_json('{"blocks": []}'), "an object with `width` and a list `blocks`"),
    "a block that is a list": (lambda: Spec.from_json('{"width": 4, "blocks": [[]]}'), "a Block must be a JSON object"),
    "a Spec for the Specs": (lambda: nasjac.measure(spec(), torch.ones(2, 2)), "`specs` must be a sequence of Spec"),  # type: ignore[arg-type]
    "inputs of lists": (lambda: nasjac.measure([spec()], [[1.0]]), "`inputs` must be a tensor"),  # type: ignore[arg-type]
    "a function for a score": (
        lambda: nasjac.measure([spec()], torch.ones(2, 2), print),  # type: ignore[arg-type]
        "`score` must be one of merit, apjn, meanfield, or a class or an object that derives from",
    ),
    "no such device": (lambda: nasjac.measure([spec()], torch.ones(2, 2), device="tpu9"), "`device` must be a device"),
    "a network of petabytes": (lambda: nasjac.build(spec(width=2**20), 3, 2), "`spec` must be of a network that fits"),
    "a text for a number of inputs": (lambda: nasjac.build(spec(), "3", 2), "`inputs` must be a whole number"),  # type: ignore[arg-type]
    "no Spec": (lambda: nasjac.expected_norms("x"), "`spec` must be a Spec, got 'x'"),  # type: ignore[arg-type]
    "ragged values": (lambda: front.pareto_front([[1], [2, 3]], (1,)), "`values` must be real numbers in an array"),
    "directions that are not hashable": (lambda: front.knee([[1.0]], [[]]), "`directions` must be"),  # type: ignore[list-item]
    "too few names": (lambda: front.knee([[1.0, 2.0]], (1, 1), names=["a"]), "`names` must have one entry for each of 2"),
    "a million values": (lambda: ranking.kendall_tau(range(10**6), range(10**6)), "`x` and `y` must hold at most 32768"),
    "complex shares": (lambda: paths.path_lengths([1j]), "`share` must be real numbers"),
    "a number for a flag": (lambda: paths.count_paths([1, 2], [True, True]), "`skip` must be a sequence of booleans"),  # type: ignore[list-item]
    "chains of one number": (lambda: columns(keep=1.0), r"`keep` must be \[architectures, blocks\] or \[blocks\]"),
    "a shape that does not fit": (lambda: meanfield.expected_norms(columns(), [1.0] * 3), "`stream_variance` must be one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_named(case: str) -> None:
    call, said = REFUSED[case]
    with pytest.raises(InputError, match=said):
        call()


#: models that cannot be diagnosed: words of the sentence, and what the cause is
FAILING: dict[str, tuple[str, type[BaseException] | None]] = {
    "class with an argument": ("makes one without arguments, which NeedsWidth did not: it raised TypeError", TypeError),
    "class without its base": (r"must call super\(\).__init__\(\)", None),
    "function that fails": ("which fails did not: it raised KeyError: 'a config of theirs'", KeyError),
    "function that exits": ("it raised SystemExit: 0", SystemExit),
    "function of nothing": ("`model` must be an nn.Module or make one, got NoneType", None),
    "compiled by script": ("TorchScript", None),
    "lazy": ("must have its parameters", None),
    "wrong width": ("`model` Linear could not take `inputs`: it raised RuntimeError: mat1 and mat2 shapes", RuntimeError),
    "raises": ("`model` Odd could not take `inputs`: it raised ValueError: not today nor tomorrow", ValueError),
    "exits": ("it raised SystemExit", SystemExit),
    "recurses": ("it raised RecursionError", RecursionError),
    "gives an empty tensor": ("dense tensors that are not empty", None),
    "gives a sparse tensor": ("dense tensors that are not empty", None),
    "fails the second time": ("it raised ValueError: once is enough", ValueError),
    "changes": ("the same outputs at every call", None),
}


@pytest.mark.parametrize("name", FAILING)
def test_models_that_fail_are_said(name: str) -> None:
    said, cause = FAILING[name]
    with pytest.raises(InputError, match=said) as caught:
        nasjac.diagnose(MODELS[name](), torch.randn(3, 4))
    assert cause is None or type(caught.value.__cause__) is cause


def test_a_container_that_cannot_be_copied_is_named() -> None:
    with pytest.raises(InputError, match=r"containers that can be copied .* got a mappingproxy"):
        mapped(MappingProxyType({"a": torch.ones(2)}), torch.neg)


def test_inputs_without_an_end_are_refused() -> None:
    batch: list[Any] = []
    batch.append(batch)
    with pytest.raises(InputError, match="`inputs` must be nested less deeply"):
        nasjac.diagnose(Odd(), batch)


def test_a_fault_in_a_hook_of_ours_is_not_the_model_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in our own code keeps its traceback, also where the model of a user is what called it."""
    monkeypatch.setattr("nasjac.models.trace.tensors", slip)
    with pytest.raises(KeyError, match="a slip of ours"):
        nasjac.diagnose(Odd(), torch.randn(3, 4))


def slip(*given: object) -> Any:
    raise KeyError("a slip of ours")


def test_a_very_small_error_ends_with_the_most_probes() -> None:
    """The number of probes wanted is then beyond floating point."""
    found = nasjac.diagnose(Odd(), torch.randn(3, 4), rel_error=1e-300, max_probes=12)
    assert set(found.probes.values()) == {12} and found.precision_reached is False


def test_a_single_number_is_an_output() -> None:
    assert nasjac.diagnose(Odd(lambda y: y.sum()), torch.randn(3, 4)).points[-1].correlation is None


def test_numpy_s_scalars_are_numbers() -> None:
    """Specs made of them are those made of Python's numbers, JSON and key included."""
    plain = Spec.of(width=4, blocks=(Block(skip=0.5, scale=0.25),), weight_gain=2.0, ffn_ratio=2)
    block = Block(keep=np.bool_(True), skip=np.float64(0.5), scale=np.float32(0.25))  # type: ignore[arg-type]
    given = Spec.of(width=np.int64(4), blocks=(block,), weight_gain=np.float16(2.0), ffn_ratio=np.int8(2))
    assert given == plain and given.to_json() == plain.to_json() and given.key == plain.key
    assert nasjac.build(replaced(plain), np.int64(3), np.int32(2))(torch.ones(1, 3)).shape == (1, 2)  # type: ignore[arg-type]
    assert nasjac.expected_norms(replace(plain, ffn_ratio=1), np.float32(2.0)).layers[0].log_mean == 0  # type: ignore[arg-type]
    assert front.covering_points(np.array([[1.0], [2.0]]), [np.int64(-1)], np.int64(1)).tolist() == [0]
    assert ranking.kendall_tau(torch.arange(4.0, requires_grad=True), [1, 2, 3, 4]) == 1


def replaced(given: Spec) -> Spec:
    return Spec.of(width=given.width, blocks=(Block(),))


def test_values_are_shown_short_and_on_one_line() -> None:
    assert shown(10**5000) == "a whole number of 16610 bits" and shown("a\nb") == r"'a\nb'"
    assert len(shown(list(range(10**5)))) < 150 and shown(Rude()) == shown(Rude()) == "an object of type Rude"
    assert shown(deep(100_000)).startswith("an object of type list")


def test_what_a_caller_expects_passes_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="theirs"):
        called("it must", raising, apart_from=(RuntimeError,))
    with pytest.raises(InputError, match="it must: it raised RuntimeError: theirs"):
        called("it must", raising)


def raising() -> None:
    raise RuntimeError("theirs")
