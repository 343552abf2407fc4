"""The operator-level time model: what must hold whatever the constants are, and that the fit does not leak."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.software import load_software, load_software_folds
from flopwise.estimators.facts.surfaces import Collective, load_surfaces
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.stepmodel.clock import StepClock
from flopwise.estimators.stepmodel.estimate import chip_of, estimate_step
from flopwise.estimators.stepmodel.links import collective_seconds
from flopwise.estimators.stepmodel.surface import matrix_seconds
from flopwise.estimators.training.layout import Framework, Layout, Precision, Recipe, Recompute, Workload, Zero

VALUES = load_software().values
LLAMA = resolve_model("llama-3-8b").shape
MIXTRAL = resolve_model("mixtral-8x7b").shape
RECIPE = Recipe(framework=Framework.MEGATRON)
WORKLOAD = Workload(sequence_tokens=4096, global_batch=256)
CHIPS = ("a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm", "mi300x", "tpu-v5p", "trainium1", "rtx-4090", "v100-sxm2-32gb")
LAYOUTS = (
    Layout(accelerators=64, zero=Zero.PARAMETERS),
    Layout(accelerators=64, tp=8, zero=Zero.OPTIMIZER, sequence_parallel=True),
    Layout(accelerators=64, tp=2, pp=4, interleave=2, zero=Zero.OPTIMIZER),
    Layout(accelerators=64, cp=2, micro_batch=2, zero=Zero.OPTIMIZER),
    Layout(accelerators=64, pp=8, micro_batch=4),
)


def seconds(chip, layout, *, shape=LLAMA, recipe=RECIPE, workload=WORKLOAD):
    return estimate_step(
        shape, accelerator=chip, layout=layout, recipe=recipe, workload=workload, values=VALUES
    ).seconds


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_sum_to_the_step(name, layout):
    chip = load_catalog().find(name)
    for shape in (LLAMA, MIXTRAL):
        found = estimate_step(shape, accelerator=chip, layout=layout, recipe=RECIPE, workload=WORKLOAD, values=VALUES)
        assert sum(spent for _, spent, _ in found.parts) == pytest.approx(found.seconds, rel=1e-9)
        assert all(spent > 0 for _, spent, _ in found.parts)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(CHIPS),
    layout=st.sampled_from(LAYOUTS),
    more=st.floats(1.0, 4.0),
    what=st.sampled_from(
        ("memory_bandwidth_bytes_per_s", "link_bytes_per_s", "network_bytes_per_s_per_node", "peak", "power_w")
    ),
)
def test_a_better_chip_is_never_slower(name, layout, more, what):
    chip = load_catalog().find(name)
    if what == "peak":
        better = replace(chip, peak_flops_per_s={k: v * more for k, v in chip.peak_flops_per_s.items()})
    elif getattr(chip, what):
        better = replace(chip, **{what: getattr(chip, what) * more})
    else:
        return
    assert seconds(better, layout) <= seconds(chip, layout) * (1 + 1e-9)


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(CHIPS),
    m=st.integers(1, 32_768),
    n=st.integers(16, 32_768),
    k=st.integers(16, 32_768),
    batch=st.integers(1, 64),
)
def test_no_product_beats_the_roofline(name, m, n, k, batch):
    accelerator = load_catalog().find(name)
    chip = chip_of(accelerator)
    for kind, rates in chip.matrices.items():
        sheet = accelerator.peak_flops_per_s
        peak = sheet.get({"fp8-block": "fp8"}.get(kind, kind)) or sheet.get("int8" if kind == "fp8" else "fp16")
        least = max(
            2.0 * m * n * k * batch / peak,
            batch * (m * k + k * n) * rates.bytes_in / accelerator.memory_bandwidth_bytes_per_s,
        )
        assert matrix_seconds(rates, float(m), float(n), float(k), float(batch)) >= least


@settings(deadline=None, max_examples=100)
@given(
    kind=st.sampled_from(list(Collective)),
    size=st.floats(1e3, 1e11),
    ranks=st.sampled_from((2, 4, 8, 16, 64, 512)),
    stride=st.sampled_from((1, 2, 8)),
    name=st.sampled_from(CHIPS),
)
def test_collectives_grow_with_the_message_and_pass_the_network_once_they_leave_a_domain(
    kind, size, ranks, stride, name
):
    chip = chip_of(load_catalog().find(name))
    inside, across = collective_seconds(chip, kind, size, ranks, stride)
    more_inside, more_across = collective_seconds(chip, kind, 2 * size, ranks, stride)
    assert more_inside >= inside
    assert more_across >= across
    assert (across > 0) == (ranks > max(1, chip.domain // stride))


def test_measured_products_come_back_from_the_surface():
    # cuBLAS at 8192 cubed on H100: 795 TFLOP/s (pranjalssh/fast.cu); TensorRT-LLM on A100, 8192 x 8192 x 16384: 273.
    catalog = load_catalog()
    h100 = chip_of(catalog.find("h100-sxm-80gb")).matrices["bf16"]
    assert 2 * 8192**3 / matrix_seconds(h100, 8192.0, 8192.0, 8192.0) == pytest.approx(795e12, rel=0.06)
    a100 = chip_of(catalog.find("a100-sxm-80gb")).matrices["bf16"]
    flops = 2 * 8192 * 8192 * 16384
    assert flops / matrix_seconds(a100, 8192.0, 8192.0, 16384.0) == pytest.approx(273e12, rel=0.06)


def test_families_without_measured_products_say_so():
    surfaces = load_surfaces()
    assert surfaces.matrices["Hopper", "bf16"].is_measured
    assert not surfaces.matrices["TPU", "bf16"].is_measured
    assert "guess" in surfaces.matrices["NeuronCore", "bf16"].basis


def test_recomputing_everything_costs_between_a_fifth_and_a_third_more():
    chip = load_catalog().find("h100")
    layout = Layout(accelerators=64, tp=4, zero=Zero.OPTIMIZER, sequence_parallel=True)
    plain = seconds(chip, layout)
    again = seconds(chip, layout, recipe=replace(RECIPE, recompute=Recompute.FULL))
    assert 1.2 < again / plain < 1.4


def test_fp8_is_faster_than_bf16_on_hopper_but_not_twice():
    chip = load_catalog().find("h100")
    layout = Layout(accelerators=64, tp=4, zero=Zero.OPTIMIZER, sequence_parallel=True)
    shape = resolve_model("llama-3-70b").shape
    half = seconds(chip, layout, shape=shape)
    eighth = seconds(chip, layout, shape=shape, recipe=replace(RECIPE, precision=Precision.FP8))
    assert 1.15 < half / eighth < 2.0


def test_small_models_are_bound_by_the_launch_of_kernels():
    chip = load_catalog().find("a100-sxm-80gb")
    shape = resolve_model("gpt2").shape
    found = estimate_step(
        shape,
        accelerator=chip,
        layout=Layout(accelerators=1),
        recipe=Recipe(framework=Framework.MEGATRON_DEEPSPEED),
        workload=Workload(sequence_tokens=1024, global_batch=4),
        values=VALUES,
    )
    parts = {name: spent for name, spent, _ in found.parts}
    assert parts["launch of kernels"] > 0.3 * found.seconds


def test_interleaving_shrinks_the_bubble_and_more_micro_batches_dilute_it():
    chip = load_catalog().find("h100")
    deep = Layout(accelerators=64, pp=8, zero=Zero.OPTIMIZER)
    few, many = Workload(sequence_tokens=4096, global_batch=64), Workload(sequence_tokens=4096, global_batch=512)
    assert seconds(chip, replace(deep, interleave=4), workload=few) < seconds(chip, deep, workload=few)
    assert seconds(chip, deep, workload=many) / 512 < seconds(chip, deep, workload=few) / 64


@settings(deadline=None, max_examples=40)
@given(
    layout=st.sampled_from(LAYOUTS),
    recompute=st.sampled_from(list(Recompute)),
    name=st.sampled_from(CHIPS),
    shape=st.sampled_from((LLAMA, MIXTRAL)),
    framework=st.sampled_from((Framework.MEGATRON, Framework.HF_DEEPSPEED, Framework.FSDP, None)),
)
def test_the_fast_clock_tells_the_same_time(layout, recompute, name, shape, framework):
    chip, recipe = load_catalog().find(name), Recipe(framework=framework)
    clock = StepClock(shape, accelerator=chip, recipe=recipe, workload=WORKLOAD, values=VALUES)
    clock.seconds(LAYOUTS[0], Recompute.NONE)  # what is kept from one layout must not leak into the next
    slow = seconds(chip, layout, shape=shape, recipe=replace(recipe, recompute=recompute))
    assert clock.seconds(layout, recompute) == pytest.approx(slow, rel=1e-9)


def test_every_fold_has_the_factors_of_the_whole_fit():
    assert len(load_software_folds()) == 10
    for fold in load_software_folds():
        assert fold.values.keys() == load_software().values.keys()
        assert all(value > 0 for value in fold.values.values())


@pytest.mark.usefixtures("shared_data")
def test_shuffled_measurements_destroy_the_score():
    """If the fit could know a row's measurement other than through its configuration, shuffling would not hurt."""
    import numpy as np

    from flopwise.benchmarks.fits.software import Model, collect

    rows = collect(only=("llf", "nem", "dgx", "int", "trn"))
    model, everything = Model(rows), np.arange(len(rows.steps))
    random = np.random.default_rng(7)
    fold = random.integers(0, 2, len(everything))

    def median_error(steps):
        found = np.zeros(len(everything))
        for side in (0, 1):
            train, test = np.flatnonzero(fold != side), np.flatnonzero(fold == side)
            found[test] = model.predict(model.fit(train, steps=steps[train], tries=8), test)
        return float(np.median(np.abs(steps / found - 1)))

    assert median_error(rows.steps) < 0.12
    assert median_error(random.permutation(rows.steps)) > 0.5
