"""Data money: which sets fit a need, what is missing, and what each way to close the gap costs."""
