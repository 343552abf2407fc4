"""Whatever is typed wrong: one sentence on stderr with a way out, exit code 2, nothing on stdout, nothing written."""

import shlex

import pytest

TRAIN = "train --model llama-3-8b --tokens 1T --on h100-sxm:64"

FILES = {
    "broken.yaml": "accelerators:\n  x: [1, 2\nprices: {}\n",
    "key.yaml": "accelerators:\n  h100-sxm-80gb:\n    power_w: 700\n    powr_w: 3\n",
    "text.yaml": "accelerators:\n  h100-sxm-80gb:\n    power_w: 7e2\n",
    "twice.yaml": "prices: {}\nprices: {}\n",
    "empty.yaml": "",
    "bytes.yaml": b"\xff\xfe\x00bad",
    "broken.json": '{"a":\n ',
    "zebra.json": '{"model_type": "zebra"}',
    "old.json": "precious",
}

BAD = [
    # unknown names, with the nearest
    ("train --model lama-3-8b --tokens 1T --on h100:8", "--model: no model is called 'lama-3-8b'", "'llama-3-8b'"),
    ("train --model llama-3-8b --tokens 1T --on h10:8", "--on: no accelerator is called 'h10'", "did you mean 'h100'"),
    ("train --model llama-3-8b --tokens 1T --on rtx:8", "--on: 'rtx' could be several accelerators", "rtx-4090"),
    ("catalog show h1000", "no accelerator is called 'h1000'", "did you mean 'h100'"),
    ("models show lama", "no model is called 'lama'", "did you mean 'llama"),
    (f"{TRAIN} --cloud azur", "no cloud is called 'azur'", "did you mean 'azure'"),
    ("plan --budget 50k --law chinchila", "no scaling law is called 'chinchila'", "'chinchilla'"),
    # units and amounts
    ("train --model llama-3-8b --tokens 1X --on h100:8", "--tokens: '1X' is not a number of tokens", "for example 1T"),
    ("train --model llama-3-8b --tokens -1T --on h100:8", "--tokens: '-1T' is not a number", "more than 0"),
    ("train --model llama-3-8b --tokens 1T --on h100:0", "--on: 'h100:0'", "more than 0"),
    ("train --model llama-3-8b --tokens 1T --on h100:x", "'x' is not a number of accelerators", "h100-sxm:64"),
    ("plan --budget 0", "--budget: '0' is not an amount of US dollars", "more than 0"),
    ("plan --budget -50k", "--budget: '-50k' is not an amount", "more than 0"),
    ("plan --budget 50€", "--budget: '50€'", "prices are in US dollars"),
    ("plan --budget 50k --deadline 30", "--deadline: '30' is not a duration", "for example 30d"),
    ("plan --budget 50k --deadline 5m", "'m' could be minutes or months", "write min or mo"),
    ("catalog list --min-memory 80", "--min-memory: '80' is not an amount of memory", "80GiB"),
    (f"{TRAIN} --mfu 150%", "--mfu: '150%' is not a fraction", "between 0.001 and 1 (0.1% and 100%)"),
    (f"{TRAIN} --price -3", "--price: '-3'", "more than 0"),
    (f"{TRAIN} --seq 0", "--seq: '0'", "more than 0"),
    (f"{TRAIN} --zero 4", "--zero: 4", "between 0 and 3"),
    # layouts that cannot be
    (f"{TRAIN} --tp 3", "--tp 3: llama-3-8b has 32 attention heads", "3 does not divide"),
    (f"{TRAIN} --pp 7", "--pp 7", "does not divide 64 accelerators"),
    # contradictions, and what would have no effect
    (f"{TRAIN} --price 3 --cloud AWS", "--price and --cloud contradict each other", "one of them"),
    ("finetune --model llama-3-8b --tokens 1M --examples 5", "--tokens and --examples contradict", "one of them"),
    ("finetune --model llama-3-8b --tokens 1M --method full --rank 8 --on h100", "--rank: it has no effect", "lora"),
    (f"{TRAIN} --force", "--force: it has no effect without --output", "name a file"),
    (f"{TRAIN} --format json --output a.csv", "--format json contradicts --output 'a.csv'", "means csv"),
    # files
    (f"{TRAIN} --catalog none.yaml", "none.yaml", "no such file"),
    (f"{TRAIN} --catalog broken.yaml", "broken.yaml:3: is not YAML", "',' or ']'"),
    (f"{TRAIN} --catalog key.yaml", "key.yaml:4: accelerators.h100-sxm-80gb.powr_w", "did you mean 'power_w'"),
    (f"{TRAIN} --catalog text.yaml", "text.yaml:3", "power_w"),
    (f"{TRAIN} --catalog twice.yaml", "twice.yaml:2", "prices"),
    (f"{TRAIN} --catalog empty.yaml", "empty.yaml:1: is empty", "accelerators"),
    (f"{TRAIN} --catalog bytes.yaml", "bytes.yaml", "UTF-8"),
    (f"{TRAIN} --catalog folder.csv", "folder.csv: this is a folder", "YAML file"),
    ("train --model broken.json --tokens 1T --on h100:8", "--model: 'broken.json' is not JSON", "line 2"),
    ("train --model zebra.json --tokens 1T --on h100:8", "model_type 'zebra'", "known: bert"),
    ("train --model none.json --tokens 1T --on h100:8", "--model: 'none.json' does not exist", "config.json"),
    (f"{TRAIN} --output old.json", "--output: 'old.json' exists", "--force"),
    (f"{TRAIN} --output a.doc", "the ending '.doc' is not known", ".csv"),
    (f"{TRAIN} --output folder.csv", "'folder.csv' is a folder", "name a file"),
    (f"{TRAIN} --output none/a.csv", "there is no folder", "create it"),
    # options, choices and commands
    (f"{TRAIN} --format jsn", "--format: 'jsn' is not one of table, json, csv, md, yaml", "did you mean 'json'"),
    (f"{TRAIN} --precision bf61", "--precision: 'bf61' is not one of", "did you mean 'bf16'"),
    (f"{TRAIN} --bugdet 5", "has no option '--bugdet'", "`flopwise train --help` lists"),
    (f"{TRAIN} --recompte full", "has no option '--recompte'", "did you mean --recompute"),
    ("plan --budget 50k more", "`flopwise plan` cannot take 'more'", "an option in front of it is missing"),
    ("plan", "plan needs something to size from", "--budget"),
    ("train --tokens 1T --on h100:8", "`flopwise train` needs --model", "shows an example"),
    ("train llama-3-8b --tokens 1T", "write `flopwise train --model llama-3-8b`", "in front of"),
    ("train --model llama-3-8b --on h100:8", "--tokens: say on how many tokens", "161B"),
    ("pln --budget 50k", "`flopwise` has no command 'pln'", "did you mean 'plan'"),
    ("catalog shw h100", "`flopwise catalog` has no command 'shw'", "did you mean 'show'"),
    ("validate parms", "`flopwise validate` has no command 'parms'", "did you mean 'params'"),
]


@pytest.mark.parametrize(("typed", "wrong", "way_out"), BAD, ids=[typed for typed, *_ in BAD])
def test_one_sentence_says_what_is_wrong_and_the_way_out(cli, tmp_path, typed, wrong, way_out):
    folder = tmp_path / "work"
    for name, content in FILES.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder.csv").mkdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    ran = cli(*shlex.split(typed))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert wrong in ran.err
    assert way_out in ran.err
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert list((tmp_path / "home").rglob("*")) == []


def test_the_answer_is_no_where_nothing_fits(cli):
    ran = cli(*shlex.split("train --model llama-3.1-405b --tokens 1T --on t4:1"))
    assert (ran.code, ran.out) == (3, "")
    assert "does not fit on 1 x Tesla T4" in ran.err
    assert ran.err.count("\n") == 1


def test_the_answer_is_no_where_the_deadline_is_too_soon(cli):
    ran = cli(*shlex.split(f"{TRAIN} --deadline 1d"))
    assert ran.code == 3
    assert "longer than the deadline" in ran.err
    assert ran.out
