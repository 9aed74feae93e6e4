"""Knobs of an architecture that bring it to criticality, each by its smallest change, by the closed form.

band      what counts as critical, and what a prescription is
dials     knobs that turn without steps: branch scale, weight gain, the probability of a skip
switches  knobs that click: which blocks of a fixed pattern keep their skip, where the norm sits
"""
