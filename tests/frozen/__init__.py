"""Behaviour that a change of the code's structure must not change, and what computes it anew.

`specs.json.gz`   600 Specs of all kinds: JSON, canonical JSON, key, facts, closed-form terms, and a digest of the names and
                  shapes of the module's parameters (checkpoints rest on them); by a line each
`terms.json.gz`   for 60 of them every sampled term and the layer profile, in float64
`study.db.gz`     the database of a search of 48 trials with its validation, and what the next 16 trials were

`scripts/freeze` writes them, of the terms that are named alone where some are named. A change of a formula regenerates the
terms that it means to change and says why; a change of structure regenerates nothing.
"""
