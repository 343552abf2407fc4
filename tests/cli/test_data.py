"""`flopwise data`, `data finetune`, `datasets` and the data side of `plan`: what is refused, and what the answers say."""

from __future__ import annotations

import pytest

from flopwise.estimators.datacost.marginal import marginal
from flopwise.estimators.scaling.laws import law


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "needs --tokens"),
        (("--tokens", "1B", "--items", "3"), "contradict"),
        (("--items", "10k"), "Add --kind"),
        (("--items", "10k", "--kind", "polygn"), "did you mean 'polygon'"),
        (("--items", "10k", "--kind", "box", "--by", "model"), "no price of a model's label is known for 'box'"),
        (("--items", "10k", "--kind", "box", "--language", "de"), "--language"),
        (("--tokens", "1B", "--kind", "box"), "--kind: it is for --items"),
        (("--tokens", "1B", "--domain", "poetry"), "--domain"),
        (("--tokens", "1B", "--close", "license"), "nothing is missing"),
        (("--pages", "10", "--close", "license"), "--close license"),
        (("--tokens", "1B", "--epochs", "0.5"), "at least 1"),
        (("--tokens", "1B", "--on", "h10"), "--on"),
        (("--tokens", "1B", "--generator", "gpt-9"), "--generator"),
        (("--tokens", "1B", "--tokenizer", "foo"), "no tokenizer is called"),
        (("--needs", "nowhere.yaml"), "there is no such file"),
    ],
)
def test_a_wrong_question_is_one_sentence(cli, argv, says):
    ran = cli("data", *argv)
    assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1 and not ran.out


def test_a_wrong_need_names_file_and_line(cli, tmp_path):
    path = tmp_path / "needs.yaml"
    path.write_text("needs:\n  - {tokens: 1B}\n  - {tokens: 1B, langage: bn}\n", encoding="utf-8")
    ran = cli("data", "--needs", str(path))
    assert ran.code == 2 and "needs.yaml:3" in ran.err and "did you mean 'language'" in ran.err


def test_english_web_text_is_not_scarce(cli):
    part = cli("data", "--tokens", "1T", "--format", "json").json["result"]["parts"][0]
    assert (part["missing"], part["limited_by"]) == (0, "compute")


def test_explain_shows_quantity_and_unit_cost_of_every_line(cli):
    ran = cli("data", "--items", "10k", "--kind", "preference", "--format", "json", "--explain")
    names = {line["name"] for line in ran.json["result"]["lines"]}
    assert {step["name"] for step in ran.json["explanation"]} == names


def test_a_curve_of_ones_own_gives_the_slope_it_was_made_with(cli):
    curve = [part for n in (1000, 2000, 4000, 8000) for part in ("--curve", f"{n}:{2.0 * (n / 1000) ** -0.1:.6f}")]
    ran = cli("data", "finetune", "--goal", "domain", *curve, "--target-loss", "1.5", "--format", "json")
    result = ran.json["result"]
    assert result["slope"]["mid"] == pytest.approx(0.1, rel=1e-3)
    assert result["doubling"]["mid"] == pytest.approx(1 - 2**-0.1, rel=1e-3)
    assert result["to_reach"] == pytest.approx(1000 * (2.0 / 1.5) ** 10, rel=1e-2)


def test_without_a_curve_the_usual_slope_is_that_of_three_tasks(cli):
    ran = cli("data", "finetune", "--goal", "style", "--format", "json")
    slope = ran.json["result"]["slope"]
    assert (slope["low"], slope["mid"], slope["high"]) == (0.06, 0.097, 0.148)
    assert "measure your own curve" in ran.json["warnings"][0]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--goal", "poems"), "--goal"),
        (("--goal", "style", "--curve", "1k"), "1k:0.82"),
        (("--goal", "style", "--curve", "1k:1", "--curve", "2k:0.9"), "2 sizes are too few"),
        (("--goal", "style", "--target-loss", "1"), "needs your own curve"),
        (("--goal", "style", "--curve", "1k:1", "--curve", "2k:1.1", "--curve", "4k:1.2"), "does not fall"),
    ],
)
def test_a_curve_that_cannot_be_read_is_refused(cli, argv, says):
    ran = cli("data", "finetune", *argv)
    assert ran.code == 2 and says in ran.err


def test_tables_and_json_of_a_fine_tune_say_the_same(same_numbers):
    same_numbers("data", "finetune", "--goal", "domain")


def test_data_sets_are_listed_shown_and_found(cli):
    assert len(cli("datasets", "list", "--format", "json").json["result"]["datasets"]) == 103
    shown = cli("datasets", "show", "FineWeb Edu", "--format", "json").json["result"]
    assert shown["dataset"]["licence"] == "ODC-BY-1.0"
    assert "FineWeb" in shown["overlaps_with"]
    assert "finemath-3" in cli("datasets", "search", "math").out
    assert "bn 93.5 GB" in " ".join(cli("datasets", "show", "fineweb2").out.split())
    fineweb2 = cli("datasets", "show", "fineweb2", "--format", "json").json["result"]["dataset"]
    assert fineweb2["text_bytes_by_language"]["bn"] == pytest.approx(9.346e10)
    ran = cli("datasets", "show", "finweb")
    assert ran.code == 2 and "did you mean 'fineweb'" in ran.err


def test_scarce_tokens_make_data_the_better_dollar_and_plenty_makes_it_compute():
    surface = law().required_surface("a test")
    scarce = marginal(surface, 7e9, 2e11, 5e9, usd_per_flop=1e-18, usd_per_token=1e-6)
    plenty = marginal(surface, 7e9, 2e11, 3e11, usd_per_flop=1e-18, usd_per_token=1e-6)
    assert scarce.binds == "data"
    assert (plenty.binds, plenty.data_per_usd) == ("compute", 0.0)
    # at the break-even price both sides give the same
    even = marginal(surface, 7e9, 2e11, 5e9, usd_per_flop=1e-18, usd_per_token=scarce.break_even_usd_per_token)
    assert even.data_per_usd == pytest.approx(even.compute_per_usd)


def test_the_marginal_loss_is_the_derivative_of_the_law():
    surface = law().required_surface("a test")
    found = marginal(surface, 7e9, 2e11, 5e10, usd_per_flop=1e-18, usd_per_token=1e-6)
    more = 1e7  # ten dollars of tokens
    by_hand = (surface.loss(7e9, 2e11, 5e10) - surface.loss(7e9, 2e11, 5e10 + more)) / 10
    assert found.data_per_usd == pytest.approx(by_hand, rel=0.01)


def test_plan_reads_a_data_plan(cli, tmp_path):
    path = tmp_path / "needs.yaml"
    path.write_text("needs:\n  - {tokens: 150B, language: bn, have: 20B}\n", encoding="utf-8")
    ran = cli("plan", "--budget", "200k", "--data-plan", str(path), "--format", "json")
    assert ran.code == 0, ran.err
    side = ran.json["result"]["data_or_compute"]
    # 20B of one's own and the 93.46 GB of Bengali in FineWeb2 at 1.8105 bytes a token
    assert side["unique_tokens"] == pytest.approx(2e10 + 93.46e9 / 1.8105, rel=1e-3)
    assert side["binds"] == "data"
    both = cli("plan", "--budget", "200k", "--data-plan", str(path), "--unique-tokens", "1B")
    assert both.code == 2 and "contradict" in both.err
    alone = cli("plan", "--budget", "200k", "--data-price", "3")
    assert alone.code == 2 and "no effect" in alone.err


def test_a_dear_token_turns_the_next_dollar_to_compute(cli):
    argv = ("plan", "--budget", "200k", "--unique-tokens", "20B", "--format", "json")
    cheap = cli(*argv, "--data-price", "0.1").json["result"]["data_or_compute"]
    even = cheap["break_even_usd_per_million_tokens"]
    dear = cli(*argv, "--data-price", f"{even * 10:.2f}").json["result"]["data_or_compute"]
    assert (cheap["binds"], dear["binds"]) == ("data", "compute")


def test_active_learning_and_deduplication_change_what_they_name(cli):
    def lines(*argv: str) -> dict[str, float]:
        ran = cli("data", *argv, "--format", "json")
        assert ran.code == 0, ran.err
        return {line["name"]: line["usd"]["mid"] for line in ran.json["result"]["lines"]}

    items = ("--items", "10k", "--kind", "box")
    assert lines(*items, "--active-learning", "30%")["label"] == pytest.approx(0.7 * lines(*items)["label"], rel=1e-4)
    assert set(lines("--tokens", "1T", "--dedup")) - set(lines("--tokens", "1T")) == {"dedup"}


def test_open_image_sets_are_shown_but_not_counted(cli):
    part = cli("data", "--items", "100k", "--kind", "photo", "--format", "json").json["result"]["parts"][0]
    assert any(each["name"] == "DataComp-1B" and each["taken"] == 0 for each in part["sets"])


@pytest.mark.parametrize(
    "name", ["besiroglu", "clark-s-base", "kumar", "step-law", "hernandez", "krajewski", "lovelace"]
)
def test_a_law_that_is_shown_says_what_it_can_give(cli, name):
    given = cli("scale", "show", name, "--format", "json").json["result"]["can_give"]
    needs = sorted({symbol for each in given for symbol in each["needs"]})
    values = {"N": "1B", "D": "20B", "U": "5B", "C": "1e20", "L": "2.5", "E": "64", "G": "4", "Pw": "8", "DF": "100M"}
    at = [part for symbol in needs for part in ("--at", f"{symbol}={values[symbol]}")]
    found = cli("scale", "show", name, *at, "--format", "json").json["result"]["values"]
    assert len(found) == len(given)


def test_a_law_says_which_symbols_it_needs_and_which_it_does_not_use(cli):
    missing = cli("scale", "show", "clark-s-base", "--at", "N=1B")
    assert missing.code == 2 and "loss needs N, E" in missing.err
    spare = cli("scale", "show", "kumar", "--at", "Pw=8", "--at", "N=1B")
    assert spare.code == 2 and "does not use N" in spare.err
