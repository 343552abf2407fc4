"""The one list from which parameters, FLOPs, bytes, memory and time are all derived, so that they cannot disagree.

`expand` (in `expansion.py`) turns a `ModelShape` and a workload into operators. An operator says how often it runs in
one forward pass, its matrix dimensions per run, which weights it reads, what its backward pass must keep, and how
tensor and expert parallelism cut it. All sizes are those of the uncut model for `sequences` sequences; the estimators
divide.

Letters: m rows (tokens), n columns out, k columns in; s tokens per sequence; t keys per query.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OperatorKind(StrEnum):
    """What limits an operator: matrix units, memory, latency or the network."""

    MATMUL = "matmul"  # m x k times k x n
    ATTENTION = "attention"  # scores and their product with values, fused
    NORM = "norm"
    ELEMENTWISE = "elementwise"  # activation functions, residual adds, rotary
    EMBEDDING = "embedding"  # gather of rows
    SCAN = "scan"  # state-space recurrence
    CONVOLUTION = "convolution"
    ROUTING = "routing"  # top-k and the permutation of tokens to experts
    LOSS = "loss"  # softmax and cross-entropy over the vocabulary


class Group(StrEnum):
    """The part of the model an operator belongs to; totals are shown by group."""

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    CROSS_ATTENTION = "cross-attention"
    STATE_SPACE = "state space"
    FEED_FORWARD = "feed-forward"
    EXPERTS = "experts"
    SHARED_EXPERTS = "shared experts"
    ROUTER = "router"
    NORM = "norm"
    HEAD = "head"


class Cut(StrEnum):
    """How parallelism divides an operator.

    COLUMN and ROW: Megatron's column- and row-parallel linear (arXiv:1909.08053, section 3); HEADS: attention heads;
    VOCABULARY: embedding and head rows; EXPERT: routed experts over expert parallelism (and inside an expert over
    expert tensor parallelism); SEQUENCE: work that every tensor rank repeats unless sequence parallelism divides it
    (arXiv:2205.05198, section 4.2); WHOLE: never divided.
    """

    COLUMN = "column"
    ROW = "row"
    HEADS = "heads"
    VOCABULARY = "vocabulary"
    EXPERT = "expert"
    SEQUENCE = "sequence"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator of one kind of layer; it runs `repeats` times (the layers of its run) in a forward pass.

    MATMUL uses rows, columns, inner (and `batch` equal products: experts). ATTENTION uses rows (queries), keys, heads,
    head_dim, value_dim; `pairs` is the number of query-key pairs that the mask keeps for all sequences, `pairs_full`
    without mask. The others use rows x columns elements. FLOPs count multiply and add as two.

    `weight_params` are the trainable numbers this operator owns per repeat (a tied head owns none); `is_active_share`
    is the fraction of its weights one token uses (experts: active / experts, else 1).
    """

    name: str  # "decoder.attention.qkv"
    group: Group
    kind: OperatorKind
    cut: Cut
    stack: str
    repeats: int
    rows: float = 0
    columns: float = 0
    inner: float = 0
    batch: int = 1
    heads: int = 0
    kv_heads: int = 0
    keys: float = 0
    head_dim: int = 0
    value_dim: int = 0
    pairs: float = 0
    pairs_full: float = 0
    weight_params: int = 0
    active_share: float = 1.0
    saved_values: float = 0  # numbers kept for backward per repeat, at activation precision, all rows
    saved_bytes_extra: float = 0  # masks, fp32 statistics and the like, in bytes
    output_values: float = 0  # numbers written per repeat
    tied_to: str = ""  # name of the operator whose weights it shares

    @property
    def forward_flops(self) -> float:
        """Matrix FLOPs of all repeats in one forward pass with masked pairs skipped (causal counted as half)."""
        return self._flops(self.pairs)

    @property
    def forward_flops_full(self) -> float:
        """The same with every query-key pair counted (the convention of PaLM, arXiv:2204.02311, appendix B)."""
        return self._flops(self.pairs_full)

    def _flops(self, pairs: float) -> float:
        if self.kind is OperatorKind.MATMUL or self.kind is OperatorKind.CONVOLUTION:
            return 2.0 * self.rows * self.columns * self.inner * self.batch * self.repeats
        if self.kind is OperatorKind.ATTENTION:
            return 2.0 * pairs * self.heads * (self.head_dim + self.value_dim) * self.repeats
        if self.kind is OperatorKind.SCAN:
            return 2.0 * self.rows * self.columns * self.inner * self.repeats
        return 0.0
