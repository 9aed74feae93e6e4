"""One dataclass a kind: how a Spec is made, printed, read and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import nasjac
from nasjac import Block, Decoder, DenseNet, ResidualMLP, ResNet, Spec, VisionTransformer
from nasjac.architecture.spec import KINDS, spec_class
from nasjac.foundation.errors import InputError
from nasjac.kinds.table import TABLE

PUBLIC = {name: getattr(nasjac, name) for name in nasjac.__all__}
MADE: dict[str, Spec] = {
    "residual_mlp": ResidualMLP(width=8, blocks=(Block(), Block(skip=0.0)), placement="pre", step=0.5),
    "transformer_lm": Decoder(width=8, blocks=(Block(op="attention"), Block()), context=4, heads=2, positions="rotary"),
    "vit": VisionTransformer(width=8, blocks=(Block(op="attention"),), context=4, shape=(1, 4, 4), patch=2),
    "resnet": ResNet(width=4, blocks=(Block(op="basic"), Block(op="basic", stage=1)), norm="none", shape=(1, 4, 4)),
    "densenet": DenseNet(width=4, blocks=(Block(op="dense", scale=0.7),), norm="batchnorm", shape=(1, 4, 4), growth=3),
}
#: of JSON of a version whose one class had the fields of all kinds
OLD: dict[str, Any] = {"placement": "post", "growth": 5, "patch": 3, "order": "pre", "heads": 2, "query_gain": 2.0}


def test_every_kind_has_a_dataclass_of_its_own() -> None:
    """With no field of another kind's alone, and a place in the tables of names and of what can be done."""
    assert list(KINDS) == list(TABLE) == list(MADE)
    for kind, spec in MADE.items():
        assert type(spec) is spec_class(kind) is TABLE[kind].spec is getattr(nasjac, KINDS[kind][0])
        assert spec.kind == kind and "kind" not in {entry.name for entry in fields(spec)}
    assert {entry.name for entry in fields(DenseNet)} == {
        "width", "blocks", "norm", "shape", "activation", "weight_gain", "order", "growth",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_is_made_by_the_stored_name_of_its_kind(kind: str) -> None:
    spec = MADE[kind]
    made = Spec.of(kind=kind, **{entry.name: getattr(spec, entry.name) for entry in fields(spec)})
    assert type(made) is type(spec) and made == spec and hash(made) == hash(spec) and made.key == spec.key


@pytest.mark.parametrize("kind", KINDS)
def test_json_and_what_is_printed_give_the_spec_again(kind: str) -> None:
    spec = MADE[kind]
    again = Spec.from_json(spec.to_json())
    assert type(again) is type(spec) and again == spec
    assert eval(repr(spec), PUBLIC) == spec
    assert json.loads(spec.to_json()).get("kind", "residual_mlp") == kind


def test_specs_of_two_kinds_are_never_equal() -> None:
    common: dict[str, Any] = {"width": 4, "blocks": (), "norm": "none", "shape": (1, 4, 4)}
    images = ResNet(**common), DenseNet(**common)
    assert images[0] != images[1] and len({spec.key for spec in images}) == 2


def test_many_equal_blocks_are_printed_as_one() -> None:
    spec = ResNet(
        width=16,
        blocks=(Block(op="basic"),) * 18 + (Block(op="basic", stage=1),) * 18 + (Block(op="basic", stage=2),) * 18,
        norm="batchnorm",
        shape=(3, 32, 32),
    )
    text = repr(spec)
    assert len(spec.blocks) == 54 and "\n" not in text and len(text) <= 2 * 124
    assert eval(text, PUBLIC) == spec
    equal = ResidualMLP(width=64, blocks=(Block(),) * 54)
    assert repr(equal) == "ResidualMLP(width=64, blocks=(Block(),) * 54)" and eval(repr(equal), PUBLIC) == equal
    assert repr(ResidualMLP(width=64, blocks=())) == "ResidualMLP(width=64, blocks=())"


@pytest.mark.parametrize("kind", KINDS)
def test_json_of_before_may_have_fields_that_the_kind_never_read(kind: str) -> None:
    spec = MADE[kind]
    own = {entry.name for entry in fields(spec)}
    never = {name: value for name, value in OLD.items() if name not in own}
    assert never
    assert Spec.from_json(json.dumps({**spec.content, **never})) == spec


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Spec(width=8, blocks=()), ["nasjac.ResidualMLP(", "Spec.of(kind=...)", "Spec("]),
        (lambda: Spec(8, ()), ["nasjac.ResidualMLP(", "Spec.of(kind=...)"]),
        (lambda: Spec(width=8, blocks=(), kind="resnet"), ["nasjac.ResNet(", "Spec.of(kind=...)"]),  # type: ignore[call-arg]
        (lambda: Spec.of(kind="mlp", width=8, blocks=()), ["`kind`", *KINDS, "'mlp'"]),
        (lambda: Spec.of(kind=[], width=8, blocks=()), ["`kind`", *KINDS, "[]"]),  # type: ignore[arg-type]
        (
            lambda: Spec.of(kind="resnet", width=4, blocks=(), norm="none", shape=(1, 4, 4), heads=2),
            ["`heads` is not a field of ResNet", "width, blocks", "norm, shape"],
        ),
        (lambda: Spec.of(width=8, blocks=(), context=4), ["`context` is not a field of ResidualMLP", "width, blocks"]),
        (lambda: Spec.of(kind="resnet", width=4, blocks=(), norm="none"), ["`shape`", "said of a resnet"]),
        (lambda: Spec.of(kind="resnet", width=4, blocks=(), shape=(1, 4, 4)), ["`norm`", "said of a resnet"]),
        (lambda: Spec.of(), ["`width`", "said of a residual_mlp", "nothing"]),
        (
            lambda: Spec.from_json('{"width": 8, "blocks": [], "depth": 4}'),
            ["`depth` is not a field of ResidualMLP", "width, blocks"],
        ),
        (lambda: Spec.from_json('{"width": 8, "blocks": [], "kind": "mlp"}'), ["`kind`", *KINDS, "'mlp'"]),
        (lambda: Spec.from_json('{"width": 8, "blocks": [], "kind": {}}'), ["`kind`", *KINDS, "{}"]),
        # what said of which kind an old Spec was is no field to be passed over
        (lambda: Spec.from_json('{"width": 8, "blocks": [], "context": 4}'), ["`context` is not a field of ResidualMLP"]),
        (
            lambda: Spec.from_json('{"width": 8, "blocks": [], "kind": "transformer_lm", "context": 4, "step": 0.5}'),
            ["`step` is not a field of Decoder"],
        ),
        (lambda: Spec.from_json('{"width": 8, "blocks": [], "kind": "os:path"}'), ["`kind`", "package.module:KIND"]),
        (
            lambda: Spec.from_json('{"width": 8, "blocks": [], "kind": "never_imported:KIND"}'),
            ["`kind`", *KINDS, "imported", "'never_imported:KIND'"],
        ),
    ],
)
def test_what_is_no_spec_is_refused(make: Callable[[], Spec], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


MODULE = """
from dataclasses import dataclass
from typing import ClassVar

from nasjac import ResidualMLP
from nasjac.kinds.kind import Kind
from nasjac.kinds.residual_mlp.network import ResidualMLPNetwork

print("imported")


@dataclass(frozen=True, repr=False)
class Mine(ResidualMLP):
    kind: ClassVar[str] = "a_strangers_kind:KIND"
    rank: int = 1


KIND = Kind(Mine, ResidualMLPNetwork)
"""
CALLER = """
import sys
from nasjac import Block, Spec
from nasjac.foundation.errors import InputError

text = '{"width": 8, "blocks": [{}], "kind": "a_strangers_kind:KIND", "rank": 2}'
for make in (lambda: Spec.from_json(text), lambda: Spec.of(kind="a_strangers_kind:KIND", width=8, blocks=())):
    try:
        make()
    except InputError as error:
        assert "imported" in str(error), error
    else:
        raise AssertionError("its module ran")
assert "a_strangers_kind" not in sys.modules
print("trusted")
spec = Spec.from_json(text, trust=True)
assert type(spec).__name__ == "Mine" and spec.rank == 2 and Spec.from_json(spec.to_json()) == spec
assert Spec.of(kind=spec.kind, width=8, blocks=(Block(),), rank=2) == spec
assert repr(spec) == "Mine(width=8, rank=2, blocks=(Block(),))", repr(spec)
"""


def test_a_kind_of_ones_own_is_not_imported_unless_trusted(tmp_path: Path) -> None:
    """JSON may come from anywhere, and importing a module runs it."""
    (tmp_path / "a_strangers_kind.py").write_text(MODULE)
    path = [str(tmp_path), str(Path(__file__).parents[2])]
    code = f"import sys; sys.path[:0] = {path!r}\n{CALLER}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["trusted", "imported"]
