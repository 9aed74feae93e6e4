"""Models that people bring: the Jacobian of any nn.Module, what brings it to criticality, and closed forms of ours."""
