"""Samplers of our own, one file each; Optuna's are named by conf/sampler/."""
