"""What changes the weights: one file an optimizer, found by its name in the config.

A file defines `optimizer`, a function of the weights, the learning rate and the weight decay. All are fused: one
kernel for all weights.
"""
