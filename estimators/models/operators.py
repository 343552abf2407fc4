"""The one list from which parameters, FLOPs, bytes, memory and time are all derived, so that they cannot disagree.

`expand` (in `expansion.py`) turns a `ModelShape` and a workload into operators. An operator says how often it runs in
one forward pass, its matrix dimensions per run, which weights it reads, what its backward pass must keep, and how
tensor and expert parallelism cut it. All sizes are those of the uncut model for `sequences` sequences; the estimators
divide.

Letters: m rows (tokens), n columns out, k columns in; s tokens per sequence; t keys per query.
"""

from __future__ import annotations

from enum import StrEnum

from ..frozen import dataclass


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

    `weight_params` are the trainable numbers this operator owns per repeat (a tied head owns none); `active_share`
    is the fraction of its weights one token uses (experts: active / experts, else 1), `read_share` the fraction that
    all its rows together read (experts: those that got a token, routing taken as uniform).

    `run` says to which run of equal layers (`StackShape.runs`) it belongs, -1 when it stands outside the layers.
    `matrices` counts the projections that share this product (query, key and value: 3; gate and up: 2); adapters put
    a pair of factors on each.

    What backward keeps: `saved_values` at activation precision and `saved_bytes_extra` with a flash kernel and fused
    elementwise chains. `saved_values_eager` come on top when chains are not fused (PyTorch eager: the fp32 copy and
    the normalized copy of RMSNorm, the activated gate). `score_values` is the size of the score matrices, which only
    unfused attention keeps: one copy as softmax output and, under dropout, one more with a byte-sized mask.
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
    saved_values_eager: float = 0  # numbers kept besides by frameworks that fuse nothing
    score_values: float = 0  # queries x keys x heads of the score matrix, never stored by a flash kernel
    output_values: float = 0  # numbers written per repeat
    cache_values: float = 0  # numbers of the key-value cache or state that one decode step reads, per repeat
    read_share: float = 1.0
    matrices: int = 1
    run: int = -1
    dropout: bool = False  # a dropout mask belongs to it
    tied_to: str = ""  # name of the operator whose weights it shares

    def saved_bytes(self, bytes_per_value: float, *, flash_attention: bool = True, fused: bool = True) -> float:
        """Bytes that one repeat keeps for its backward pass, uncut, at `bytes_per_value` (2 for bf16).

        Without `flash_attention` the softmax output stays (and under dropout its mask and its dropped copy), and the
        row statistics of the flash kernel do not (arXiv:2205.05198, section 4.1). Without `fused` the copies that
        eager elementwise chains make are added.
        """
        kept = self.saved_values + (0.0 if fused else self.saved_values_eager)
        if self.kind is OperatorKind.ATTENTION and not flash_attention:
            per_score = 2 * bytes_per_value + 1 if self.dropout else bytes_per_value
            return kept * bytes_per_value + self.score_values * per_score
        return kept * bytes_per_value + self.saved_bytes_extra

    @property
    def saved_is_divided(self) -> bool:
        """Whether tensor parallelism divides what this operator keeps even without sequence parallelism.

        The input of a column-parallel product is whole on every tensor rank, that of a row-parallel one is divided
        (arXiv:2205.05198, equation 2: sbh(10 + 24/t + 5as/ht)). Experts have their own degree and are not answered for.
        """
        if self.cut is Cut.COLUMN:
            return self.kind is not OperatorKind.MATMUL
        return self.cut in (Cut.ROW, Cut.HEADS) or self.kind is OperatorKind.LOSS

    @property
    def matrix_values(self) -> float:
        """Numbers of the weight matrices that one repeat multiplies with, borrowed ones (tied head) included."""
        is_matrix = self.kind is OperatorKind.MATMUL or self.kind is OperatorKind.CONVOLUTION
        return self.columns * self.inner * self.batch if is_matrix else 0.0

    @property
    def weights_read(self) -> float:
        """Weight numbers that all repeats read in one pass over the rows: for experts those that got a token."""
        if self.kind is OperatorKind.EMBEDDING:
            return min(self.rows * self.columns, self.weight_params or float("inf")) * self.repeats
        return max(self.matrix_values, self.weight_params) * self.read_share * self.repeats

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
