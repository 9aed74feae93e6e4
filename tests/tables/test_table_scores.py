"""The scores of tables, each against its definition."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasjac.architecture.block import Block
from nasjac.architecture.measurement import Measurement
from nasjac.architecture.spec import Spec
from nasjac.mathematics.log_percentile import LogPercentile
from nasjac.mathematics.trainability import HARMS, PARTS
from nasjac.sampling.draws import Draws
from nasjac.scores.apjn import Apjn
from nasjac.tables.nasbench201.network import Cell201
from nasjac.tables.nasbench201.space import NasBench201
from nasjac.tables.nasbench_macro.space import NasBenchMacro
from nasjac.tables.networks import Pullbacks
from nasjac.tables.scores import TABLE_SCORES
from nasjac.tables.scores.az_nas import AzNas, expressivity, of_blocks, trainability
from nasjac.tables.scores.base import Scored, TableScore, only_draw, reference_population
from nasjac.tables.scores.fact import Fact
from nasjac.tables.scores.merit import TableMerit, two_probe_terms
from nasjac.tables.scores.naswot import Naswot
from nasjac.tables.scores.synflow import Synflow
from nasjac.tables.scores.term import SCORED, TOGETHER, Term
from nasjac.tables.spec_table import SpecTable

SPACE, CPU = NasBench201(), torch.device("cpu")
#: small passes
AZ_NAS = AzNas(images=2, reference=8)
MERIT = TableMerit(draws=2, norm_draws=1, images=4, channels=2, pixels=8)
OPTIONS = {
    "merit": MERIT,
    "az_nas": AZ_NAS,
    **{name: TABLE_SCORES[name](images=4) for name in ("synflow", "jacob_cov", "naswot")},  # type: ignore[operator]
}
DEAD = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
SKIPS = "|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|"


def images() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def scored(score: TableScore, cells: list[Cell201]) -> list[float | None]:
    done: list[int] = []
    found = score.measure(SPACE, cells, images(), CPU, done.append)
    assert done[-1] == len(cells) == len(found) and all(isinstance(item, Scored) for item in found)
    return [item.value for item in found]


@pytest.mark.parametrize("name", ["synflow", "jacob_cov", "naswot", "az_nas"])
def test_scores_of_the_field_tell_networks_of_relu6_apart(name: str) -> None:
    """Those of NAS-Bench-Macro, which have no other activation."""
    space = NasBenchMacro()
    score = OPTIONS[name]
    found = score.measure(space, space.random(3, seed=1), images(), CPU, lambda done: None)
    values = [item.value for item in found]
    assert all(value is not None and math.isfinite(value) for value in values) and len(set(values)) == 3


def test_naswot_compares_the_slopes_of_relus() -> None:
    batch = torch.tensor([[-1.0, 3.0, 7.0, 2.0], [-2.0, -3.0, 5.0, 2.0]])
    alike = {nn.ReLU(): 3, nn.ReLU6(): 2}  # 7 and 5 are in different states of a ReLU6
    for activation, count in alike.items():
        kernel = np.array([[4, count], [count, 4]])
        expected = math.log(np.linalg.det(kernel))
        assert Naswot().value(activation, batch, only_draw(0, CPU)) == pytest.approx(expected)


def test_nothing_alive_is_below_everything() -> None:
    dead, skips, *_ = scored(MERIT, [Cell201.from_arch(DEAD), Cell201.from_arch(SKIPS)])
    assert dead == -math.inf and skips is not None and math.isfinite(skips)


def test_dead_edges_change_nothing() -> None:
    cell = Cell201.from_arch("|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|")
    assert cell.canonical != cell
    first, second = scored(MERIT, [cell, cell.canonical])
    assert first == pytest.approx(second, rel=1e-6)


def test_merit_is_made_of_its_parts() -> None:
    cells = [*SPACE.random(6, seed=1), Cell201.from_arch(SKIPS)]
    whole = np.array(scored(MERIT, cells), dtype=float)
    alone = [replace(MERIT, without=tuple(name for name in PARTS if name != part)) for part in PARTS]
    shares = np.exp(-np.array([scored(score, cells) for score in alone], dtype=float)) - 1  # beside e^0 of what is left out
    expressivity, harm = shares[:2].prod(axis=0), shares[2:].prod(axis=0)
    assert whole == pytest.approx(-np.log(expressivity + harm), rel=1e-3)
    assert (shares[2 + HARMS.index("spread")] >= 1).all() and (shares[2 + HARMS.index("criticality")] >= 1).all()


def test_terms_are_those_of_the_jacobians() -> None:
    """Of fixed J, another for each image, with known norms and ranks: from pullbacks of many draws, within 4 errors."""
    rng = np.random.default_rng(0)
    matrices = [scale * orthogonal(24)[:rank].T @ orthogonal(24)[:rank] for scale, rank in ((0.5, 24), (2.0, 12))]
    vectors = torch.from_numpy(rng.normal(size=(2, 400, 2, 24)))
    vectors *= math.sqrt(24) / vectors.norm(dim=-1, keepdim=True)
    passes = [
        Pullbacks(
            torch.empty(0),
            tuple(torch.stack([v[i, d] @ matrices[i].double() for i in range(2)])[None] for v in vectors.transpose(1, 2)),
            outputs,
        )
        for d, outputs in enumerate(torch.eye(2, 24).expand(400, 1, 2, 24))
    ]
    mean_log, sd_log, log_effective_rank, log_decorrelation = two_probe_terms(passes)
    energies = np.log([0.25, 4 * 12 / 24])
    assert mean_log == pytest.approx(energies.mean(), abs=0.05)
    assert sd_log == pytest.approx(energies.std(), rel=0.05)
    assert log_effective_rank == pytest.approx(-math.log((1 + 2) / 2), abs=0.15)
    assert log_decorrelation == pytest.approx(0, abs=1e-12)


def test_the_reference_population_is_frozen() -> None:
    """The same architectures for ever: a score would not be comparable otherwise."""
    texts = " ".join(cell.to_json() for cell in reference_population(SPACE, 256))
    assert hashlib.sha256(texts.encode()).hexdigest()[:12] == "365ab826068f"


def test_log_percentiles() -> None:
    """Of the reference: log of its shares; monotone, continuous, linear beyond the ends, the same in any company."""
    reference = np.random.default_rng(0).normal(size=100)
    rank = LogPercentile(reference)
    assert rank(np.sort(reference)) == pytest.approx(np.log((np.arange(100) + 1) / 101))
    x = np.linspace(-9, 9, 1001)
    ranks = rank(x)
    assert (np.diff(ranks) > 0).all() and rank(x[5:6]) == ranks[5:6]
    for side in (slice(0, 300), slice(701, 1001)):
        assert np.diff(ranks[side], 2) == pytest.approx(0, abs=1e-9)
    assert rank([-math.inf])[0] == -math.inf
    tied = LogPercentile([0] * 5 + [1] * 5)
    assert tied([0, 1]) == pytest.approx(np.log([3 / 11, 8 / 11]))
    assert LogPercentile([1.0] * 20)([-5.0, 1.0, 7.0]) == pytest.approx(math.log(0.5))
    for few in ([1.0, 2.0], [math.nan] * 20):
        with pytest.raises(ValueError, match="`reference` must hold at least 8 values, of which some are finite"):
            LogPercentile(few)


def test_synflow_is_the_derivative_along_the_weights() -> None:
    """Σ θ ∂R/∂θ against finite differences: R with all weights (1 + ε) θ, along the same direction, in float64."""
    [cell] = SPACE.random(1, seed=5)
    [value] = scored(Synflow(), [cell])
    network = SPACE.network(cell, only_draw(0, CPU)).double().eval()
    for parameter in network.parameters():
        parameter.detach().abs_()

    def outputs(factor: float) -> float:
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.detach().mul_(factor)
        with torch.no_grad():
            return float(network(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum())

    step = 1e-4
    above, below = outputs(1 + step), outputs((1 - step) / (1 + step))
    assert value == pytest.approx(math.log((above - below) / (2 * step)), abs=1e-3)


def test_a_synflow_that_overflows_is_missing_with_its_reason() -> None:
    cell = Cell201.from_arch("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")
    [found] = Synflow(dtype="float32").measure(SPACE, [cell], images(), CPU, lambda _: None)
    assert found.value is None and "not a finite number" in str(found.reason)
    assert scored(Synflow(), [cell])[0] is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, r"`score\.draws` must be a whole number of at least 1, got 0"),
        ({"reference": 10}, r"`score\.reference` must be .* at least 256, got 10"),
        ({"without": ["depth"]}, r"`score\.without` must be one of capacity, decorrelation, .*, got 'depth'"),
        ({"norm_draws": 4}, r"`score\.norm_draws` must be at most `score\.draws`, 3, got 4"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TableMerit(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`score\.pixels` must divide .* got 7 for images of 32 x 32"):
        TableMerit(pixels=7).measure(SPACE, SPACE.random(1, 0), images(), CPU, lambda _: None)


def hadamard(log_size: int) -> Tensor:
    """Signs whose columns are uncorrelated."""
    signs = torch.ones(1, 1)
    for _ in range(log_size):
        signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)], 0)
    return signs


def orthogonal(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(3)))[0]


def as_features(pixels: Tensor, side: int) -> Tensor:
    """[B side side, C] -> [B, C, side, side]"""
    return pixels.reshape(-1, side, side, pixels.shape[1]).movedim(-1, 1)


def test_expressivity_is_the_entropy_of_the_principal_axes() -> None:
    """log C of isotropic features, that of known shares in any basis, scale and place; 0 of one axis, nan of none."""
    axes = hadamard(3)[:, 1:5]  # of mean zero
    assert expressivity(as_features(axes, 2)) == pytest.approx(math.log(4), abs=1e-6)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    turned = 7 + 3 * (axes * shares.sqrt()) @ orthogonal(4)
    assert expressivity(as_features(turned, 2)) == pytest.approx(float(-(shares * shares.log()).sum()), abs=1e-4)
    assert expressivity(as_features(axes[:, :1] * torch.ones(4), 2)) == pytest.approx(0, abs=1e-4)
    assert math.isnan(expressivity(torch.ones(2, 4, 2, 2)))


@pytest.mark.parametrize("stride", [1, 2])
def test_trainability_of_a_linear_block_is_that_of_its_spectral_norm(stride: int) -> None:
    """Exactly, with uncorrelated signs: 0 of orthogonal weights, 2 - c - 1/c of c times those, of others by their norm."""
    signs = as_features(hadamard(4), 2)  # 4 images of 2 x 2 pixels, 16 channels
    x = torch.randn(
        4, 16 // stride**2, 2 * stride, 2 * stride, generator=torch.Generator().manual_seed(4), requires_grad=True
    )

    def of_weights(weights: Tensor) -> float:
        kernels = weights.reshape(16, -1, stride, stride)
        return trainability(x, nn.functional.conv2d(x, kernels, stride=stride), signs)

    assert of_weights(orthogonal(16)) == pytest.approx(0, abs=1e-5)
    assert of_weights(3 * orthogonal(16)) == pytest.approx(2 - 3 - 1 / 3, abs=1e-5)
    weights = torch.randn(16, 16, generator=torch.Generator().manual_seed(5))
    sigma = float(torch.linalg.matrix_norm(weights, ord=2))
    assert of_weights(weights) == pytest.approx(2 - sigma - 1 / sigma, abs=1e-4)
    assert of_weights(torch.zeros(16, 16)) == -math.inf


def test_an_identity_has_the_best_trainability() -> None:
    """0 up to the eigenvalues of a sample covariance, which end at (1 + √(C / N))² for N pixels of C random signs."""
    images, draws = (
        torch.randn(64, 8, 16, 16, generator=torch.Generator().manual_seed(6)),
        Draws(0, [0], torch.float32, CPU),
    )
    edge = (1 + math.sqrt(8 / (64 * 16 * 16))) ** 2
    found = of_blocks(nn.Identity(), [nn.AvgPool2d(1)], images, draws)[2]
    assert 1.5 * (2 - edge - 1 / edge) < found < 1e-6


def test_az_nas_of_a_network_by_its_definition() -> None:
    """Block by block as in one graph through the whole network, with what hooks see of it."""
    cell, seen = SPACE.random(3, seed=1)[0], list[Tensor]()
    draws = only_draw(0, CPU)
    network = SPACE.network(cell, draws)
    for block in (network.stem, *network.body):  # type: ignore[misc]
        block.register_forward_hook(lambda _, __, out: seen.append(out))
    network(draws.normal("noise", 2, 3, 32, 32)[0])
    pairs = enumerate(itertools.pairwise(seen))
    signs = [
        torch.where(draws.normal(f"signs {place}", *out.shape)[0] > 0, 1.0, -1.0) for place, out in enumerate(seen[1:])
    ]
    gains = [trainability(x, y, signs[place]) for place, (x, y) in pairs]
    entropies = [expressivity(features) for features in seen]
    expected = [sum(entropies), min(np.diff(entropies)), np.mean(gains), SPACE.facts(cell)["flops"]]
    assert len(seen) == 18
    found = AZ_NAS.proxies(SPACE, [cell], (3, 32, 32), CPU, lambda _: None)[:, 0]
    assert found == pytest.approx(expected, rel=1e-3)


def test_az_nas_sums_the_log_ranks_of_four_proxies() -> None:
    """In the reference population itself: log of the share of each that is not above, ties in the middle."""
    population = reference_population(SPACE, 8)
    proxies = AZ_NAS.proxies(SPACE, population, (3, 32, 32), CPU, lambda _: None)
    below = (proxies[:, None, :] < proxies[:, :, None]).sum(2) + (proxies[:, None, :] == proxies[:, :, None]).sum(2) / 2
    expected = np.log((below + 0.5) / 9).sum(0)
    found = scored(AZ_NAS, population)
    assert [value for value in found if value is not None] == pytest.approx(expected[np.isfinite(proxies).all(0)])


def test_az_nas_has_nothing_to_say_of_dead_cells() -> None:
    dead, alive = AZ_NAS.measure(SPACE, [Cell201.from_arch(DEAD), Cell201.from_arch(SKIPS)], images(), CPU, lambda _: None)
    assert dead.value is None and "a block's features are constant" in str(dead.reason)
    assert alive.value is not None and alive.reason is None


def test_places_without_layers_are_no_blocks_of_az_nas() -> None:
    """Of NAS-Bench-Macro: the stem and the three that change the shape are left where all are identities."""
    space, draws = NasBenchMacro(), only_draw(0, CPU)
    network = space.network(space.parse("00000000"), draws)
    noise = draws.normal("noise", 2, 3, 32, 32)[0]
    few = of_blocks(network.stem, [block for block in network.body if len(block.layers)], noise, draws)  # type: ignore
    all_places = AZ_NAS.proxies(space, [space.parse("00000000")], (3, 32, 32), CPU, lambda _: None)
    assert all_places[:2, 0] == pytest.approx(few[:2], rel=1e-5) and np.isfinite(all_places).all()


@pytest.mark.parametrize(("option", "least"), [("images", 2), ("reference", 8), ("seed", 0)])
def test_bad_options_of_az_nas_are_named(option: str, least: int) -> None:
    with pytest.raises(ValueError, match=rf"`score\.{option}` must be a whole number of at least {least}, got {least - 1}"):
        AzNas(**{option: least - 1})


def features() -> Tensor:
    return torch.randn(64, 8, generator=torch.Generator().manual_seed(7))


def chain(*blocks: Block, width: int = 8, **fields: Any) -> Spec:
    return Spec.of(width=width, blocks=blocks, **fields)


PLAIN, SKIP = Block(skip=0.0), Block(skip=1.0)
CHAINS = [chain(), chain(SKIP), chain(PLAIN, SKIP), chain(*[SKIP] * 12, width=16), chain(*[Block(scale=0.1)] * 3)]
#: two units, each dead for half of the inputs
MOSTLY_DEAD = chain(*[PLAIN] * 12, width=2, branch="one_matrix")


def of_specs(score: Term, specs: list[Spec], inputs: Tensor | None = None) -> list[Scored]:
    done: list[int] = []
    found = score.measure(SpecTable(), specs, features() if inputs is None else inputs, CPU, done.append)
    assert done == [*range(TOGETHER, len(specs), TOGETHER), len(specs)] and len(found) == len(specs)
    return found


@pytest.mark.parametrize("which", SCORED)
def test_a_term_is_that_of_the_sampled_score(which: str) -> None:
    """By its definition, in any company, in parts of a call as in one."""
    specs = [*CHAINS, *(chain(*[SKIP] * depth) for depth in range(2, 32))]
    score = Term(which, max_draws=16)
    found = of_specs(score, specs)
    measured = Apjn(max_draws=16).measure(specs, features(), CPU)
    for item, one in zip(measured, found, strict=True):
        terms = {name: term.value or 0.0 for name, term in item.terms.items()}
        logs = [layer.mean_log or 0.0 for layer in item.profile if layer.direction == "forward"]
        mean = terms["mean_log"]
        expected = {
            "trainability_cost": -terms["trainability_cost"],
            "criticality": -mean / 2 if mean > 0 else mean,
            "spread": -terms["sd_log"],
            "effective_rank": terms["log_rank"],
            "output_decorrelation": terms["log_decorrelation"],
            "token_differential": None,
            "flatness": -np.std(logs),
        }[which]
        assert item.status == "ok" and one.value == (expected if expected is None else pytest.approx(expected))
    assert of_specs(score, specs[3:4])[0] == found[3] and score.name == which


def test_what_is_critical_and_flat_and_what_is_not() -> None:
    """No block is the identity, up to the probes' bias; small branches are nearer to it than large ones."""
    identity, _, _, deep, small = (item.value for item in of_specs(Term("criticality"), CHAINS))
    assert identity == pytest.approx(0, abs=1e-3) and deep < small < identity  # type: ignore[operator]
    flat = [item.value for item in of_specs(Term("flatness"), CHAINS)]
    assert flat[0] == 0 and flat[3] < flat[4] < 0  # type: ignore[operator]


@pytest.mark.parametrize("which", SCORED)
def test_a_zero_jacobian_is_below_everything(which: str) -> None:
    [dead] = of_specs(Term(which, max_draws=16), [MOSTLY_DEAD])
    assert dead.value == -math.inf and "have a zero Jacobian" in str(dead.reason)


def test_what_is_not_measured_has_no_value() -> None:
    """Out of memory is nothing that an architecture is, and neither is what it has no part in."""

    def without_memory(*_: object, **__: object) -> list[Measurement]:
        return [Measurement("0" * 12, "out_of_memory", "there is no memory for it, even alone")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Apjn, "race", without_memory)
        [found] = of_specs(Term("spread"), [chain(SKIP)])
    assert found == Scored(None, "out_of_memory: there is no memory for it, even alone")
    ensemble = chain(Block(skip=0.5), SKIP)
    [flat], [spread] = (of_specs(Term(which, max_draws=16), [ensemble]) for which in ("flatness", "spread"))
    assert flat == Scored(None, "no finite profile by layers; an ensemble has none") and spread.value is not None
    ids = torch.randint(5, (64, 4), generator=torch.Generator().manual_seed(8))
    decoder = chain(Block(op="attention"), kind="transformer_lm", context=4)
    [tokens] = of_specs(Term("token_differential", max_draws=16), [decoder], ids)
    assert tokens.value is not None and tokens.value < 0


def test_bad_options_of_terms_are_named() -> None:
    with pytest.raises(ValueError, match=r"`score\.which` must be one of trainability_cost, .*criticality, .* got 'rank'"):
        Term("rank")
    with pytest.raises(ValueError, match=r"`score\.draws` must be a whole number of at least 16, got 4"):
        Term(draws=4)


def test_the_reference_population_of_a_table_is_its_own() -> None:
    """Whatever its order; different ones, all where there are no more, the first of them whatever is asked for."""
    specs = [chain(*[SKIP] * depth) for depth in range(20)]
    table, turned = SpecTable().bind(specs), SpecTable().bind(specs[::-1])
    assert table.random(12, seed=0) == turned.random(12, seed=0) == table.random(20, seed=0)[:12]
    assert {spec.key for spec in table.random(99, seed=1)} == {spec.key for spec in specs}
    assert len(table.random(99, seed=1)) == 20 and table.random(20, seed=0) != table.random(20, seed=1)
    assert reference_population(table, 5) == table.random(5, seed=0) and table.name == "residual_mlp"
    with pytest.raises(ValueError, match="`space` must be bound to a table to draw from it, got residual_mlp of no table"):
        SpecTable().random(5, seed=0)


def test_plain_blocks_are_those_without_a_skip() -> None:
    """Of kept ones; few are better."""
    specs = [chain(PLAIN, PLAIN, SKIP), chain(SKIP, SKIP), chain(PLAIN, Block(keep=False, skip=0.0))]
    found = Fact("plain_blocks").measure(SpecTable(), specs, torch.empty(0), CPU, lambda _: None)
    assert [item.value for item in found] == [-2, 0, -1]
