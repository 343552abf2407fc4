"""Tracing without allocating: FLOPs as our analytic ones and as published, memory as the allocator's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from flopwise.benchmarks.harness.trace import load_builder, read_input, trace
from flopwise.estimators.errors import InputError
from flopwise.estimators.models.expansion import expand
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.training.flops import step_flops

pytestmark = pytest.mark.filterwarnings("ignore")

NETWORKS = Path(__file__).with_name("bench_networks.py")
spec = importlib.util.spec_from_file_location("bench_networks", NETWORKS)
assert spec and spec.loader
networks = importlib.util.module_from_spec(spec)
sys.modules["bench_networks"] = networks
spec.loader.exec_module(networks)


def test_gpt_2_and_llama_have_our_analytic_flops_forward_and_backward() -> None:
    from flopwise.benchmarks.harness.models import Model, shape_of, size

    # GPT-2 small, and Llama's proportions at 1B; widths of a head 64.
    for dims in (size("gpt", 12, 768, 50257), size("llama", 16, 2048, 32000)):
        found = trace(lambda dims=dims: Model(dims), [((2, 512), "int")])
        ours = step_flops(shape_of(dims), sequence_tokens=512, sequences=2)
        assert found.forward_flops == pytest.approx(ours.forward.full, rel=0.01)
        executed = ours.backward.full + ours.kernel_recompute.full  # flash attention runs its scores again
        assert found.backward_flops == pytest.approx(executed, rel=0.01)


def test_the_gpt_2_preset_is_the_traced_model() -> None:
    from flopwise.benchmarks.harness.models import Model, size

    found = trace(lambda: Model(size("gpt", 12, 768, 50257)), [((1, 1024), "int")])
    shape = resolve_model("gpt2").shape
    assert found.parameters == 124_439_808
    assert found.forward_flops == pytest.approx(step_flops(shape, sequence_tokens=1024).forward.full, rel=0.01)


def test_bert_has_our_analytic_flops() -> None:
    found = trace(networks.Bert, [((4, 384), "int")])
    shape = resolve_model("bert-base").shape
    operators = expand(shape, sequence_tokens=384, sequences=4)
    ours = sum(op.forward_flops_full for op in operators if op.run >= 0)  # its head is not part of the encoder
    assert found.forward_flops == pytest.approx(ours, rel=0.01)


def test_a_vision_transformer_has_our_analytic_flops() -> None:
    found = trace(networks.VisionTransformer, [((2, 3, 224, 224), "")])
    shape = resolve_model("vit-b-16").shape
    ours = step_flops(shape, sequence_tokens=197, sequences=2)
    assert found.parameters == 86_567_656
    assert found.forward_flops == pytest.approx(ours.forward.full, rel=0.01)


def test_resnet_50_has_the_published_count() -> None:
    # torchvision's table of models: 25,557,032 parameters and 4.09 GMACs at 224 x 224.
    found = trace(networks.resnet_50, [((1, 3, 224, 224), "")])
    assert found.parameters == 25_557_032
    assert found.forward_flops == pytest.approx(2 * 4.09e9, rel=0.01)
    assert sum(op.forward_flops_full for op in found.operators) == pytest.approx(found.forward_flops)


def test_a_model_larger_than_the_machine_is_traced_in_moments() -> None:
    found = trace(networks.enormous, [((8, 100_000), "")], dtype="bf16")
    assert found.parameters == 50 * (100_000**2 + 100_000)
    assert found.forward_flops == 2.0 * 8 * 100_000**2 * 50
    assert found.peak_bytes >= 2 * found.parameter_bytes  # weights and gradients


def test_what_is_kept_for_backward_is_what_backward_needs() -> None:
    found = trace(networks.small, [((64, 128), "")])
    # The input is not counted; GELU keeps its input, the second layer GELU's output.
    assert found.saved_bytes == 4 * 64 * (512 + 512)


def test_forward_alone_has_no_backward() -> None:
    found = trace(networks.small, [((64, 128), "")], backward=False)
    assert (found.backward_flops, found.has_backward) == (0.0, False)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("networks", "does not name a builder"),
        ("no_such_module:build", "no module named 'no_such_module'"),
        (f"{NETWORKS}:smal", "did you mean 'small'"),
        ("nowhere.py:build", "there is no file 'nowhere.py'"),
    ],
)
def test_a_builder_that_is_not_there_is_named(target: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_builder(target)


def test_a_module_that_cannot_be_built_or_run_says_why_in_one_line() -> None:
    for build, said in (
        (networks.needs, "needs arguments"),
        (networks.nothing, "returned a str; it must return a torch.nn.Module"),
        (networks.small, r"does not run on inputs of 64x127: RuntimeError: .*127"),
    ):
        with pytest.raises(InputError, match=said):
            trace(build, [((64, 127), "")], name="it")


@pytest.mark.parametrize("text", ["", "axb", "1x0", "1x128:fp13", "-1"])
def test_a_shape_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--input"):
        read_input(text)


def test_the_command_prints_counts_and_times_on_a_chip(cli) -> None:
    found = cli("bench", "trace", f"{NETWORKS}:small", "--input", "64x128", "--on", "h100", "--format", "json")
    assert found.code == 0, found.err
    result = found.json["result"]
    assert result["forward_flops"] == 2.0 * 64 * (128 * 512 + 512 * 10)
    assert 0 < result["forward_s"] < result["backward_s"]
