"""One training run: FLOPs, layout, step time, days."""
