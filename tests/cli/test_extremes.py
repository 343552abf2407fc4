"""Every option of the estimates with numbers that nobody means: one sentence or an answer, never a traceback."""

import re

import pytest

COMMANDS = {
    "train": "train --model 7B --tokens 1T --on h100:8",
    "finetune": "finetune --model llama-3-8b --tokens 10M --on h100",
    "memory": "memory --model llama-3-8b --on h100:8",
    "serve": "serve --model llama-3.1-8b --on h100",
    "plan": "plan --budget 50k",
    "data": "data --tokens 150B",
    "scale": "scale optimum --compute 1e22",
    "compare": "compare --model 1B --tokens 100B --on h100-sxm",
}
VALUES = ("1e-300", "1e-9", "0", "-1", "1e30", "1e300", "nan", "inf")
NOT_NUMBERS = ("--help", "--output", "--force", "--format", "--catalog", "--calibrate")


@pytest.mark.parametrize("verb", COMMANDS)
def test_numbers_that_nobody_means_end_in_a_sentence(cli, verb) -> None:
    base = COMMANDS[verb].split()
    words = base[: 2 if verb == "scale" else 1]
    options = sorted(set(re.findall(r"(--[a-z][a-z-]+)", cli(*words, "--help").out)) - set(NOT_NUMBERS))
    for option in options:
        for value in VALUES:
            typed = list(base)
            if option in typed:
                typed[typed.index(option) + 1] = value
            else:
                typed += [option, value]
            ran = cli(*typed)
            assert ran.code in (0, 2, 3), typed
            if ran.code:
                assert ran.err.startswith("error: ") and ran.err.count("\n") == 1, (typed, ran.err)
                assert ran.out == "", typed
