"""The command line: `nasjac VERB ...`. Light to import: a verb loads what it needs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from nasjac.cli.usage_error import print_usage_error
from nasjac.cli.words import check_texts
from nasjac.foundation.errors import InputError

HYDRA_VERBS = ("search", "validate", "train", "report", "theory", "prescribe", "diagnose", "grow", "prune", "correlate")
PLAIN_VERBS = ("query", "show")

HELP = """\
nasjac: architecture search for residual networks by their Jacobians at initialization

  nasjac search   space=residual_mlp budget.trials=2000    sample, score before training, store, validate, report
  nasjac validate study=NAME                               train the best and as many random ones briefly
  nasjac report   study=NAME                               tables and figures of a study in reports/NAME/
  nasjac train    KEY dataset=digits out=DIR               train one architecture and keep its checkpoint
  nasjac theory   KEY | space=residual_mlp depth=32 ...    closed forms of one architecture: norms, paths, criticality
  nasjac prescribe KEY | depth=64 placement=none ...       the smallest changes that bring one to criticality, verified
  nasjac diagnose model=pkg.module:make input=4x3x32x32    the layer-by-layer Jacobian of any model
  nasjac grow     checkpoint=DIR blocks=4 | blocks=max     new residual blocks in a trained network, as many as are safe
  nasjac prune    checkpoint=DIR ratio=0.3                 residual branches out of a network, and what that costs
  nasjac correlate table=TABLE.csv space=nasbench201       what a score is worth on trained architectures
  nasjac query    "SELECT ..." | --study NAME --where ...  ask the results database; --schema lists its columns
  nasjac show     KEY                                      all that is known of one architecture

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
    if verb not in HYDRA_VERBS + PLAIN_VERBS:
        return print_usage_error(f"the verb must be one of {', '.join(HYDRA_VERBS + PLAIN_VERBS)}, got {verb!r}")
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


def _run(verb: str, rest: list[str]) -> int:
    if verb in HYDRA_VERBS:
        from nasjac.cli.app import run_verb

        return run_verb(verb, rest)
    return int(import_module(f"nasjac.cli.{verb}").main(rest))
