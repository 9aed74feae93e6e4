"""The command line: `nasjac VERB ...`. Light to import: a verb loads what it needs.

A verb is a module of its name and a line of `VERBS`. One that reads --options has a function `main(argv)`; the others are
configured by Hydra: a dataclass `Config` has their options, `run(call)` calls the function of the same name and returns
its `nasjac.cli.call.Answer`, and `conf/VERB.yaml` is what their --help prints.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from nasjac.cli.words import check_texts
from nasjac.foundation.errors import InputError

#: what each verb is given, and what it does
VERBS = {
    "search": "space=residual_mlp budget.trials=2000    sample, score before training, store, validate, report",
    "design": "space=transformer_lm budget.params=50M   shapes of one size, before anything is trained",
    "validate": "study=NAME                               train the best and as many random ones briefly",
    "report": "study=NAME                               tables and figures of a study in reports/NAME/",
    "train": "KEY dataset=digits out=DIR               train one architecture and keep its checkpoint",
    "theory": "KEY | space=residual_mlp depth=32 ...    closed forms of one architecture: norms, paths, criticality",
    "prescribe": "KEY | depth=64 placement=none ...       the smallest changes that bring one to criticality, verified",
    "diagnose": "model=pkg.module:make input=4x3x32x32    the layer-by-layer Jacobian of any model",
    "grow": "checkpoint=DIR blocks=4 | blocks=max     new residual blocks in a trained network, as many as are safe",
    "prune": "checkpoint=DIR ratio=0.3                 residual branches out of a network, and what that costs",
    "correlate": "table=TABLE.csv space=nasbench201       what a score is worth on trained architectures",
    "query": '"SELECT ..." | --study NAME --where ...  ask the results database; --schema lists its columns',
    "show": "KEY                                      all that is known of one architecture",
}
#: those that read --options
PLAIN_VERBS = ("query", "show")

LINES = "\n".join(f"  nasjac {verb:8} {text}" for verb, text in VERBS.items())
HELP = f"""\
nasjac: architecture search for residual networks by their Jacobians at initialization

{LINES}

`nasjac VERB --help` lists every option of a verb; all but query and show take name=value (Hydra), e.g.
`nasjac search -m seed=1,2,3 budget.trials=200` runs three searches. Results land in nasjac.db unless database=PATH.
Shell completion: eval "$(nasjac search -sc install=bash)"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the command is wrong (one sentence says how), 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    verb, rest = words[0], words[1:]
    if verb == "--version":
        from importlib.metadata import version

        print(version("nasjac"))
        return 0
    if verb not in VERBS:
        return print_usage_error(f"the verb must be one of {', '.join(VERBS)}, got {verb!r}")
    try:
        check_texts(words)
        return _run(verb, rest)
    except BrokenPipeError:  # the reader has seen enough, e.g. `nasjac query ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes
        return 128 + signal.SIGPIPE
    except (InputError, OSError) as error:  # anything else is a fault, whose traceback helps to mend it
        return print_usage_error(error)
    except KeyboardInterrupt:
        print("nasjac: interrupted", file=sys.stderr)
        return 130


def print_usage_error(error: Exception | str) -> int:
    """Say what is wrong on standard error and return the exit code 2; with NASJAC_TRACEBACK set, raise it instead."""
    if isinstance(error, Exception) and os.environ.get("NASJAC_TRACEBACK"):
        raise error
    print(f"nasjac: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _run(verb: str, rest: list[str]) -> int:
    if verb in PLAIN_VERBS:
        return int(import_module(f"nasjac.cli.{verb}").main(rest))
    from nasjac.cli.app import run_verb

    return run_verb(verb, rest)
