"""What residual branches do at the data of a network: their Jacobians' norms, their share of the stream.

norms    ‖J_F‖₂ and ‖J_F‖_F of one function at given points
ours     the blocks of networks that `nasjac.kinds.build` builds
samples  Jacobian samples of such a network with its weights fixed
"""
