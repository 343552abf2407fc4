"""The operator-level time of a training step: surfaces, links, layers, schedule, software."""
