"""`flopwise validate scaling` says what is met and what is not, for our values and for a user's runs."""

import pytest


def test_the_published_values_are_replayed_and_the_misses_are_shown(cli):
    ran = cli("validate", "scaling")
    assert ran.code == 0, ran.err
    assert "130 of 131 published values are met" in ran.out
    assert "scaling-039" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_twin_holds_every_row_with_the_contract_keys(cli):
    found = cli("validate", "scaling", "--format", "json").json
    rows = found["result"]["rows"]
    assert len(rows) == 131
    assert {"id", "measured", "predicted", "low", "high", "error", "status", "reason"} <= set(rows[0])
    assert found["result"]["summary"]["missed"] == ["scaling-039"]


def test_own_runs_are_forecast_with_the_band_of_an_absolute_loss(cli, tmp_path):
    runs = tmp_path / "runs.csv"
    runs.write_text("id,N,D,loss\na,1e9,2e10,2.6\nb,7e9,2e12,2.1\nc,0,1,2\n")
    found = cli("validate", "scaling", "--cases", str(runs), "--format", "json").json
    first, _, last = found["result"]["rows"]
    assert first["low"] < first["measured"] < first["high"]
    assert (last["status"], last["predicted"]) == ("unsupported", None)
    assert found["result"]["summary"]["overall"]["coverage"] == 1.0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--law", "kaplan"), "it is for runs given with --cases"),
        (("--cases", "nowhere.csv"), "cannot be read as a CSV file of runs"),
    ],
)
def test_what_cannot_be_replayed_is_refused(cli, argv, said):
    ran = cli("validate", "scaling", *argv)
    assert ran.code == 2
    assert said in ran.err


def test_a_file_without_the_columns_is_refused(cli, tmp_path):
    runs = tmp_path / "runs.csv"
    runs.write_text("a,b\n1,2\n")
    ran = cli("validate", "scaling", "--cases", str(runs))
    assert (ran.code, "needs the columns params, tokens and loss" in ran.err) == (2, True)


def test_pilots_calibrate_the_forecast_of_dearer_runs(cli, tmp_path):
    from flopwise.estimators.scaling.laws import law

    surface = law().required_surface("a test")
    for name, sizes in (("pilots.csv", (1e8, 2e8, 4e8)), ("cases.csv", (4e9, 8e9))):
        rows = [f"{N:g},{20 * N:g},{1.2 * surface.loss(N, 20 * N):.6f}" for N in sizes]
        (tmp_path / name).write_text("params,tokens,loss\n" + "\n".join(rows) + "\n")
    cases, pilots = str(tmp_path / "cases.csv"), str(tmp_path / "pilots.csv")
    rows = cli("validate", "scaling", "--cases", cases, "--pilots", pilots, "--format", "json").json["result"]["rows"]
    assert all(abs(row["error"]) < 1e-4 for row in rows)
    assert all(row["low"] < row["measured"] < row["high"] for row in rows)
    refused = cli("validate", "scaling", "--pilots", pilots)
    assert refused.code == 2 and "--cases" in refused.err
