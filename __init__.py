"""flopwise plans the compute and the data of machine-learning projects: what a budget buys, where, and how surely.

The repository root is this package: `./cli` is imported as `flopwise.cli`, `./estimators` as `flopwise.estimators`,
`./benchmarks` as `flopwise.benchmarks`; `./catalog.yaml` and `./data` travel inside it.
"""

__version__ = "0.1.0"
