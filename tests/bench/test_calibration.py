"""From a record to rates: lines through products, curves, whole steps; and what they do to the planner's answer."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.benchmarks.harness.collectives import bus_factor, fit_line
from flopwise.benchmarks.harness.store import default_path, write_record
from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.calibration import Curve, calibration_from, measured_rates, non_negative
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.surfaces import load_surfaces
from flopwise.estimators.frozen import replace
from flopwise.estimators.models.shape import AttentionShape, FeedForwardShape, LayerShape, ModelShape, StackShape
from flopwise.estimators.stepmodel.chip import make_chip
from flopwise.estimators.stepmodel.local import decode_seconds, train_memory, train_seconds
from flopwise.estimators.stepmodel.surface import matrix_seconds

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)


def gpt(layers: int = 4, hidden: int = 512, vocab: int = 4096) -> ModelShape:
    heads = hidden // 64
    attention = AttentionShape(heads=heads, kv_heads=heads, head_dim=64, value_dim=64, qkv_bias=True, out_bias=True)
    block = FeedForwardShape(width=4 * hidden, gated=False, bias=True)
    layer = LayerShape(attention=attention, feed_forward=block, norm_params=2)
    stack = StackShape(name="decoder", hidden=hidden, runs=((layers, layer),), final_norm_params=2)
    return ModelShape(
        name="gpt", family="gpt", kind="decoder", stacks=(stack,), vocab=vocab, tied_embeddings=True, position="learned"
    )


def complete(factor: float = 1.0):
    """A record whose whole steps take `factor` times their kernels and nothing else."""
    tiny = [made.step(suite, "gpt", 8, 32, 8, 1e-9) for suite in ("training step", "decode step")]
    first = calibration_from(made.record((*made.cases(), *tiny, *_steps(1.0))))
    from flopwise.estimators.stepmodel.local import _kernels

    true = [
        made.step(
            "decode step" if each.is_decode else "training step",
            each.kind,
            each.layers,
            each.hidden,
            each.tokens,
            factor * _kernels(each, first),
        )
        for each in first.steps
        if each.hidden > 64
    ]
    return made.record((*made.cases(), *tiny, *true))


def _steps(seconds: float):
    return [
        made.step(suite, "gpt", layers, hidden, tokens, seconds)
        for suite in ("training step", "decode step")
        for layers, hidden, tokens in ((2, 256, 256), (4, 512, 128), (8, 256, 64))
    ]


def test_products_at_one_rate_give_that_rate_and_no_overheads() -> None:
    line = calibration_from(made.record(made.cases())).product("fp32")
    assert line is not None
    assert line.seconds(777, 333, 555) == pytest.approx(2 * 777 * 333 * 555 / made.FLOPS, rel=0.02)
    assert line.median_error < 0.01


def test_a_fixed_cost_of_each_product_is_found() -> None:
    sizes = ((128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 512, 512), (2048, 1024, 512), (64, 256, 512))
    products = tuple(made.product("bf16", m, k, n, fixed=2e-4) for m, k, n in sizes)
    rest = tuple(case for case in made.cases() if case.suite != "matmul")
    line = calibration_from(made.record((*products, *rest))).product("bf16")
    assert line is not None
    assert line.fixed_s == pytest.approx(2e-4, rel=0.1)
    assert line.flops_per_s == pytest.approx(made.FLOPS, rel=0.1)


def test_few_rows_stream_the_weight_at_the_measured_bandwidth() -> None:
    assert calibration_from(made.record(made.cases())).stream_bytes_per_s == pytest.approx(made.BYTES_PER_S, rel=0.01)


def test_a_record_without_products_or_bandwidth_cannot_calibrate() -> None:
    with pytest.raises(InputError, match="fewer than 4 matrix products"):
        calibration_from(made.record(tuple(c for c in made.cases() if c.suite != "matmul")))
    with pytest.raises(InputError, match="no memory bandwidth"):
        calibration_from(made.record(tuple(c for c in made.cases() if c.suite != "bandwidth")))


def test_steps_are_predicted_by_their_kernels_times_the_factor_of_the_record() -> None:
    shape = gpt(6, 384)
    plain = train_seconds(shape, calibration_from(complete(1.0)), sequence_tokens=200)
    slower = train_seconds(shape, calibration_from(complete(1.5)), sequence_tokens=200)
    assert slower.seconds / plain.seconds == pytest.approx(1.5, rel=0.02)
    assert plain.low < plain.seconds < plain.high
    assert math.fsum(seconds for _, seconds in plain.parts) == pytest.approx(plain.seconds)


def test_longer_sequences_and_larger_models_take_longer() -> None:
    calibration = calibration_from(complete())
    times = [
        train_seconds(gpt(4, h), calibration, sequence_tokens=s).seconds for h, s in ((256, 64), (256, 256), (512, 256))
    ]
    assert times == sorted(times) and times[0] < times[-1]
    assert (
        decode_seconds(gpt(8), calibration, context_tokens=64).seconds
        > decode_seconds(gpt(4), calibration, context_tokens=64).seconds
    )


def test_a_record_without_steps_cannot_predict_them_and_says_what_to_measure() -> None:
    with pytest.raises(InputError, match="no training steps; measure with `flopwise bench run` without --only"):
        train_seconds(gpt(), calibration_from(made.record(made.cases())), sequence_tokens=64)


def test_memory_of_many_parameters_is_that_of_states_and_of_long_sequences_that_of_activations() -> None:
    few = train_memory(gpt(4, 512), sequence_tokens=8)
    many = train_memory(gpt(4, 512), sequence_tokens=4096)
    assert few.instant == "optimizer"
    assert many.instant == "loss, backward"
    assert few.peak >= 16 * 12 * 4 * 512**2  # 16 bytes for each parameter of the layers at least


@given(
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.lists(st.lists(st.floats(0.1, 10), min_size=3, max_size=3), min_size=5, max_size=8),
)
def test_non_negative_least_squares_never_does_worse_than_a_point_near_it(truth, rows) -> None:
    target = [sum(a * b for a, b in zip(row, truth, strict=True)) for row in rows]
    found = non_negative(rows, target)

    def loss(x):
        return sum(
            (sum(a * b for a, b in zip(row, x, strict=True)) - t) ** 2 for row, t in zip(rows, target, strict=True)
        )

    assert min(found) >= 0
    assert loss(found) <= 1e-3 * sum(t * t for t in target)


def test_curves_are_flat_beyond_their_ends_and_pass_through_their_points() -> None:
    curve = Curve(points=((10.0, 1.0), (1000.0, 4.0)))
    assert [curve.at(x) for x in (1.0, 10.0, 100.0, 1000.0, 1e6)] == pytest.approx([1.0, 1.0, 2.0, 4.0, 4.0])


def test_latency_and_bandwidth_come_back_from_a_line() -> None:
    points = [(2.0**k, 2e-5 + 2.0**k / 3e9) for k in range(8, 28, 2)]
    assert fit_line(points) == pytest.approx((2e-5, 3e9))
    assert fit_line(points[:2]) is None


def test_bus_bandwidth_follows_nccl_tests() -> None:
    assert bus_factor("all_reduce", 8) == pytest.approx(1.75)
    assert bus_factor("all_gather", 8) == pytest.approx(0.875)
    assert bus_factor("p2p", 2) == 1.0


def h100_record(share: float):
    """A record of an H100 whose products run at `share` of what the fitted surface expects, memory at 0.9 of it."""
    chip = load_catalog(use_config_folder=False).find("h100")
    fitted = make_chip(chip, load_surfaces())
    sizes = ((4096, 4096, 4096), (8192, 8192, 8192), (8192, 4096, 14336), (2048, 4096, 11008))
    products = tuple(
        made.product("bf16", m, k, n, 2.0 * m * n * k / (matrix_seconds(fitted.matrices["bf16"], m, n, k) / share))
        for m, k, n in sizes
    )
    stream = made.case(
        "bandwidth", "triad/1GiB", 3e9 / (0.9 * fitted.memory_bytes_per_s), bytes=3e9, kernel="triad", cache="cold"
    )
    return chip, fitted, made.record((*products, stream), kind="cuda", catalog_id=chip.id)


@pytest.mark.parametrize("share", [0.8, 1.0, 1.15])
def test_measured_products_take_the_level_of_the_surface(share: float) -> None:
    chip, fitted, record = h100_record(share)
    found = make_chip(replace(chip, measured=measured_rates(record)), load_surfaces())
    assert found.matrices["bf16"].flops_per_s == pytest.approx(share * fitted.matrices["bf16"].flops_per_s, rel=1e-6)
    assert found.memory_bytes_per_s == pytest.approx(0.9 * fitted.memory_bytes_per_s, rel=1e-6)
    assert found.is_measured


def test_train_with_calibration_says_how_far_the_answer_moved(cli) -> None:
    _, _, record = h100_record(0.8)
    write_record(record, default_path(record.id))
    asked = ("train", "--model", "llama-3-8b", "--tokens", "1T", "--on", "h100:64", "--format", "json")
    plain, found = cli(*asked), cli(*asked, "--calibrate", "latest")
    assert found.code == 0, found.err
    calibration = found.json["result"]["calibration"]
    assert 0.10 < calibration["change"] < 0.30
    assert calibration["before"]["mid"] == pytest.approx(plain.json["result"]["run"]["wall_s"]["mid"])
    assert any("--calibrate" in str(each) for each in found.json["assumptions"])
    ends = [q["high"] / q["low"] for q in (calibration["before"], calibration["after"])]
    assert ends[1] <= ends[0]


def test_serve_and_plan_take_a_calibration_too(cli) -> None:
    _, _, record = h100_record(0.7)
    write_record(record, default_path(record.id))
    served = cli("serve", "--model", "llama-3-8b", "--on", "h100", "--calibrate", "latest", "--format", "json")
    assert served.code == 0, served.err
    assert served.json["result"]["calibration"]["change"] < 0
    planned = cli("plan", "--budget", "50k", "--accelerator", "h100", "--calibrate", "latest", "--format", "json")
    assert planned.code == 0, planned.err
    assert planned.json["result"]["calibration"]["change"] < 0


def test_a_calibration_of_another_chip_is_refused(cli) -> None:
    _, _, record = h100_record(0.8)
    write_record(record, default_path(record.id))
    found = cli("train", "--model", "llama-3-8b", "--tokens", "1T", "--on", "a100:8", "--calibrate", "latest")
    assert found.code == 2
    assert "it would have no effect" in found.err


def test_an_unknown_chip_becomes_a_card_that_can_be_calibrated(cli) -> None:
    bf16 = tuple(made.product("bf16", m, m, m, 3 * made.FLOPS) for m in (256, 512, 1024, 2048))
    record = made.record((*made.cases(), *bf16))
    write_record(record, default_path(record.id))
    asked = ("train", "--model", "gpt2", "--tokens", "1M", "--price", "0.1", "--calibrate", "latest")
    assert "catalog add my-device --from-bench latest" in cli(*asked, "--on", "h100:1").err
    added = cli("catalog", "add", "my-cpu", "--from-bench", "latest")
    assert added.code == 0, added.err
    found = cli(*asked, "--on", "my-cpu:1", "--format", "json")
    assert found.code == 0, found.err
    assert found.json["inputs"]["accelerator"] == "my-cpu"
