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


def test_there_are_more_than_forty():
    assert len(FILES) > 40


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


def test_binary_rubbish_is_refused(cli, tmp_path):
    (tmp_path / "work" / "b.yaml").write_bytes(b"\xff\xfe\x00\x01" * 10)
    ran = cli("budget", "check", "b.yaml")
    assert ran.code == 2
    assert "not UTF-8" in ran.err


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
