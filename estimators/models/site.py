"""Where a block of operators stands, and the operators that every block is made of.

A `Site` knows the stack, the run of equal layers and the rows that flow through; it makes products, norms, elementwise
work and residual additions with the sizes filled in.

What backward keeps follows Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1), operator by operator: each linear
layer keeps its input, the core attention its queries, keys and values, each norm its input, each activation function
its input. A tensor that two operators read is counted where it is read first.
"""

from __future__ import annotations

from ..frozen import dataclass
from .operators import Cut, Group, Operator, OperatorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a block stands: `run` of equal layers in `stack`, `repeats` layers, and what flows through it.

    `tokens` per sequence are computed now; `cached_tokens` before them are only keys and values (0 in training).
    `decoding` makes one token per sequence: latent attention is absorbed, cross attention reads its cache.
    """

    stack: str
    run: int
    repeats: int
    hidden: int
    tokens: int
    sequences: float
    cached_tokens: int = 0
    source_tokens: int = 0
    rotary: bool = False
    dropout: bool = False
    decoding: bool = False

    @property
    def rows(self) -> float:
        """Tokens of all sequences that are computed now."""
        return self.tokens * self.sequences

    def operator(self, name: str, group: Group, kind: OperatorKind, cut: Cut, **sizes: float) -> Operator:
        """Return an operator of this site; `rows` are those of the site unless given."""
        sizes.setdefault("rows", self.rows)
        return Operator(
            name=f"{self.stack}.{name}",
            group=group,
            kind=kind,
            cut=cut,
            stack=self.stack,
            repeats=self.repeats,
            run=self.run,
            **sizes,  # type: ignore[arg-type]  # whole-number fields are given whole numbers
        )

    def product(
        self,
        name: str,
        group: Group,
        cut: Cut,
        *,
        inner: int,
        columns: int,
        bias: int = 0,
        shares_input: bool = False,
        **sizes: float,
    ) -> Operator:
        """Return y = x W + b with W of inner x columns; its input is kept unless an earlier operator keeps it."""
        rows = sizes.setdefault("rows", self.rows)
        sizes.setdefault("weight_params", inner * columns + bias)
        sizes.setdefault("saved_values", 0 if shares_input else rows * inner)
        sizes.setdefault("output_values", rows * columns)
        sizes |= {"inner": inner, "columns": columns}
        return self.operator(name, group, OperatorKind.MATMUL, cut, **sizes)

    def elementwise(self, name: str, group: Group, cut: Cut, columns: int, **sizes: float) -> Operator:
        """Return work on rows x columns numbers that only moves memory."""
        sizes.setdefault("output_values", self.rows * columns)
        return self.operator(name, group, OperatorKind.ELEMENTWISE, cut, columns=columns, **sizes)

    def norm(self, name: str, params: int, columns: int | None = None, cut: Cut = Cut.SEQUENCE) -> Operator:
        """Return a norm over `columns` with `params` vectors of weights; it keeps its input.

        Eager RMSNorm (one vector) upcasts: it keeps x in fp32 (two 16-bit values) and the normalized x in place of
        its input, so two values more. LayerNorm is one kernel everywhere. Row statistics are left out as in the paper.
        """
        width = columns or self.hidden
        values = self.rows * width
        return self.operator(
            name,
            Group.NORM,
            OperatorKind.NORM,
            cut,
            columns=width,
            weight_params=params * width,
            saved_values=values,
            saved_values_eager=2 * values if params == 1 else 0,
            output_values=values,
        )

    def residual(self, name: str, group: Group) -> Operator:
        """Return the addition to the residual stream; dropout, where there is any, keeps one byte of mask a number."""
        mask = self.rows * self.hidden if self.dropout else 0
        return self.elementwise(name, group, Cut.SEQUENCE, self.hidden, saved_bytes_extra=mask, dropout=self.dropout)
