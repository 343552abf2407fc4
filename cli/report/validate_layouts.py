"""The document of `flopwise validate layouts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.layouts import RankedJob, summarise
from .document import Cell, Column, Document, Facts, Table, Value

WORST = 12  # jobs shown where not all are

COLUMNS = (
    Column("job", "Job"),
    Column("layouts", "Layouts", right=True),
    Column("pairs", "Pairs", right=True),
    Column("order", "In\norder", right=True),
    Column("regret", "Pick slower\nthan best", right=True),
    Column("source", "Source", wide_only=True),
)


def layouts_document(jobs: Sequence[RankedJob], inputs: Mapping[str, object], *, show_all: bool) -> Document:
    """Return order and regret over all jobs, and the jobs with the largest regret or all."""
    summary = summarise(jobs)
    shown = jobs if show_all else sorted(jobs, key=lambda job: -job.regret)[:WORST]
    caption = "Every job" if show_all else f"The {len(shown)} jobs with the largest loss (--all shows every job)"
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            job.job,
            job.layouts,
            job.pairs,
            None if job.order is None else Value(job.order, "fraction"),
            Value(job.regret, "fraction"),
            job.source,
        )
        for job in shown
    )
    if summary is None:
        return Document(
            verb="validate.layouts",
            headline="No job in these rows was measured under ten layouts or more.",
            inputs=inputs,
            result={"jobs": [], "summary": None},
            sections=(),
        )
    facts = Facts(
        "summary",
        (
            ("order", "Pairs in order", Value(summary.order, "fraction"), "of those measured more than 5 % apart"),
            ("ordered", "Jobs in order", Value(summary.ordered, "fraction"), "of the jobs reach 85 % of their pairs"),
            ("regret", "Our pick", Value(summary.regret, "fraction"), "slower than the best measured, in the mean"),
            ("worst_regret", "At worst", Value(summary.worst_regret, "fraction"), "slower"),
            ("near", "Near the best", Value(summary.near, "fraction"), "of our picks are within 3 %"),
        ),
    )
    return Document(
        verb="validate.layouts",
        headline=f"{summary.jobs} jobs were measured under ten layouts or more: {summary.order:.0%} of their pairs are "
        f"put in the right order, and the layout we would pick was measured {summary.regret:.1%} slower than the "
        "best, each job left out of the fit.",
        inputs=inputs,
        result={
            "summary": {
                "jobs": summary.jobs,
                "order": summary.order,
                "ordered": summary.ordered,
                "regret": summary.regret,
                "worst_regret": summary.worst_regret,
                "near": summary.near,
            },
            "jobs": [
                {
                    "source": job.source,
                    "job": job.job,
                    "layouts": job.layouts,
                    "pairs": job.pairs,
                    "order": job.order,
                    "regret": job.regret,
                    "pick": {"id": job.pick[0], "measured": job.pick[1]},
                    "best": {"id": job.best[0], "measured": job.best[1]},
                }
                for job in jobs
            ],
        },
        sections=(facts, Table("jobs", COLUMNS, rows, caption=caption)),
    )
