"""Reading `budget.yaml`: a project as stages over months. `data/budget.schema.json` says the same to editors.

The file may also be an answer of ours (`flopwise budget show --format json` or yaml): its inputs hold the budget. Files
of version 0 (drafts before the first release) spelled two keys differently; they load with a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import FactsError
from .budget_records import SCHEMA, BudgetFile, Funding, Raise, Stage
from .budget_stages import read_stage
from .budget_values import Values
from .folders import package_folder
from .schema import shown
from .yamlfile import FactFile, read_text

TOP = ("version", "name", "note", "start", "months", "contingency", "terms", "funding", "prices", "stages")
TERMS = ("plan", "cloud", "class", "term_months")
MOST_BYTES = 512 * 1024  # of a budget; larger ones are some other file
MOST_ANSWER_BYTES = 16 * 2**20  # of an exported answer
MOST_MONTHS, MOST_STAGES = 120, 200
SCENARIO_FOLDER = "data/scenarios"
_OLD_KEYS = {"horizon_months": "months", "duration_months": "months"}  # version 0


def load_budget(path: Path) -> BudgetFile:
    """Read and check a budget file.

    Raises:
        FactsError: it cannot be read or breaks the grammar; names file, line and the fix.
    """
    return parse_budget(_text(path), name=str(path))


def parse_budget(text: str, *, name: str) -> BudgetFile:
    """Return the budget that `text` says; `name` is what errors call it."""
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_BYTES and '"flopwise_version"' not in text[:4096] and "flopwise_version:" not in text[:4096]:
        raise FactsError(f"is {size >> 10:,} KiB, too large for a budget (512 KiB); is it the right file?", file=name)
    return _budget(read_text(text, name=name))


def scenario_names() -> tuple[str, ...]:
    """Return the names of the shipped scenarios."""
    return tuple(sorted(path.stem for path in (package_folder() / SCENARIO_FOLDER).glob("*.yaml")))


def scenario_text(typed: str) -> tuple[str, str]:
    """Return the name and the commented text of a shipped scenario.

    Raises:
        UnknownName: there is none; names the nearest.
    """
    from ..names import resolve

    words = [word for name in scenario_names() for word in name.split("-")]
    short = {word: name for name in scenario_names() for word in name.split("-") if words.count(word) == 1}
    name = resolve(typed, scenario_names(), kind="scenario", aliases=short, listing="flopwise budget scenarios")
    return name, (package_folder() / SCENARIO_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def schema_path() -> Path:
    """Return the JSON Schema that says the grammar to editors."""
    return package_folder() / "data" / "budget.schema.json"


def _text(path: Path) -> str:
    name = str(path)
    try:
        if path.is_dir():
            raise FactsError("this is a folder, a budget file is wanted", file=name)
        if path.stat().st_size > MOST_ANSWER_BYTES:
            raise FactsError("is larger than 16 MiB, too large for a budget; is it the right file?", file=name)
        raw = path.read_bytes()
    except FileNotFoundError:
        fix = "make one with `flopwise budget init --scenario NAME FILE`"
        raise FactsError(f"there is no such file; {fix}", file=name) from None
    except OSError as error:
        raise FactsError(f"cannot be read: {(error.strerror or str(error)).lower()}", file=name) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FactsError("is not UTF-8 text; save it as UTF-8", file=name, line=line) from None


def _budget(file: FactFile) -> BudgetFile:
    if file.data is None:
        raise file.error("is empty; `flopwise budget init --scenario NAME FILE` writes a budget to start from")
    if not isinstance(file.data, dict):
        raise file.error(f"is {shown(file.data)}; a mapping (name:, start:, months:, stages:) is wanted")
    if "flopwise_version" in file.data:
        file = _from_answer(file, file.data)
    file, notices = _current(file)
    top = Values(file, (), file.data, TOP)
    start, months = top.month("start"), top.whole("months", most=MOST_MONTHS)
    contingency = top.share("contingency", 0.0)
    terms = Values(file, ("terms",), top.values.get("terms") or {}, TERMS)
    listed = top.listed("stages", "stages", MOST_STAGES)
    stages = tuple(
        read_stage(file, index, entry, terms=terms, contingency=contingency, start=start, months=months)
        for index, entry in enumerate(listed)
    )
    _check_names(file, stages)
    given = file.data
    assert isinstance(given, dict)
    return BudgetFile(
        name=top.text("name"),
        start=start,
        months=months,
        stages=stages,
        funding=_funding(file, top, months) if "funding" in top.values else None,
        prices=_prices(file, top),
        note=top.text("note", ""),
        given={"version": SCHEMA, **{key: value for key, value in given.items() if key != "version"}},
        notices=notices,
        file=file,
    )


def _from_answer(file: FactFile, data: Mapping[str, object]) -> FactFile:
    """Return the budget inside an answer of ours."""
    inputs = data.get("inputs")
    held = inputs.get("budget") if isinstance(inputs, dict) else None
    if not isinstance(held, dict):
        raise file.error("is an answer of flopwise that holds no budget; export one with `flopwise budget export`")
    return FactFile(file.file, "", held, {(): file.line("inputs", "budget") or 1})


def _current(file: FactFile) -> tuple[FactFile, tuple[str, ...]]:
    """Return the file in the current grammar, and what to tell about it."""
    data = file.data
    assert isinstance(data, dict)
    if "version" not in data:
        return file, (f"{file.file} names no version; it was read as version {SCHEMA} (write version: {SCHEMA}).",)
    version = data["version"]
    if version == SCHEMA and not isinstance(version, bool):
        return file, ()
    if version != 0 or isinstance(version, bool):
        raise file.error(f"version is {shown(version)}; this flopwise reads versions 0 and {SCHEMA}", "version")
    stages = data.get("stages")
    renamed = {_OLD_KEYS.get(key, key): value for key, value in data.items()}
    if isinstance(stages, list):
        renamed["stages"] = [
            {_OLD_KEYS.get(key, key): value for key, value in stage.items()} if isinstance(stage, dict) else stage
            for stage in stages
        ]
    notice = f"{file.file} is of the old version 0; it was read, and an export writes version {SCHEMA}."
    return FactFile(file.file, "", renamed, _Lines(file)), (notice,)


class _Lines(dict[tuple[str | int, ...], int]):
    """Line numbers of the old spelling, asked for by the new one."""

    def __init__(self, file: FactFile) -> None:
        super().__init__(file._lines)
        for path, line in list(self.items()):
            self[tuple(_OLD_KEYS.get(str(key), key) for key in path)] = line


def _check_names(file: FactFile, stages: tuple[Stage, ...]) -> None:
    first: dict[str, int] = {}
    for index, stage in enumerate(stages):
        if stage.name in first:
            other = file.line("stages", first[stage.name], "name")
            said = f"a stage is called '{stage.name}' already in line {other}; give each its own name"
            raise file.error(said, "stages", index, "name")
        first[stage.name] = index


def _funding(file: FactFile, top: Values, months: int) -> Funding:
    fields = Values(file, ("funding",), top.values["funding"], ("cash", "raises", "monthly_income"))
    start = top.month("start")
    found = []
    for index in range(len(fields.listed("raises", "raises", 50)) if "raises" in fields else 0):
        raised = fields.values["raises"]
        assert isinstance(raised, list)
        entry = Values(file, ("funding", "raises", index), raised[index], ("month", "usd", "what"))
        day = entry.month("month")
        month = (day.year - start.year) * 12 + day.month - start.month
        if not 0 <= month < months:
            entry.fail("month", f"{entry.spelled('month')} lies outside the {months} months from {start:%Y-%m}")
        found.append(Raise(month=month, usd=entry.usd("usd"), what=entry.text("what", "raise")))
    return Funding(
        cash_usd=fields.usd("cash", zero=True),
        raises=tuple(found),
        monthly_income_usd=fields.optional_usd("monthly_income", zero=True) or 0.0,
    )


def _prices(file: FactFile, top: Values) -> Mapping[str, float]:
    held = top.values.get("prices")
    if held is None:
        return {}
    if not isinstance(held, dict):
        top.fail("prices", f"prices is {shown(held)}; write one line per accelerator, for example h100-sxm-80gb: 2.10")
    fields = Values(file, ("prices",), held, tuple(held))
    return {name: fields.usd(name) for name in held}
