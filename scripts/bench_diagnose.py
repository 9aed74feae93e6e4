"""What does a diagnosis of GPT-2 small cost, beside plain passes of the same model?

    .venv/bin/pip install -c scripts/constraints.txt -e '.[foreign]'
    .venv/bin/python scripts/bench_diagnose.py [--layers 12] [--tokens 128] [--batch 4] [--repeats 5]

Random weights from the configuration. A sample is one probe in one direction with everything that is taken from it; each
is timed in turn with a plain forward pass and a forward plus backward pass, and medians are compared. Then the whole
diagnosis at a standard error of 5%. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from nasjac import diagnose
from nasjac.models.passes import Prober
from nasjac.models.sampling import network_of
from nasjac.models.setup import prepared
from nasjac.models.undisturbed import undisturbed


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def plain_forward(model: nn.Module, ids: Tensor) -> None:
    with torch.no_grad():
        model(ids)


def plain_backward(model: nn.Module, ids: Tensor) -> None:
    model(ids).logits.square().mean().backward()
    model.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"layers": 12, "tokens": 128, "batch": 4, "repeats": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=options.layers, use_cache=False)).eval()
    ids = torch.randint(model.config.vocab_size, (options.batch, options.tokens))
    times: dict[str, list[float]] = {}
    with undisturbed(model, "batch"):
        run = prepared(model, (ids,), {}, None, None, None)
        network = network_of(run, depends_on_batch=False, tokens=None)
        blocks = [list(model.get_submodule(name).parameters()) for name in network.blocks]
        prober = Prober(run, network.inputs, network.tokens, blocks, seed=0)
        calls = {
            "plain_forward": lambda: plain_forward(model, ids),
            "forward_sample": prober.forward,
            "plain_forward_backward": lambda: plain_backward(model, ids),
            "backward_sample": prober.backward,
        }
        for _ in range(options.repeats + 1):
            for name, call in calls.items():
                times.setdefault(name, []).append(seconds(call))
    middle = {name: median(values[1:]) for name, values in times.items()}
    result = diagnose(model, ids)
    errors = [layer.standard_error for layer in result.layers if layer.standard_error is not None]
    found = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        **{f"{name}_seconds": value for name, value in middle.items()},
        "forward_ratio": middle["forward_sample"] / middle["plain_forward"],
        "backward_ratio": middle["backward_sample"] / middle["plain_forward_backward"],
        "diagnosis_seconds": result.seconds,
        "probes": dict(result.probes),
        "largest_standard_error": max(errors),
    }
    for name, value in found.items():
        print(f"{name:32s} {value:.3f}" if isinstance(value, float) else f"{name:32s} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
