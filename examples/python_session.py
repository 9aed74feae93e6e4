"""From a search to a deeper network in ten lines of Python: search, validate, the best, diagnose, grow.

python -m examples.python_session        writes nasjac.db, best/ and deeper/ into the current folder
"""

import nasjac
from nasjac.datasets import Digits
from nasjac.kinds.residual_mlp.space import ResidualMlpSpace

found = nasjac.search(ResidualMlpSpace(placements=("pre",)), "digits", budget={"trials": 64}, seed=1, quiet=True)
print(found.validate(validation={"top": 2}, quiet=True))
best = found.recommended
print(best.key, best.spec, best.why, sep="\n")
training = nasjac.train(best.key, "digits", out="best", quiet=True)
model = nasjac.build(best.spec, inputs=64, outputs=10)
print(nasjac.diagnose(model, Digits().load().valid_inputs[:8], max_probes=32))
print(nasjac.grow("best", blocks=2, out="deeper"))
