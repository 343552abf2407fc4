"""The months of a budget as a picture: bars of characters for the terminal, SVG, or PNG with matplotlib."""

from __future__ import annotations

import io

from ...estimators.budget.build import Budget
from ...estimators.errors import InputError
from ...estimators.units import show_usd
from .budget import cash_left

_BLOCK = "█"


def month_bars(budget: Budget, *, width: int) -> str:
    """Return a bar for each month, at most `width` columns wide."""
    most = max(*budget.by_month, 1)
    labels = [show_usd(cents / 100) for cents in budget.by_month]
    left = 7 + 2
    room = max(10, min(width, 100) - left - max(map(len, labels)) - 2)
    lines = ["Spent by month"]
    for name, cents, label in zip(budget.months, budget.by_month, labels, strict=True):
        bar = _BLOCK * round(cents / most * room)
        lines.append(f"{name}  {bar} {label}".rstrip())
    return "\n".join(lines) + "\n"


def picture(budget: Budget, ending: str) -> bytes:
    """Return the months by category as .svg or .png.

    Raises:
        InputError: .png without matplotlib; names the command that installs it.
    """
    if ending == ".svg":
        from .budget_page import month_chart
        from .charts import standalone

        return standalone(month_chart(budget), budget.file.name).encode()
    return _png(budget)


def _png(budget: Budget) -> bytes:
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "--output: .png pictures need matplotlib; install it with `pip install 'flopwise[plot]'`, or write .svg."
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 5), dpi=120)
    bottom = [0.0] * budget.file.months
    for category in budget.by_category:
        values = [cents / 100 for cents in budget.category_by_month(category)]
        axes.bar(budget.months, values, bottom=bottom, label=str(category))
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    axes.set_ylabel("US dollars a month")
    axes.tick_params(axis="x", rotation=60)
    axes.set_title(budget.file.name)
    axes.legend(fontsize="small")
    if budget.file.funding:
        right = axes.twinx()
        right.plot(budget.months, [cents / 100 for cents in cash_left(budget)], color="black", label="cash left")
        right.set_ylabel("cash left")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pyplot.close(figure)
    return buffer.getvalue()
