"""The workbook is a calculator: what is changed in it gives the cents that flopwise gives for the file changed alike.

Every shipped scenario is exported, edited as a person would in a spreadsheet, and recalculated by LibreOffice in one
call. Where the budget file can say the same, flopwise works out that file; amounts and list prices that it cannot say
are set against the arithmetic of `estimators/budget/lines.py`.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flopwise.cli.commands.budget import _document
from flopwise.estimators.budget.build import Budget
from flopwise.estimators.budget.lines import Category, by_month, cents_of, reserve_of
from flopwise.estimators.budget.uncertainty import cash_in
from flopwise.estimators.facts.budget_file import scenario_names, scenario_text
from flopwise.estimators.frozen import dataclass
from flopwise.estimators.units import read_fraction, read_usd

from .conftest import SMALL, budget_of

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")

FIRST = 5  # row of the first entry of every sheet
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What a workbook adds up to, in cents."""

    stages: tuple[int, ...]
    categories: dict[str, int]  # without those that cost nothing
    months: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """New values of cells, and what flopwise says to the same change."""

    prices: dict[str, float]
    shares: dict[str, float]
    amounts: tuple[float, ...] | None
    wanted: Sums


def sums(budget: Budget) -> Sums:
    return Sums(
        stages=tuple(planned.cents for planned in budget.stages),
        categories={str(category): cents for category, cents in budget.by_category.items()},
        months=budget.by_month,
        total=budget.cents,
    )


def same_in_the_file(tree: Tree, prices: dict[str, float], shares: dict[str, float] | None = None) -> Edit:
    """Return an edit whose counterpart is the budget file `tree`."""
    return Edit(prices=prices, shares=shares or {}, amounts=None, wanted=sums(budget_of(json.dumps(tree))))


def accelerators(tree: Tree, budget: Budget) -> Edit:
    """Each rented accelerator at a price of its own: `prices:`."""
    cells, own = {}, {}
    for price in budget.prices:
        if price.unit not in ("accelerator-hour", "H100-hour") or price.key.endswith(", owned"):
            continue
        name = price.key.partition(", ")[0].removeprefix("one ").removesuffix(" for an hour")
        chip = budget.context.catalog.find(name).id
        cells[price.key] = own.setdefault(chip, round(3.1317 + 0.37 * len(own), 4))
    return same_in_the_file({**tree, "prices": own}, cells)


def pay(tree: Tree, budget: Budget) -> Edit:
    """Every role's yearly pay: `usd_per_year`."""
    cells = {}
    usual = budget.context.default("people_overhead").mid
    for stage in tree["stages"]:
        overhead = stage.get("overhead", usual)
        for index, role in enumerate(stage.get("roles", ())):
            role["usd_per_year"] = round(read_usd(str(role["usd_per_year"])) * 1.083 + 777 * (index + 1), 2)
            cells[f"{role['role']} of '{stage['name']}', a month"] = round(
                role["usd_per_year"] / 12 * (1 + overhead), 6
            )
    return same_in_the_file(tree, cells)


def quotes(tree: Tree, budget: Budget) -> Edit:
    """Whatever the user priced: `usd` of items."""
    cells = {}
    for stage in tree["stages"]:
        for item in stage.get("items", ()):
            if "usd" in item:
                item["usd"] = cells[f"{item['what']} of '{stage['name']}'"] = round(
                    read_usd(str(item["usd"])) * 1.07 + 3.335, 3
                )
    return same_in_the_file(tree, cells)


def contingency(tree: Tree, budget: Budget) -> Edit:
    """The share kept back in every stage that keeps one."""
    cells = {}
    for stage in tree["stages"]:
        share = read_fraction(str(stage.get("contingency", tree.get("contingency", 0))), "a share")
        if share:
            stage["contingency"] = cells[stage["name"]] = round(share * 1.31 + 0.0037, 6)
    return same_in_the_file(tree, {}, cells)


def given(tree: Tree, budget: Budget) -> Edit:
    """Pay, the user's own prices and contingency at once, each to a value of its own."""
    prices = {**pay(tree, budget).prices, **quotes(tree, budget).prices}
    return same_in_the_file(tree, prices, contingency(tree, budget).shares)


def electricity(tree: Tree, budget: Budget) -> Edit:
    """The price of power: `usd_per_kwh` of the machines."""
    (machines,) = (stage for stage in tree["stages"] if stage["kind"] == "hardware")
    machines["usd_per_kwh"] = 0.1473
    return same_in_the_file(tree, {"electricity": 0.1473})


def purchase(tree: Tree, budget: Budget) -> Edit:
    """The price of an accelerator alone: `usd_each`; the workbook's price has its share of server and network in it."""
    (machines,) = (stage for stage in tree["stages"] if stage["kind"] == "hardware")
    machines["usd_each"] = 27_750
    context = budget.context
    around = context.default("host_share_of_purchase").mid * (1 + context.default("network_share_of_purchase").mid)
    (key,) = (price.key for price in budget.prices if ", bought, " in price.key)
    return same_in_the_file(tree, {key: round(27_750 * around, 6)})


def everything(tree: Tree, budget: Budget) -> Edit:
    """Every price, every contingency and every amount at once."""
    prices = {price.key: round(price.usd.mid * 1.1 + 0.013, 6) for price in budget.prices}
    shares = {reserve.stage: round(reserve.share * 1.31 + 0.0037, 6) for reserve in budget.reserves}
    amounts = tuple(round(line.amount.mid * 0.93 + 0.01, 4) for line in budget.lines)
    months: list[tuple[int, ...]] = []
    for line, amount in zip(budget.lines, amounts, strict=True):
        months.append(by_month(cents_of(amount, prices[line.price.key]), line.until))
    return Edit(prices=prices, shares=shares, amounts=amounts, wanted=added_up(budget, months, shares))


def added_up(budget: Budget, months: list[tuple[int, ...]], shares: dict[str, float]) -> Sums:
    """Return the sums of a budget whose lines cost `months`."""
    paid = {planned.stage.name: [(0,) * budget.file.months] for planned in budget.stages}
    kinds = dict.fromkeys(Category, 0)
    for line, cents in zip(budget.lines, months, strict=True):
        paid[line.stage].append(cents)
        kinds[line.category] += sum(cents)
    for stage, share in shares.items():
        reserve = reserve_of(stage, share, tuple(map(sum, zip(*paid[stage], strict=True))))
        paid[stage].append(reserve.by_month)
        kinds[Category.CONTINGENCY] += reserve.cents
    rows = [row for held in paid.values() for row in held]
    stages = tuple(sum(map(sum, held)) for held in paid.values())
    by = tuple(map(sum, zip(*rows, strict=True)))
    return Sums(
        stages=stages,
        categories={str(kind): cents for kind, cents in kinds.items() if cents},
        months=by,
        total=sum(stages),
    )


Kind = Callable[[Tree, Budget], Edit]
OWNED = "medical-imaging"  # has machines of its own, and rents nothing
# Names that a spreadsheet would take for a pattern, a comparison, a formula or the same name.
ODD = """\
version: 1
name: odd names
start: 2027-01
months: 5
contingency: 10%
stages:
- {name: Team, kind: other, items: [{what: x, usd: 11}]}
- {name: team, kind: other, contingency: 20%, items: [{what: x, usd: 100.01}, {what: contingency, usd: 3}]}
- {name: t*, kind: other, contingency: 30%, items: [{what: x, usd: 1000.1}]}
- {name: "<5", kind: other, items: [{what: x, usd: 20000.2}, {what: x, usd: 70}]}
- {name: "=1+1", kind: other, months: 3, items: [{what: "=cmd()", usd: 30.03, per: month}]}
- {name: total, kind: other, items: [{what: "?", usd: 4.4}]}
"""
TEXTS = {**{name: scenario_text(name)[1] for name in scenario_names()}, "small": SMALL, "odd": ODD}
CASES: dict[str, tuple[str, Kind]] = {
    f"{name}, {kind.__name__}": (name, kind)
    for name in TEXTS
    for kind in (
        *((electricity, purchase, pay) if name == OWNED else () if name == "odd" else (accelerators,)),
        *((contingency,) if name == "odd" else (given,)),
        everything,
    )
}


def workbook(budget: Budget) -> bytes:
    """Return the workbook that `flopwise budget export` writes."""
    _, writers = _document(budget, everything=True)
    return writers["xlsx"]()


def edited(data: bytes, budget: Budget, edit: Edit) -> bytes:
    """Return a workbook with new values in its yellow cells, and no value that was calculated before."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheet, left = book["Inputs"], {**edit.prices, **{f"share {stage}": share for stage, share in edit.shares.items()}}
    for row in range(FIRST, sheet.max_row + 1):
        for label, column, prefix in ((1, 2, ""), (9, 10, "share ")):
            key = f"{prefix}{sheet.cell(row, label).value}"
            if key in left:
                assert left[key] != sheet.cell(row, column).value
                sheet.cell(row, column).value = left.pop(key)
    assert not left, f"not in the sheet: {left}"
    for row, amount in enumerate(edit.amounts or (), start=FIRST):
        book["Lines"].cell(row, 4).value = amount
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def recalculated(tmp_path_factory, scenario) -> dict[str, tuple[Budget, Edit, Any]]:
    """Every case after LibreOffice calculated it: the budget before, the edit, the workbook after."""
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed")
    folder = tmp_path_factory.mktemp("workbooks")
    budgets = {name: budget_of(text) if name in ("small", "odd") else scenario(name) for name, text in TEXTS.items()}
    books = {name: workbook(budget) for name, budget in budgets.items()}
    edits, files = {}, []
    for number, (case, (name, kind)) in enumerate(CASES.items()):
        edits[case] = kind(copy.deepcopy(dict(budgets[name].file.given)), budgets[name])
        files.append(folder / f"{number}.xlsx")
        files[-1].write_bytes(edited(books[name], budgets[name], edits[case]))
    command = [office, "--headless", f"-env:UserInstallation=file://{folder}/office", "--convert-to", "xlsx"]
    subprocess.run(
        [*command, "--outdir", "out", *(file.name for file in files)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=600,
    )
    return {
        case: (budgets[name], edits[case], openpyxl.load_workbook(folder / "out" / file.name, data_only=True))
        for (case, (name, _)), file in zip(CASES.items(), files, strict=True)
    }


@pytest.mark.parametrize("case", CASES)
def test_the_workbook_recalculated_gives_the_cents_of_the_changed_file(recalculated, case):
    budget, edit, book = recalculated[case]
    wanted = edit.wanted
    assert wanted.total != budget.cents
    summary = list(book["Summary"].iter_rows(min_row=FIRST, values_only=True))
    assert cents(row[2] for row in summary) == (*wanted.stages, wanted.total)
    assert {row[4]: round(row[5] * 100) for row in summary if row[5]} == {**wanted.categories, "total": wanted.total}
    *_, last = book["Months"].iter_rows(values_only=True)
    assert cents(last[2:]) == (*wanted.months, wanted.total)
    *_, last = book["Lines"].iter_rows(values_only=True)
    assert cents([last[6]]) == (wanted.total,)
    if budget.file.funding:
        rows = list(book["Cash"].iter_rows(min_row=FIRST, max_row=FIRST - 1 + budget.file.months, values_only=True))
        assert cents(row[1] for row in rows) == wanted.months
        left = sum(cash_in(budget.file.funding, budget.file.months)) - wanted.total
        assert cents([rows[-1][3]]) == (left,)


@pytest.mark.parametrize("case", CASES)
def test_no_cell_is_an_error_or_was_left_uncalculated(recalculated, case):
    _, _, book = recalculated[case]
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "e", f"{sheet.title}!{cell.coordinate} is {cell.value}"
    for line in book["Lines"].iter_rows(min_row=FIRST, values_only=True):
        assert line[6] is not None


@pytest.mark.parametrize("name", TEXTS)
def test_every_input_of_the_workbook_moves_what_uses_it(recalculated, name):
    """Each line holds its own new price and amount, so no input can stand in for another or for none."""
    budget, edit, book = recalculated[f"{name}, everything"]
    rows = list(book["Lines"].iter_rows(min_row=FIRST, values_only=True))
    used = set()
    for line, amount, row in zip(budget.lines, edit.amounts, rows, strict=False):
        assert row[5] == pytest.approx(edit.prices[line.price.key], abs=1e-9)
        assert cents([row[6]]) == (cents_of(amount, edit.prices[line.price.key]),)
        used.add(line.price.key)
    assert used == {price.key for price in budget.prices}
    assert {row[0]: row[3] for row in rows[len(budget.lines) : -1]} == pytest.approx(edit.shares)


def test_two_prices_of_one_name_keep_a_cell_each():
    """The same item twice in one stage, two people of one role, two rows of machines: none takes the other's price."""
    budget = budget_of(
        "version: 1\nname: twice\nstart: 2027-01\nmonths: 12\nstages:\n"
        "- {name: s, kind: other, items: [{what: x, usd: 1}, {what: x, usd: 100}, {what: x, usd: 1, per: month}]}\n"
        "- {name: d, kind: data, items: [{what: x, usd: 2}, {what: x, usd: 30}, {what: x, usd: 2}]}\n"
        "- {name: t, kind: people, overhead: 0, roles: [{role: dev, usd_per_year: 12k}, {role: dev, usd_per_year: 24k}]}\n"
        '- {name: m, kind: hardware, buy: "h100-sxm:8", usd_each: 20k, usd_per_kwh: 0.1}\n'
        '- {name: n, kind: hardware, buy: "h100-sxm:8", usd_each: 40k, usd_per_kwh: 0.2}\n'
    )
    costs = {planned.stage.name: [line.cents for line in planned.lines] for planned in budget.stages}
    assert costs["s"] == [100, 10_000, 1200]
    assert costs["d"] == [200, 3000, 200]
    assert costs["t"] == [1_200_000, 2_400_000]
    assert costs["n"][0] == 2 * costs["m"][0]
    assert costs["n"][1] == pytest.approx(2 * costs["m"][1], abs=1)
    keys = [price.key for price in budget.prices]
    assert keys[:4] == ["x of 's'", "x of 's' (2)", "x of 's' (3)", "x of 'd'"]
    inputs = openpyxl.load_workbook(io.BytesIO(workbook(budget)))["Inputs"]
    assert [inputs.cell(FIRST + row, 1).value for row in range(len(keys))] == keys


def cents(cells: Iterator[float | None] | list[float] | tuple[float, ...]) -> tuple[int, ...]:
    """Return dollars of a sheet in whole cents, empty cells left out."""
    return tuple(round(cell * 100) for cell in cells if cell is not None)
