"""`flopwise scale`: what a person sees, the JSON twin, and what is refused."""

from __future__ import annotations

import math

import pytest

from flopwise.estimators.scaling.laws import law


@pytest.fixture
def runs(tmp_path):
    surface = law().required_surface("a test")
    rows = ["params,tokens,loss"]
    for exponent in (17.5, 18.0, 18.5, 19.0, 19.5):
        for ratio in (5, 15, 40, 100):
            N = math.sqrt(10**exponent / 6 / ratio)
            rows.append(f"{N:.6g},{N * ratio:.6g},{1.1 * surface.loss(N, N * ratio):.5f}")
    rows.append("7B,140B,")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_every_coefficient_of_every_law_is_traceable(cli):
    ran = cli("scale", "laws", "--format", "json", "--explain")
    laws = {each["id"]: each for each in ran.json["result"]["laws"]}
    steps = {step["name"]: step for step in ran.json["explanation"]}
    for name, each in laws.items():
        named = {given["symbol"] for given in steps[name]["inputs"] if given["source"]}
        assert set(each["coefficients"]) <= named, name
    assert laws["besiroglu"]["tokens_per_param"] == pytest.approx(20.37, rel=1e-3)


def test_the_flat_optimum_says_which_sizes_cost_little_more(cli):
    result = cli("scale", "optimum", "--compute", "1e22", "--format", "json").json["result"]
    assert result["params"]["mid"] == pytest.approx(9.045e9, rel=1e-3)
    # half the size costs 1.184 times the compute, twice the size 1.186 (flatness of the default law)
    flat = {round(row["params"] / result["params"]["mid"], 2): row for row in result["flatness"]}
    assert flat[0.5]["compute_to_win_back"] == pytest.approx(1.184, abs=0.002)
    assert flat[2.0]["compute_to_win_back"] == pytest.approx(1.186, abs=0.002)
    assert result["good_sizes"]["smallest"] < result["params"]["mid"] < result["good_sizes"]["largest"]


def test_repeated_data_gives_the_published_optimum(cli):
    # arXiv:2305.16264: C = 1e22 with 25B unique tokens: 7.022B parameters, 9.49 epochs
    argv = ("--compute", "1e22", "--law", "muennighoff", "--unique-tokens", "25B", "--format", "json")
    result = cli("scale", "optimum", *argv).json["result"]
    assert result["params"]["mid"] == pytest.approx(7.022e9, rel=0.01)
    assert result["options"]["epochs"]["value"] == pytest.approx(9.49, rel=0.01)


def test_fewer_bits_keep_fewer_parameters(cli):
    # arXiv:2411.04330: 8-bit weights keep .950, 4-bit .776
    for bits, kept in (("8", 0.950), ("4", 0.776)):
        argv = ("--compute", "1e20", "--bits", bits, "--format", "json")
        assert cli("scale", "optimum", *argv).json["result"]["options"]["params_kept"]["value"] == pytest.approx(
            kept, abs=0.001
        )


def test_serving_makes_the_model_smaller(cli):
    plain = cli("scale", "optimum", "--compute", "1e22", "--format", "json").json["result"]
    argv = ("--compute", "1e22", "--inference-tokens", "1T", "--format", "json")
    served = cli("scale", "optimum", *argv).json["result"]["options"]
    assert served["lifetime_params"]["mid"] < plain["params"]["mid"]


def test_all_laws_stand_side_by_side(cli):
    result = cli("scale", "optimum", "--compute", "1e21", "--law", "all", "--format", "json").json["result"]
    assert {"besiroglu", "hoffmann-1", "kaplan", "porian"} <= {row["law"] for row in result["laws"]}


@pytest.mark.parametrize(
    "argv",
    [
        ("scale", "laws"),
        ("scale", "optimum", "--compute", "1e22", "--law", "all"),
        ("scale", "optimum", "--compute", "1e22", "--experts", "64", "--bits", "8:8"),
    ],
    ids=" ".join,
)
def test_tables_and_json_say_the_same(same_numbers, argv):
    same_numbers(*argv)


def test_a_fit_forecasts_the_rows_without_a_loss(same_numbers, runs):
    twin = same_numbers("scale", "fit", str(runs), "--backtest").json["result"]
    expected = 1.1 * law().required_surface("a test").loss(7e9, 140e9)
    assert twin["forecasts"][0]["loss"]["mid"] == pytest.approx(expected, rel=0.01)
    assert twin["method"] == "ensemble"
    assert all(test["mean_error"] < 0.01 for test in twin["backtest"])


def test_a_plot_is_drawn_in_characters_and_as_svg(cli, runs, tmp_path):
    assert "80 % band" in cli("scale", "fit", str(runs), "--plot", "-").out
    place = tmp_path / "loss.svg"
    assert cli("scale", "fit", str(runs), "--plot", str(place)).code == 0
    assert place.read_text(encoding="utf-8").startswith("<svg")
    again = cli("scale", "fit", str(runs), "--plot", str(place))
    assert again.code == 2 and "exists" in again.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("params,tokens\n1e8,2e9\n", "the column loss is missing"),
        ("params,tokens,loss\n1e8,lots,3\n", "runs.csv:2: 'lots' is not a number of tokens"),
        ("params,tokens,loss\n1e8,2e9,35\n", "runs.csv:2: a loss of 35 is not in nats"),
        ("params,N,tokens,loss\n1,1,1,1\n", "both mean params"),
        ("params,tokens,loss\n1e8,2e9,\n", "holds no run with a loss"),
        ("params,tokens,loss\n1e9,1e8,4\n", "none of the 1 runs can be used"),
        ("params,tokens,loss\n", "holds no runs"),
    ],
)
def test_a_wrong_file_of_runs_is_one_sentence(cli, tmp_path, text, says):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    ran = cli("scale", "fit", str(path))
    assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("optimum", "--compute", "1e22", "--law", "step-law"), "--law: law 'step-law'"),
        (("optimum", "--compute", "1e22", "--routing", "clark-hash"), "no effect without --experts"),
        (("optimum", "--compute", "1e22", "--law", "porian", "--unique-tokens", "1B"), "gives no loss"),
        (("optimum", "--compute", "1e22", "--experts", "1"), "at least 2 experts"),
        (("optimum", "--compute", "1e22", "--bits", "8:8:8:8"), "--bits"),
    ],
)
def test_what_has_no_effect_is_refused(cli, argv, says):
    ran = cli("scale", *argv)
    assert ran.code == 2 and says in ran.err
