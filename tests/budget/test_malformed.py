"""Wrong budget files: each one sentence with file, line and a way out, exit code 2 (3 where the answer is no)."""

import re
import textwrap

import pytest

HEAD = "version: 1\nname: b\nstart: 2027-01\nmonths: 12\n"  # four lines; stages: is line 5
PEOPLE = "stages:\n- {name: team, kind: people, roles: [{role: dev, usd_per_year: 100k}]}\n"
TRAIN = "stages:\n- name: run\n  kind: pre-training\n  model: llama-3-8b\n  tokens: 10B\n  on: h100-sxm:8\n"


def stage(*lines: str) -> str:
    return HEAD + "stages:\n- name: s\n" + "".join(f"  {line}\n" for line in lines)


TUNE = ("kind: fine-tuning", "model: llama-3-8b", "tokens: 1M", "on: h100-sxm:1")
SERVE = ("kind: serving", "model: llama-3-8b", "on: h100-sxm", "requests_per_day: 1k", "input_tokens: 500")
SERVE_ALL = (*SERVE, "output_tokens: 100")

# name: (text, line that the error names, words that the error holds)
FILES = {
    "empty": ("", None, "is empty; `flopwise budget init"),
    "only a comment": ("# nothing\n", None, "is empty"),
    "a list": ("- 1\n", 1, "a list; a mapping"),
    "a sentence": ("hello\n", 1, "a mapping"),
    "tab": ("version: 1\n\tname: b\n", 2, "starts with a tab; indent with spaces"),
    "open bracket": (HEAD + "stages: [\n", 6, "is not YAML"),
    "bad indent": (HEAD + "stages:\n- name: s\n   kind: people\n", 7, "is not YAML"),
    "two documents": (HEAD + PEOPLE + "---\na: 1\n", 7, "one document is wanted"),
    "key twice": (HEAD + "name: c\n" + PEOPLE, 5, "given twice, first in line 2"),
    "anchor": (HEAD + "stages: &a\n- *a\n", 5, "uses an anchor"),
    "tag": (HEAD + "stages: !!python/object:os.system {}\n", 5, "carries the tag"),
    "unknown key": (HEAD + "contingncy: 10%\n" + PEOPLE, 5, "did you mean 'contingency'?"),
    "no stages": (HEAD, None, "stages is missing"),
    "stages empty": (HEAD + "stages: []\n", 5, "a list of stages is wanted"),
    "stages a text": (HEAD + "stages: none\n", 5, "a list of stages is wanted"),
    "no start": ("version: 1\nname: b\nmonths: 3\n" + PEOPLE, None, "start is missing"),
    "month 13": ("version: 1\nname: b\nstart: 2027-13\nmonths: 3\n" + PEOPLE, 3, "there is no such month"),
    "a day": ("version: 1\nname: b\nstart: 2027-01-15\nmonths: 3\n" + PEOPLE, 3, "write for example 2027-03"),
    "negative months": ("version: 1\nname: b\nstart: 2027-01\nmonths: -3\n" + PEOPLE, 4, "more than 0"),
    "no months": ("version: 1\nname: b\nstart: 2027-01\nmonths: 0\n" + PEOPLE, 4, "more than 0"),
    "half months": ("version: 1\nname: b\nstart: 2027-01\nmonths: 2.5\n" + PEOPLE, 4, "must be whole"),
    "too many months": ("version: 1\nname: b\nstart: 2027-01\nmonths: 500\n" + PEOPLE, 4, "at most 120"),
    "future version": ("version: 7\nname: b\nstart: 2027-01\nmonths: 3\n" + PEOPLE, 1, "reads versions 0 and 1"),
    "unit in tokens": (
        stage("kind: pre-training", "model: 7B", "tokens: 10GB", "on: h100-sxm:8"),
        9,
        "'GB' is not known",
    ),
    "euros": (stage("kind: other", "items: [{what: desk, usd: 500€}]"), 8, "convert it first"),
    "negative money": (stage("kind: other", "items: [{what: desk, usd: -5}]"), 8, "at least 0"),
    "contingency 120": (HEAD + "contingency: 120%\n" + PEOPLE, 5, "between 0 and 1"),
    "no kind": (stage("tokens: 1B"), 6, "kind is missing"),
    "unknown kind": (stage("kind: pretraining"), 7, "did you mean 'pre-training'?"),
    "key of another kind": (stage("kind: people", "tokens: 1B"), 8, "has no effect on a people stage"),
    "no name": (HEAD + "stages:\n- kind: people\n  roles: [{role: dev, usd_per_year: 1k}]\n", 6, "name is missing"),
    "same name": (HEAD + PEOPLE + PEOPLE.partition("\n")[2], 7, "already in line 6"),
    "unknown model": (
        stage("kind: pre-training", "model: lama-3-8b", "tokens: 1B", "on: h100-sxm:8"),
        8,
        "did you mean",
    ),
    "unknown chip": (stage("kind: pre-training", "model: 7B", "tokens: 1B", "on: h10:8"), 10, "did you mean"),
    "no count": (stage("kind: pre-training", "model: 7B", "tokens: 1B", "on: h100-sxm"), 10, "say how many"),
    "model a number": (stage("kind: pre-training", "model: 7", "tokens: 1B", "on: h100-sxm:8"), 8, "a size such as 7B"),
    "cycle": (
        HEAD + "stages:\n- {name: a, kind: data, after: b, items: [{what: x, usd: 1}]}\n"
        "- {name: b, kind: data, after: a, items: [{what: x, usd: 1}]}\n",
        7,
        "a -> b -> a",
    ),
    "waits for itself": (stage("kind: data", "after: s", "items: [{what: x, usd: 1}]"), 8, "s -> s"),
    "waits for nobody": (stage("kind: data", "after: corpse", "items: [{what: x, usd: 1}]"), 8, "no stage is called"),
    "share of nothing": (stage("kind: experiments", "share: 20%", "of: x"), 9, "no stage is called 'x'"),
    "share of people": (HEAD + PEOPLE + "- {name: e, kind: experiments, share: 10%, of: team}\n", 7, "trains nothing"),
    "starts too early": (
        HEAD + "stages:\n- {name: a, kind: data, months: 3, items: [{what: x, usd: 1}]}\n"
        "- {name: b, kind: data, start: 2, after: a, items: [{what: x, usd: 1}]}\n",
        7,
        "before 'a' ends; start it in 2027-04",
    ),
    "ends too late": (
        stage("kind: data", "start: 11", "months: 6", "items: [{what: x, usd: 1}]"),
        9,
        "write months: 16",
    ),
    "starts outside": (stage("kind: data", "start: 2026-05", "items: [{what: x, usd: 1}]"), 8, "outside the 12 months"),
    "takes longer": (HEAD + TRAIN.replace("10B", "3T") + "  months: 1\n", 11, "more than its 1"),
    "does not fit": (stage("kind: pre-training", "model: 70B", "tokens: 1B", "on: rtx-4090:1"), 10, "GiB"),
    "no such price": (HEAD + TRAIN + "  plan: spot\n  cloud: Lambda\n", 11, "no spot price is known"),
    "unknown cloud": (HEAD + TRAIN + "  cloud: Lambada\n", 11, "did you mean 'lambda'"),
    "price and cloud": (HEAD + TRAIN + "  cloud: Lambda\n  price: 2\n", 11, "no effect beside price"),
    "owned without machines": (HEAD + TRAIN + "  plan: owned\n", 11, "buy more, or rent"),
    "term without contract": (HEAD + TRAIN + "  term_months: 12\n", 11, "only with plan: reserved"),
    "wrong precision": (HEAD + TRAIN + "  precision: bf17\n", 11, "choose one of"),
    "wrong layout": (HEAD + TRAIN + "  tp: 3\n", 10, "3"),
    "tokens and examples": (stage(*TUNE, "examples: 5"), 9, "give tokens, or examples"),
    "examples of no length": (stage("kind: fine-tuning", "model: 7B", "examples: 5k"), 6, "go together"),
    "unknown method": (stage(*TUNE, "method: lorra"), 11, "did you mean 'lora'?"),
    "serving nothing": (stage(*SERVE[:1], *SERVE[3:], "output_tokens: 9"), 6, "both missing"),
    "serving two": (stage(*SERVE_ALL, "api: gpt-5-mini"), 13, "contradict each other"),
    "unknown API": (stage("kind: serving", "api: gpt-9", *SERVE[3:], "output_tokens: 9"), 8, "with a token price"),
    "too few chips": (stage(*SERVE_ALL, "growth: 300%").replace("on: h100-sxm", "on: h100-sxm:1"), 9, "cannot carry"),
    "unknown format": (stage(*SERVE_ALL, "weights: fp9"), 13, "weight format"),
    "unknown label": (stage("kind: data", "items: [{what: x, labels: bocks, items: 5}]"), 8, "kind of label"),
    "unknown cost": (stage("kind: data", "items: [{what: x, unit_cost: ocr, amount: 5}]"), 8, "unit cost"),
    "two prices": (stage("kind: data", "items: [{what: x, usd: 1, storage: 5TB}]"), 8, "priced in two ways"),
    "no price": (stage("kind: data", "items: [{what: x}]"), 8, "has no price"),
    "storage in nothing": (stage("kind: data", "items: [{what: x, storage: 5}]"), 8, "a unit is missing"),
    "evaluation of nothing": (stage("kind: evaluation"), 7, "nothing says how much"),
    "raise outside": (
        HEAD + "funding: {cash: 1M, raises: [{month: 2029-01, usd: 1M}]}\n" + PEOPLE,
        5,
        "outside the 12",
    ),
    "own price of nothing": (HEAD + "prices: {h10: 2}\n" + PEOPLE, 5, "no accelerator is called"),
    "yes": (stage(*TUNE, "packed: yes"), 11, "write true, false"),
    "huge": (HEAD + "note: " + "x" * 600_000 + "\n" + PEOPLE, None, "too large for a budget"),
    "too many stages": (HEAD + "stages:\n" + "- {}\n" * 300, 5, "at most 200"),
    "deep": (HEAD + "stages: " + "[" * 20_000 + "\n", 5, ""),
    "deep by indent": (
        HEAD + "stages:\n" + "".join(" " * i + "a:\n" for i in range(1, 900)),
        None,
        "nested too deeply",
    ),
    "aliases that grow": ("a: &a [x, x]\nb: &b [*a, *a]\n" + HEAD + PEOPLE, 1, "uses an anchor"),
    "merge key": (HEAD + "stages:\n- {<<: {name: t}, kind: people}\n", 6, "merge keys (<<) are not used"),
    "second document": (HEAD + PEOPLE + "...\ngarbage: 1\n", 8, "is not YAML"),
    "NUL": (HEAD.replace("name: b", "name: b\0") + PEOPLE, 2, "a character that YAML does not allow"),
    "NUL escaped": (stage("kind: other", 'items: [{what: "x\\0", usd: 5}]'), 8, "U+0000, which cannot be shown"),
    "escape sequence": (stage("kind: other", 'items: [{what: "\\x1b[31m", usd: 5}]'), 8, "U+001B, which cannot be"),
    "name of two lines": (stage("kind: other", 'items: [{what: "x\\ny", usd: 5}]'), 8, "U+000A, which cannot be shown"),
    "name turned around": (
        stage("kind: other", "items: [{what: x, usd: 5}]").replace("name: s", 'name: "a\\u202eb"'),
        6,
        "U+202E, which cannot be",
    ),
    "name of spaces": (
        stage("kind: other", "items: [{what: x, usd: 5}]").replace("name: s", "name: '  '"),
        6,
        "name is empty",
    ),
    "same name but a space": (
        HEAD + PEOPLE + PEOPLE.partition("\n")[2].replace("team", "'team '"),
        7,
        "already in line 6",
    ),
    "not a number": (stage("kind: other", "items: [{what: x, usd: .nan}]"), 8, "not a plain number"),
    "infinite": (stage("kind: other", "items: [{what: x, usd: .inf}]"), 8, "not a plain number"),
    "income not a number": (HEAD + "funding: {cash: 1, monthly_income: .nan}\n" + PEOPLE, 5, "not a plain number"),
    "gigabytes of money": (stage("kind: other", "items: [{what: x, usd: 80GB}]"), 8, "the unit 'GB' is not known"),
    "gigabytes of pay": (HEAD + PEOPLE.replace("100k", "80GiB"), 6, "the unit 'GiB' is not known"),
    "price in gigabytes": (HEAD + "prices: {h100-sxm-80gb: 2GB}\n" + PEOPLE, 5, "the unit 'GB' is not known"),
    "cents for power": (
        stage("kind: hardware", "buy: h100-sxm:8", "usd_per_kwh: 9 ct"),
        9,
        "the unit 'ct' is not known",
    ),
    "decimal comma": (stage("kind: other", 'items: [{what: x, usd: "1.000,50"}]'), 8, "the unit ',50' is not known"),
    "comma in a flow": (stage("kind: other", "items: [{what: x, usd: 1,000}]"), 8, "000 is not a known key"),
    "1e308 dollars": (stage("kind: other", "items: [{what: x, usd: 1e308}]"), 8, "at most 1e+21; is the unit right?"),
    "1e18 dollars": (
        stage("kind: other", "items: [{what: x, usd: 1e18}]"),
        6,
        "more than the $1e+12 that a line can hold",
    ),
    "1e300 of pay": (HEAD + PEOPLE.replace("100k", "1e300"), 6, "at most 1e+21"),
    "1e300 tokens": (stage("kind: pre-training", "model: 7B", "tokens: 1e300", "on: h100-sxm:8"), 9, "at most 1e+21"),
    "1e30 requests": (stage(*SERVE_ALL).replace("1k", "1e30"), 10, "at most 1e+21"),
    "1e300 tokens long": (HEAD + TRAIN + "  seq: 1e300\n", 11, "it must lie between 1e-09 and 1e+15"),
    "1e-300 of peak": (HEAD + TRAIN + "  mfu: 1e-300\n", 11, "it must lie between 1e-09 and 1e+15"),
    "growth without end": (stage(*SERVE_ALL, "growth: 1e20"), 13, "at most 300%"),
    "no accelerators": (stage("kind: pre-training", "model: 7B", "tokens: 1B", "on: h100-sxm:0"), 10, "more than 0"),
    "fewer than none": (stage("kind: pre-training", "model: 7B", "tokens: 1B", "on: h100-sxm:-8"), 10, "more than 0"),
    "nobody": (
        HEAD + "stages:\n- {name: t, kind: people, roles: [{role: d, count: 0, usd_per_year: 1k}]}\n",
        6,
        "more than 0",
    ),
    "overhead below nothing": (HEAD + PEOPLE.replace("people,", "people, overhead: -50%,"), 6, "more than 0"),
    "price twice": (
        HEAD + "prices:\n  h100-sxm-80gb: 2\n  h100-sxm: 3\n" + PEOPLE,
        7,
        "the price of h100-sxm-80gb is given twice",
    ),
    "price of nothing": (HEAD + "prices: {h100-sxm-80gb: 0}\n" + PEOPLE, 5, "more than 0"),
    "funding a list": (HEAD + "funding: [1, 2]\n" + PEOPLE, 5, "funding is a list, a mapping"),
    "funding empty": (HEAD + "funding:\n" + PEOPLE, 5, "funding is empty, a mapping"),
    "prices a list": (HEAD + "prices: [1]\n" + PEOPLE, 5, "one line per accelerator"),
    "terms a text": (HEAD + "terms: spot\n" + PEOPLE, 5, "terms is 'spot', a mapping"),
    "stages a mapping": (HEAD + "stages: {a: {kind: people}}\n", 5, "a list of stages is wanted"),
    "stage a list": (HEAD + "stages: [[1]]\n", 5, "stages[0] is a list, a mapping"),
    "stage empty": (HEAD + "stages:\n-\n", 6, "stages[0] is empty, a mapping"),
    "roles a mapping": (
        HEAD + "stages:\n- {name: t, kind: people, roles: {role: d}}\n",
        6,
        "a list of roles is wanted",
    ),
    "items a mapping": (stage("kind: other", "items: {what: x, usd: 5}"), 8, "a list of items is wanted"),
    "cash below nothing": (HEAD + "funding: {cash: -1M}\n" + PEOPLE, 5, "at least 0"),
    "raise below nothing": (
        HEAD + "funding: {cash: 1, raises: [{month: 2027-03, usd: -1}]}\n" + PEOPLE,
        5,
        "more than 0",
    ),
    "months true": ("version: 1\nname: b\nstart: 2027-01\nmonths: true\n" + PEOPLE, 4, "months is true; a whole"),
    "months octal": ("version: 1\nname: b\nstart: 2027-01\nmonths: 012\n" + PEOPLE, 4, "does not read as it looks"),
    "months of a clock": (
        "version: 1\nname: b\nstart: 2027-01\nmonths: 1:30\n" + PEOPLE,
        4,
        "does not read as it looks",
    ),
    "start a number": ("version: 1\nname: b\nstart: 202701\nmonths: 3\n" + PEOPLE, 3, "not a month"),
    "start in other digits": ("version: 1\nname: b\nstart: ２０２７-０１\nmonths: 3\n" + PEOPLE, 3, "not a month"),
    "start two lines": ('version: 1\nname: b\nstart: "2027\\n01"\nmonths: 3\n' + PEOPLE, 3, "'2027\\n01', not a month"),
    "amount with an escape": (stage("kind: other", 'items: [{what: x, usd: "5\\x1b[2J"}]'), 8, "'5\\x1b[2J'"),
    "year 0": ("version: 1\nname: b\nstart: 0000-01\nmonths: 3\n" + PEOPLE, 3, "there is no such month"),
    "version a text": ("version: one\nname: b\nstart: 2027-01\nmonths: 3\n" + PEOPLE, 1, "reads versions 0 and 1"),
    "answer of something": ("flopwise_version: 1\ninputs: 3\n", None, "holds no budget"),
    "share of itself": (stage("kind: experiments", "share: 20%", "of: s"), 9, "shares of each other: s -> s"),
    "waits twice": (stage("kind: data", "after: [a, a]", "items: [{what: x, usd: 1}]"), 8, "holds an entry twice"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_gets_one_sentence_with_its_line(cli, tmp_path, name):
    text, line, words = FILES[name]
    (tmp_path / "work" / "b.yaml").write_text(text, encoding="utf-8")
    ran = cli("budget", "check", "b.yaml")
    assert (ran.code, ran.out) == (3 if name == "does not fit" else 2, "")
    assert ran.err.startswith("error: b.yaml:")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert words in ran.err
    found = re.match(r"error: b\.yaml:(\d+): ", ran.err)
    if line is not None:
        assert found
        assert int(found[1]) == line


def test_there_are_more_than_a_hundred_kinds():
    assert len(FILES) > 100


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["budget", "show", "nothere.yaml"], "there is no such file; make one with `flopwise budget init"),
        (["budget", "show", "."], "this is a folder"),
        (["budget", "init", "--scenario", "moon-base"], "no scenario is called"),
        (["budget", "init"], "--scenario: say which one"),
        (["budget", "init", "b.txt", "--scenario", "rag"], "does not end in .yaml"),
        (["budget", "show", "a.yaml", "--scenario", "rag"], "contradict each other"),
        (["budget", "show", "--scenario", "rag", "--plot", "--format", "json"], "--plot"),
        (["budget", "export", "--scenario", "rag"], "--output: say where to"),
        (["budget", "export", "--scenario", "rag", "-o", "x.doc"], "the ending '.doc' is not known"),
        (["budget", "diff", "a.yaml"], "name a second file, or --from REV"),
        (["budget", "diff", "a.yaml", "--from", "-x"], "is not a git revision"),
        (["budget", "diff", "a.yaml", "--to", "HEAD"], "--to: it has no effect without --from"),
        (["budget", "show", "--scenario", "rag", "--fail-over", "free"], "--fail-over"),
    ],
)
def test_wrong_usage_gets_one_sentence(cli, argv, words):
    ran = cli(*argv)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"\xff\xfe\x00\x01" * 10, 1),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), 1),
        ((HEAD + PEOPLE).encode("utf-16"), 1),
        ((HEAD + PEOPLE).replace("dev", "é").encode("latin-1"), 6),
    ],
    ids=["rubbish", "picture", "UTF-16", "Latin-1"],
)
def test_what_is_not_text_is_refused(cli, tmp_path, raw, line):
    (tmp_path / "work" / "b.yaml").write_bytes(raw)
    ran = cli("budget", "check", "b.yaml")
    assert (ran.code, ran.err) == (2, f"error: b.yaml:{line}: is not UTF-8 text; save it as UTF-8\n")


def test_a_file_of_50_megabytes_is_refused_unread(cli, tmp_path):
    with (tmp_path / "work" / "b.yaml").open("wb") as file:
        file.truncate(50 * 10**6)
    ran = cli("budget", "check", "b.yaml")
    assert ran.code == 2
    assert "is larger than 16 MiB" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEAD + PEOPLE,
        (HEAD + PEOPLE).replace("\n", "\r\n"),
        (HEAD + PEOPLE).replace("\n", "\r"),
        "%YAML 1.2\n---\n" + HEAD + PEOPLE,
        (HEAD + PEOPLE).replace("kind: ", "kind:\t"),
        (HEAD + PEOPLE).replace("team", "训练 équipe ✓"),
        HEAD + "note: |\n  two\n  lines\n" + PEOPLE,
    ],
    ids=["byte order mark", "CRLF", "CR", "directive", "tab inside", "Unicode", "note of two lines"],
)
def test_what_only_looks_odd_is_read(cli, tmp_path, text):
    (tmp_path / "work" / "b.yaml").write_bytes(text.encode())
    ran = cli("budget", "check", "b.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert "$130,000.00" in ran.out


def test_a_file_without_a_version_loads_with_a_notice(cli, tmp_path):
    (tmp_path / "work" / "b.yaml").write_text(textwrap.dedent(HEAD.partition("\n")[2] + PEOPLE), encoding="utf-8")
    ran = cli("budget", "check", "b.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert "names no version" in ran.out


def test_an_old_version_loads_with_a_notice_and_its_lines(cli, tmp_path):
    old = "version: 0\nname: b\nstart: 2027-01\nhorizon_months: 12\n"
    data = "stages:\n- {name: d, kind: data, duration_months: 2, items: [{what: x, usd: 100}]}\n"
    path = tmp_path / "work" / "b.yaml"
    path.write_text(old + data, encoding="utf-8")
    ran = cli("budget", "check", "b.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert "old version 0" in ran.out
    path.write_text(old + data.replace("duration_months: 2", "duration_months: -2"), encoding="utf-8")
    assert cli("budget", "check", "b.yaml").err.startswith("error: b.yaml:6: stages[0].months")
