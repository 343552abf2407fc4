"""Measured collectives in the planner's communication times: levels, units, scaling with ranks, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from flopwise.benchmarks.harness.collectives import node_count
from flopwise.benchmarks.harness.store import default_path, write_record
from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.calibration import measured_rates
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.measured_links import measured_collectives
from flopwise.estimators.facts.surfaces import Collective, load_surfaces
from flopwise.estimators.frozen import replace
from flopwise.estimators.stepmodel import breakdown
from flopwise.estimators.stepmodel.chip import Chip, make_chip
from flopwise.estimators.stepmodel.links import collective_seconds, transfer_seconds
from flopwise.estimators.stepmodel.measured_links import COMMUNICATION, replaced

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)

GB = 2.0**30
RATES = {"all_reduce": 2e11, "all_gather": 3.2e11, "reduce_scatter": 3.1e11, "alltoall": 3e11, "p2p": 3.3e11}
H100 = load_catalog(use_config_folder=False).find("h100")


def record(factor: float = 1.0, latency: float = 2e-5, kinds=tuple(RATES), **facts):
    """A record of an H100 node whose collectives run at `factor` times RATES."""
    ranks, count = facts.pop("ranks", 8), facts.pop("count", 8)
    device = {"kind": "cuda", "catalog_id": H100.id, "count": count} | facts.pop("device", {})
    cases = [case for kind in kinds for case in made.collective(kind, ranks, latency, factor * RATES[kind], **facts)]
    return made.record(tuple(cases), **device)


def chip(found) -> Chip:
    return make_chip(replace(H100, measured=measured_rates(found, 8)), load_surfaces())


def stream(found: Chip, kind: Collective, ranks: int) -> float:
    """Seconds that 1 GiB more take, both inside and across."""
    return sum(collective_seconds(found, kind, 2 * GB, ranks)) - sum(collective_seconds(found, kind, GB, ranks))


@pytest.mark.parametrize("kind", list(Collective))
def test_the_group_that_was_measured_takes_the_measured_time(kind: Collective) -> None:
    seconds, across = collective_seconds(chip(record()), kind, GB, 8)
    assert across == 0
    assert seconds == pytest.approx(2e-5 + GB / RATES[kind])


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("kind", list(Collective))
def test_twice_the_bandwidth_halves_the_bandwidth_term_of_every_group(kind: Collective, ranks: int) -> None:
    once, twice = chip(record()), chip(record(2.0))
    assert stream(twice, kind, ranks) == pytest.approx(0.5 * stream(once, kind, ranks))
    assert collective_seconds(twice, kind, 1.0, ranks)[0] == pytest.approx(
        collective_seconds(once, kind, 1.0, ranks)[0], rel=1e-3
    )


def test_two_ranks_carried_to_eight_follow_the_bytes_on_the_wire_and_the_steps() -> None:
    fitted, found = make_chip(H100, load_surfaces()), chip(record(ranks=2))
    link = fitted.links[Collective.ALL_REDUCE]
    seconds = collective_seconds(found, Collective.ALL_REDUCE, GB, 8)[0]
    latency = 2e-5 * (link.latency_s + 7 * link.latency_per_rank_s) / (link.latency_s + link.latency_per_rank_s)
    wire = (7 / 8) / (1 / 2) * (1 + link.small_group / 8) / (1 + link.small_group / 2)
    assert seconds == pytest.approx(latency + wire * GB / RATES["all_reduce"])


@pytest.mark.parametrize("slower", [0.7, 1.0, 1.6])
def test_points_that_bend_as_those_of_the_family_scale_its_curve_instead_of_a_line(slower: float) -> None:
    fitted, line = make_chip(H100, load_surfaces()), record(kinds=("all_reduce",), ranks=2).cases[-1]
    points = tuple(
        made.case(
            "collectives",
            f"all_reduce/{size}/2",
            slower * collective_seconds(fitted, Collective.ALL_REDUCE, float(size), 2)[0],
            kind="all_reduce",
            ranks=2,
            backend="nccl",
            size_bytes=size,
        )
        for size in (2**10, 2**14, 2**18, 2**22, 2**28)
    )
    found = chip(made.record((*points, line), kind="cuda", catalog_id=H100.id, count=8))
    for size in (2.0**12, 2.0**20, GB):
        wanted = slower * collective_seconds(fitted, Collective.ALL_REDUCE, size, 8)[0]
        assert collective_seconds(found, Collective.ALL_REDUCE, size, 8)[0] == pytest.approx(wanted, rel=1e-3)
    assert found.link_spread == pytest.approx(0.03)


@pytest.mark.parametrize("kind", [Collective.ALL_REDUCE, Collective.ALL_TO_ALL])
def test_whole_nodes_set_the_network_and_leave_the_links_inside(kind: Collective) -> None:
    fitted = make_chip(H100, load_surfaces())
    slow, found = chip(record(0.05, ranks=16, nodes=2)), chip(record(0.1, ranks=16, nodes=2))
    inside, across = collective_seconds(found, kind, GB, 16)
    assert inside == collective_seconds(fitted, kind, GB, 16)[0]
    assert across != collective_seconds(fitted, kind, GB, 16)[1]
    # The level of the network relative to the sheet's is 0.83 of it, for that is what sweeps reach.
    assert across == pytest.approx(2e-5 + 0.83 * GB / (0.1 * RATES[kind]))
    more = [
        collective_seconds(each, kind, 2 * GB, 64)[1] - collective_seconds(each, kind, GB, 64)[1]
        for each in (slow, found)
    ]
    assert more[0] == pytest.approx(2 * more[1])


def test_transfers_between_stages_take_the_measured_line() -> None:
    assert transfer_seconds(chip(record()), GB, is_across=False) == pytest.approx(2e-5 + GB / RATES["p2p"])
    fitted = make_chip(H100, load_surfaces())
    assert transfer_seconds(chip(record()), GB, is_across=True) == transfer_seconds(fitted, GB, is_across=True)


def test_what_was_replaced_is_named_beside_what_stood_there() -> None:
    fitted = make_chip(H100, load_surfaces())
    (line,) = replaced(fitted, measured_rates(record(kinds=("all_reduce",))).collectives)
    assert line.bus_bytes_per_s == pytest.approx(1.75 * RATES["all_reduce"])
    # Before: the same formula without the ramp.
    link = fitted.links[Collective.ALL_REDUCE]
    before = collective_seconds(
        replace(fitted, links=fitted.links | {"all_reduce": replace(link, ramp=0.0)}), Collective.ALL_REDUCE, GB, 8
    )[0]
    assert line.before_latency_s + 1.75 * GB / line.before_bus_bytes_per_s == pytest.approx(before)


def test_kinds_that_were_not_measured_stay_as_fitted() -> None:
    found, fitted = chip(record(kinds=("all_reduce",))), make_chip(H100, load_surfaces())
    assert found.links[Collective.ALL_GATHER] == fitted.links[Collective.ALL_GATHER]
    assert found.matrices == fitted.matrices and found.measured_spread is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"backend": "gloo"}, "Gloo goes through the host's memory"),
        ({"backend": "gloo", "device": {"kind": "cpu", "count": 1}, "ranks": 2}, "2 ranks of Gloo shared one CPU"),
        ({"count": 4}, "8 ranks shared 4 chips of a node"),
        ({"ranks": 8, "nodes": 2}, "4 ranks ran on each node of 8 chips"),
        ({"ranks": 16, "nodes": 0}, "does not say over how many nodes"),
        ({"ranks": 16, "nodes": 3}, "do not divide over 3 nodes"),
        ({"factor": 1e9}, "does not grow with the size"),
    ],
)
def test_collectives_that_say_nothing_about_the_links_are_refused_with_the_reason(facts, said: str) -> None:
    found, reasons = measured_collectives(record(**facts), 8)
    assert found == ()
    assert any(said in reason for reason in reasons)
    with pytest.raises(InputError, match="no matrix products and no collectives that can be used"):
        measured_rates(record(**facts), 8)


def test_a_noisy_line_is_known_less_well() -> None:
    quiet = record(kinds=("all_reduce",))
    points = tuple(
        replace(each, median_s=each.median_s * f, low_s=0.9 * each.median_s * f, high_s=1.1 * each.median_s * f)
        for each, f in zip(quiet.cases[:4], (0.7, 1.3, 0.8, 1.25), strict=True)
    )
    noisy = replace(quiet, cases=(*points, quiet.cases[4]))
    spreads = [measured_collectives(each)[0][0].spread for each in (quiet, noisy)]
    assert spreads[0] == pytest.approx(0.03) and spreads[1] > 0.2


def test_communication_is_named_as_the_breakdown_names_it() -> None:
    assert set(COMMUNICATION) <= {name for name, _, _ in breakdown._CAUSES}


def test_nodes_come_from_torchrun(monkeypatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert node_count(16) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert [node_count(n) for n in (8, 16, 24)] == [1, 2, 3]


TRAIN = ("train", "--model", "llama-3-70b", "--tokens", "1T", "--on", "h100:64", "--tp", "8", "--format", "json")


def keep(name: str, found) -> str:
    write_record(replace(found, id=name), default_path(name))
    return name


def test_train_follows_the_record_and_says_what_was_replaced(cli) -> None:
    runs = [cli(*TRAIN, "--calibrate", keep(f"20261124-12000{i}-r", record(f))) for i, f in enumerate((0.25, 0.5, 1.0))]
    assert [run.code for run in runs] == [0, 0, 0], runs[0].err
    twins = [run.json["result"]["calibration"] for run in runs]
    times = [twin["after"]["mid"] for twin in twins]
    assert times == sorted(times, reverse=True) and times[0] > 1.05 * times[2]
    assert twins[0]["change"] == pytest.approx(times[0] / twins[0]["before"]["mid"] - 1)
    line = next(each for each in twins[2]["links"] if each["kind"] == "all_reduce")
    assert (line["scope"], line["ranks"], line["latency_s"]) == ("inside a node", 8, 2e-5)
    said = " ".join(str(each) for each in runs[2].json["assumptions"])
    assert "all-reduce 20.0 µs and 350 GB/s instead of" in said
    assert "collectives between nodes were not measured" in said


def test_measured_links_narrow_the_band_and_bad_ones_do_not_widen_it(cli) -> None:
    asked = ("train", "--model", "llama-3-8b", "--tokens", "1T", "--on", "h100:8", "--tp", "8", "--format", "json")
    found = cli(*asked, "--calibrate", keep("20261124-120000-r", record(0.3)))
    assert found.code == 0, found.err
    before, after = (found.json["result"]["calibration"][key] for key in ("before", "after"))
    assert after["high"] / after["low"] <= before["high"] / before["low"]
    assert "links of the chip measured" in json.dumps(after)


def test_serving_on_several_chips_follows_the_all_reduce(cli) -> None:
    asked = ("serve", "--model", "llama-3-70b", "--on", "h100", "--format", "json", "--calibrate")
    slow, quick = (cli(*asked, keep(f"20261124-12000{i}-r", record(f))) for i, f in enumerate((0.2, 1.5)))
    assert slow.code == quick.code == 0, slow.err
    speeds = [each.json["result"]["calibration"]["after"]["mid"] for each in (slow, quick)]
    assert speeds[0] < 0.95 * speeds[1]
    twin = slow.json["result"]["calibration"]
    assert [each["kind"] for each in twin["links"]] == ["all_reduce"]
    assert "this answer is made of all-reduce alone" in " ".join(twin["links_not_used"])


def test_plan_follows_the_record_and_names_what_was_replaced(cli) -> None:
    asked = ("plan", "--budget", "500k", "--accelerator", "h100", "--format", "json", "--calibrate")
    slow, quick = (cli(*asked, keep(f"20261124-12000{i}-r", record(f))) for i, f in enumerate((0.2, 1.5)))
    assert slow.code == quick.code == 0, slow.err
    twins = [each.json["result"]["calibration"] for each in (slow, quick)]
    assert twins[0]["after"]["mid"] < twins[1]["after"]["mid"]
    assert {each["kind"] for each in twins[0]["links"]} == set(RATES)


def test_collectives_have_no_effect_on_one_chip_and_are_refused(cli) -> None:
    keep("20261124-120000-r", record())
    found = cli("train", "--model", "gpt2", "--tokens", "1B", "--on", "h100:1", "--calibrate", "latest")
    assert found.code == 2
    assert "it would have no effect" in found.err


def test_gloo_over_a_cpu_cannot_stand_for_an_h100(cli) -> None:
    keep("20261124-120000-r", record(backend="gloo", device={"kind": "cpu", "count": 1, "catalog_id": ""}, ranks=2))
    assert cli(*TRAIN, "--calibrate", "latest").code == 2
    keep("20261124-120001-r", record(backend="gloo"))
    found = cli(*TRAIN, "--calibrate", "latest")
    assert found.code == 2 and "Gloo goes through the host's memory" in found.err


def test_products_count_where_collectives_cannot_and_the_answer_says_so(cli) -> None:
    products = tuple(made.product("bf16", n, n, n, 4e14) for n in (4096, 8192))
    keep("20261124-120000-r", replace(record(), cases=(*products, *record(backend="gloo").cases)))
    found = cli(*TRAIN, "--calibrate", "latest")
    assert found.code == 0, found.err
    twin = found.json["result"]["calibration"]
    assert twin["links"] == [] and "Gloo" in twin["links_not_used"][0]
    assert "measured collectives that are not used" in " ".join(str(each) for each in found.json["assumptions"])
