"""Serving: time of prefill and decode, what fits, what a load needs, what a million tokens cost."""
