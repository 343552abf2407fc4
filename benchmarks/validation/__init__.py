"""Replays measured and published values through the estimators and scores them."""
