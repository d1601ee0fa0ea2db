"""How the learning rate falls after the warm-up: one file a schedule, found by its name in the config.

A file defines `schedule`: what is left of the largest rate, 1 to 0, by the part of the steps after the warm-up that is
done, 0 to 1.
"""
