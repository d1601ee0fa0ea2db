"""What training minimises: one file a loss, found by its name in the config.

A file defines `loss`, a function of logits (batch, class, [z,] y, x) and labels (batch, [z,] y, x), whole numbers from
0, the background, to class - 1. It works in float32 whatever the precision of the logits (float64 stays as it is), and
returns one number to minimise. It raises ValueError if the shapes do not fit, and RuntimeError if a label is not a
class (on a CPU; CUDA reports a device-side assertion).

Of an organ that was not annotated in a case a loss need not know: its probability is the background's before, see
`_marginal`.
"""
