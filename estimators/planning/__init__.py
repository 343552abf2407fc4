"""The search over requests: what a budget, a deadline or a target buys."""
