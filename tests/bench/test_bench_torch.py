"""The harness on a real PyTorch: every suite runs and checks its results; nothing here depends on how long it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from flopwise.benchmarks.harness import (
    attention,
    matmul,
    memory_streams,
    pointwise,
    steps,
    suite,
    transfers,
    verify,
)
from flopwise.benchmarks.harness.device import open_bench
from flopwise.benchmarks.harness.measure import Measured
from flopwise.benchmarks.harness.models import name_of, shape_of, size
from flopwise.benchmarks.harness.runner import Budget, Session
from flopwise.benchmarks.harness.statistics import Spread
from flopwise.benchmarks.harness.trials import Scope
from flopwise.cli.report.bench_verify import verify_document
from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.bench_records import Record, read_record
from flopwise.estimators.frozen import replace
from flopwise.estimators.models.parameters import count_parameters
from flopwise.estimators.stepmodel.local import train_memory

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def bench():
    before = torch.get_num_threads()
    yield open_bench(torch, "cpu", threads=1)
    torch.set_num_threads(before)


def run(bench, trials):
    session = Session(bench, Budget(seconds=None, trial_s=0.01, least_trial_s=0.001))
    session.run(trials)
    return session.cases


def test_products_of_every_format_are_right_or_say_why_not(bench) -> None:
    cases = run(bench, [matmul.trial(name, 64, 96, 128, "nt") for name in ("fp32", "bf16", "fp16", "int8", "fp8")])
    assert {case.status for case in cases} <= {"measured", "unsupported"}
    measured = [case for case in cases if case.is_measured]
    assert len(measured) >= 2
    assert all(case.relative_error is not None for case in measured)


def test_streams_attention_pointwise_and_launches_run_and_check(bench) -> None:
    scope = Scope(level="quick", cache_bytes=2.0**16)
    trials = [t for t in memory_streams.trials(scope) if t.what["array_bytes"] <= 2**20]
    trials += [t for t in attention.trials(scope) if t.what["tokens"] == 128]
    trials += [t for t in pointwise.trials(scope) if float(t.what["values"]) < 2**21 and t.what["kind"] != "embedding"]
    trials += list(transfers.launch_trials(scope))
    cases = run(bench, trials)
    assert len(cases) > 20
    assert [case.id for case in cases if not case.is_measured] == []


def test_steps_layers_and_decoding_run(bench) -> None:
    scope = Scope(level="quick")
    small = [t for t in (*steps.step_trials(scope), *steps.decode_trials(scope)) if t.what["hidden"] == 32]
    cases = run(bench, [*small, *list(steps.layer_trials(scope))[:1]])
    assert [case.status for case in cases] == ["measured"] * 5


def test_a_product_that_cannot_be_in_memory_is_out_of_memory(bench) -> None:
    (case,) = run(bench, [matmul.trial("fp32", 10**7, 10**6, 10**6)])
    assert case.status == "out of memory"


def test_the_models_have_the_parameters_of_their_shapes() -> None:
    from flopwise.benchmarks.harness.models import Model

    for kind in ("gpt", "llama"):
        dims = size(kind, 3, 192, 512)
        # Shared weights and buffers count once or not at all, as in the shape.
        assert sum(p.numel() for p in Model(dims).parameters()) == count_parameters(shape_of(dims)).total


@pytest.mark.parametrize(("kind", "tokens"), [("gpt", 32), ("gpt", 256), ("llama", 32), ("llama", 256)])
def test_peak_memory_of_a_training_step_is_predicted_within_a_tenth(bench, kind: str, tokens: int) -> None:
    dims = size(kind, 3, 192, 2048)
    step = steps.training_step(bench, dims, tokens)
    step()
    step()
    predicted = train_memory(shape_of(dims), sequence_tokens=tokens).peak
    assert predicted == pytest.approx(verify.peak_bytes(bench, step), rel=0.10)


def test_decoding_with_a_cache_gives_the_same_token_as_reading_all_at_once() -> None:
    from flopwise.benchmarks.harness.models import Model

    for kind in ("gpt", "llama"):
        torch.manual_seed(3)
        model = Model(size(kind, 2, 128, 64)).eval()
        words = torch.randint(0, 64, (2, 12))
        with torch.no_grad():
            whole = model(words)[:, -1]
            caches = model.caches(2, 12)
            for at in range(12):
                last = model(words[:, at : at + 1], caches=caches, at=at)
        assert torch.allclose(whole, last[:, -1], atol=1e-4)


def test_an_interrupted_run_leaves_a_record_that_can_be_read(bench, tmp_path: Path) -> None:
    seen = []

    def interrupt(trial) -> None:
        seen.append(trial)
        if len(seen) == 3:
            raise KeyboardInterrupt

    asked = suite.Asked(level="quick", only=("launch", "bandwidth"))
    kept, ended = suite.run(bench, asked, tmp_path / "r.json", suite.Progress(start=interrupt))
    assert isinstance(ended, KeyboardInterrupt)
    found = read_record(tmp_path / "r.json")
    assert found.stopped == "interrupted"
    assert len(found.cases) == len(kept.cases) == 2


def test_predictions_are_on_disk_before_the_first_run(bench, tmp_path: Path, monkeypatch) -> None:
    order = []
    monkeypatch.setattr(verify, "predict", lambda record, models, format: (_prediction(models[0]),))
    monkeypatch.setattr(verify, "check_same_device", lambda bench, record: None)
    monkeypatch.setattr(verify, "sizes", lambda is_cpu, is_quick: (size("gpt", 1, 64, 128),))
    real = steps.training_step

    def spying(*arguments, **named):
        order.append(json.loads((tmp_path / "v.json").read_text()))
        return real(*arguments, **named)

    monkeypatch.setattr(steps, "training_step", spying)
    monkeypatch.setattr(verify, "pace", lambda bench, record: verify.Pace(products=0.9, memory=None))
    record = type("R", (), {"id": "r", "device": bench.facts})()
    done = verify.run(bench, record, seconds=0.01, path=tmp_path / "v.json")
    assert order[0]["rows"][0]["predicted"] == 1.0
    assert order[0]["rows"][0]["measured"] is None and order[0]["finished"] is False
    written = json.loads((tmp_path / "v.json").read_text())
    assert written["finished"] is True
    assert written["paces"] == [{"products": 0.9, "memory": None}] * verify.ROUNDS
    assert done.file == tmp_path / "v.json"
    assert done.predictions[0].measured == written["rows"][0]["measured"] > 0
    assert len(order) == verify.ROUNDS
    assert done.predictions[0].measured_low <= done.predictions[0].measured <= done.predictions[0].measured_high


def test_the_pace_is_the_speed_of_now_over_that_of_the_record(bench) -> None:
    scope = Scope(level="quick", cache_bytes=2.0**16)
    stream = next(t for t in memory_streams.trials(scope) if t.what["cache"] == "cold")
    cases = run(bench, [matmul.trial("fp32", 64, 96, 128, "nt"), stream])
    slow = [replace(case, median_s=1e3 * case.median_s) for case in cases]

    def record(cases):
        device = replace(bench.facts, cache_bytes=2.0**16)
        made = {"id": "r", "started": "", "finished": "", "seconds": 1.0, "flopwise_version": "0", "software": {}}
        return Record(**made, device=device, settings={"level": "quick"}, conditions={}, cases=tuple(cases))

    pace = verify.pace(bench, record(slow))
    assert pace.products > 10 and pace.memory > 10
    assert verify.pace(bench, record([])) == verify.Pace(products=None, memory=None)


def test_of_three_rounds_the_middle_one_counts_and_their_range_is_kept() -> None:
    def found(median, *verdict):
        spread = Spread(median=median, low=0.9 * median, high=1.1 * median, best=median, quartile_1=median,
                        quartile_3=median, count=3)  # fmt: skip
        return Measured(samples=(median,) * 3, waited=(0.0,) * 3, spread=spread, inner=1, warm_up_calls=2,
                        is_corrected=False, verdict=verdict)  # fmt: skip

    prediction = _prediction(size("gpt", 1, 64, 128))
    once = verify.with_times(prediction, [found(1.0, "noise")])
    assert (once.measured_low, once.measured, once.measured_high, once.verdict) == (0.9, 1.0, 1.1, ("noise",))
    thrice = verify.with_times(prediction, [found(2.0, "loud"), found(1.0), found(1.02)])
    assert (thrice.measured_low, thrice.measured, thrice.measured_high) == (1.0, 1.02, 2.0)
    assert thrice.verdict == ("3 rounds differ by 100%",)


def test_a_machine_that_is_slower_than_in_its_record_is_named(bench) -> None:
    record = type("R", (), {"id": "r", "device": bench.facts})()

    def document(*paces):
        verified = verify.Verified(
            predictions=(replace(_prediction(size("gpt", 1, 64, 128)), measured=1.1),),
            file=Path("v.json"),
            paces=tuple(verify.Pace(products=p, memory=m) for p, m in paces),
        )
        return verify_document(record, verified)

    assert document((1.0, 0.99), (0.98, 1.02)).warnings == ()
    assert "(62 % of it at one time)" in document((1.0, 0.99), (0.62, 1.02)).warnings[0]
    assert document((None, None)).warnings == ()
    assert document((0.8, 0.5)).result["paces"] == [{"products": 0.8, "memory": 0.5}]


def _prediction(dims) -> verify.Prediction:
    return verify.Prediction(
        model=name_of(dims),
        what=verify.TRAIN,
        tokens=128,
        params=1.0,
        predicted=1.0,
        low=0.5,
        high=2.0,
        unit="s",
    )


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(InputError, match="--device: 'gpu' is not known; choose one of"):
        open_bench(torch, "gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="this PyTorch sees no cuda here; it has cpu"):
            open_bench(torch, "cuda:1")


_RANK = """
import os, sys, threading
from flopwise.benchmarks.harness import collectives
if {dies} and os.environ["RANK"] == "1":
    before = collectives._trial
    def dying(kind, *rest):
        if kind == "reduce_scatter":
            os._exit(7)
        return before(kind, *rest)
    collectives._trial = dying
sys.argv = ["flopwise", "bench", "run", "--quick", "--only", "collectives", "--threads", "1", "--record", {record!r}]
from flopwise.cli.app import main
main()
"""


def ranks(tmp_path: Path, dies: bool) -> tuple[list[subprocess.Popen], Path]:
    record = tmp_path / "collectives.json"
    script = tmp_path / "rank.py"
    script.write_text(_RANK.format(dies=dies, record=str(record)))
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    running = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return running, record


def test_two_gloo_ranks_measure_all_five_collectives_and_a_rank_that_dies_keeps_the_rest(tmp_path: Path) -> None:
    running, record = ranks(tmp_path, dies=True)
    out = [each.communicate(timeout=120) for each in running]
    assert running[0].returncode == 2
    assert "the run ended early: another rank is gone" in out[0][1]
    found = read_record(record)
    assert "another rank is gone" in found.stopped
    lines = {case.text("kind"): case for case in found.of("collectives", fit="line")}
    assert set(lines) == {"all_reduce", "all_gather"}
    assert all(case.relative_error == 0 for case in found.of("collectives") if not case.text("fit"))
