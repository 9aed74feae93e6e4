"""Neural architecture search for residual networks by their Jacobians at initialization.

The floor plan. A module imports only from floors below its own (`tests/test_floors.py` checks it).

    0  activations  placement  wiring  pruning  meanfield  paths  jacobian  cost  ranking  front
    1  spec  measurement  estimators  rows  schema
    2  networks  facts  columns  validated
    3  spaces  scores  samplers  datasets  objectives  database  agreement  wording
    4  trainers  checkpoint  store  study  findings  figures  page  console  tables  interrupts
    5  verbs
    6  cli

Floors 0 to 2 and `scores` need torch and numpy alone.
"""
