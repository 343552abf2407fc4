"""Scaling laws: loss from size and tokens, the best size for a budget, and how sure either is."""
