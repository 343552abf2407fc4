"""A quote: one price per cloud, the spread over clouds, and what misleads left out with its reason."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError, UnknownName
from flopwise.estimators.facts.catalog import Catalog, load_catalog, load_ours
from flopwise.estimators.facts.records import CloudClass, Price, PricePlan
from flopwise.estimators.facts.yamlfile import FactFile
from flopwise.estimators.pricing.quote import Quote, Reason, far_from_others, is_stale, percentile, quote
from flopwise.estimators.quantity import NO_RANGE

TODAY = datetime.date(2026, 11, 24)
CHIP = "h100-sxm-80gb"
CLOUDS = {
    "AWS": "hyperscaler",
    "Lambda": "gpu-cloud",
    "Nebius": "gpu-cloud",
    "Vast.ai": "marketplace",
    "Akash": "marketplace",
}


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog(use_config_folder=False)


def offer(cloud: str, usd: float, date: str = "2026-11-01", **more: object) -> dict[str, object]:
    return {"cloud": cloud, "plan": "on-demand", "usd_per_hour": usd, "date": date, "source": "a test", **more}


def only(*offers: dict[str, object]) -> Catalog:
    """Our catalog with these offers for one chip in place of its own."""
    data = {"replace_prices": [CHIP], "prices": {CHIP: list(offers)}}
    return Catalog([load_ours(), FactFile("mine.yaml", "", data, {(): 1})])


def reasons(answer: Quote) -> dict[float, Reason]:
    return {left.price.usd_per_hour: left.reason for left in answer.left_out}


# --- the spread -----------------------------------------------------------------------------------------------------


def test_five_clouds_give_the_10th_50th_and_90th_percentile() -> None:
    answer = quote(only(*(offer(cloud, 1.0 + place) for place, cloud in enumerate(CLOUDS))), CHIP)
    usd = answer.usd_per_hour
    assert (usd.low, usd.mid, usd.high) == pytest.approx((1.4, 3.0, 4.6))
    assert (usd.band, usd.unit) == ("80 %", "usd_per_accelerator_hour")
    assert usd.basis == "10th to 90th percentile of 5 clouds"


def test_few_clouds_give_the_lowest_the_median_and_the_highest() -> None:
    usd = quote(only(offer("AWS", 6.0), offer("Lambda", 2.0), offer("Nebius", 3.0)), CHIP).usd_per_hour
    assert (usd.low, usd.mid, usd.high, usd.basis) == (2.0, 3.0, 6.0, "lowest to highest of 3 clouds")


def test_one_cloud_gives_its_regions() -> None:
    usd = quote(only(offer("AWS", 6.0, median_usd_per_hour=8.0)), CHIP).usd_per_hour
    assert (usd.low, usd.mid, usd.high, usd.basis) == (6.0, 6.0, 8.0, "regions and sizes of AWS")


def test_one_price_of_ours_has_no_range_and_says_so(catalog: Catalog) -> None:
    usd = quote(catalog, "mi355x").usd_per_hour
    assert (usd.low, usd.high, usd.band) == (8.6, 8.6, NO_RANGE)


def test_one_price_of_the_users_own_is_exact() -> None:
    usd = quote(only(offer("AWS", 6.0)), CHIP).usd_per_hour
    assert (usd.is_exact, usd.band, usd.basis) == (True, "exact", "one price of AWS, from your overlay")


def test_a_cloud_with_many_listings_is_one_vote() -> None:
    many = [offer("AWS", 9.0, region=f"r{number}") for number in range(9)]
    usd = quote(only(*many, offer("Lambda", 2.0), offer("Nebius", 3.0)), CHIP).usd_per_hour
    assert usd.mid == 3.0


def test_spot_takes_the_median_over_regions_for_the_lowest_one_is_rarely_free() -> None:
    price = {**offer("AWS", 1.0, median_usd_per_hour=2.0), "plan": "spot"}
    usd = quote(only(price), CHIP, plan=PricePlan.SPOT).usd_per_hour
    assert (usd.low, usd.mid, usd.high) == (1.0, 2.0, 2.0)


def test_the_classes_of_sellers_differ_for_an_h100(catalog: Catalog) -> None:
    by_class = [quote(catalog, CHIP, cloud_class=seller).usd_per_hour.mid for seller in CloudClass]
    hyperscaler, gpu_cloud, marketplace = by_class
    assert 9 < hyperscaler < 13
    assert 3.5 < gpu_cloud < 4.5
    assert 2.3 < marketplace < 2.9


# --- what does not count --------------------------------------------------------------------------------------------


def test_a_year_old_offer_does_not_count_where_its_seller_has_a_newer_one(catalog: Catalog) -> None:
    answer = quote(catalog, CHIP, cloud="Lambda")
    assert [price.usd_per_hour for price in answer.prices] == [3.99, 4.29]
    assert reasons(answer) == {2.99: Reason.TREND, 4.0811: Reason.AVERAGED}


def test_a_year_old_offer_counts_where_there_is_nothing_else(catalog: Catalog) -> None:
    answer = quote(catalog, "gh200-96gb")
    assert {price.date for price in answer.prices} == {"2025-11-16"}
    assert answer.notes(TODAY) == ("All 2 prices of gh200-96gb may be older than 90 days (oldest 2025-11-16).",)


def test_brands_of_one_seller_share_the_trend_rule(catalog: Catalog) -> None:
    assert reasons(quote(catalog, "a100-pcie-80gb"))[1.39] is Reason.TREND  # RunPod 2025, RunPod Secure 2026


def test_a_bracket_counts_from_its_start_and_gives_way_to_a_day(catalog: Catalog) -> None:
    answer = quote(catalog, CHIP, cloud="Nebius")
    assert [price.date for price in answer.prices] == ["2026-10-24"]
    assert reasons(answer)[2.95] is Reason.OLDER


def test_a_price_without_the_host_machine_gives_way(catalog: Catalog) -> None:
    answer = quote(catalog, "h200-sxm-141gb", cloud_class=CloudClass.HYPERSCALER)
    assert reasons(answer)[9.3117] is Reason.NO_HOST
    assert not answer.warnings


def test_a_price_without_the_host_machine_is_said_to_be_one_where_it_must_serve(catalog: Catalog) -> None:
    answer = quote(catalog, "h200-sxm-141gb", cloud="gcp")
    assert answer.usd_per_hour.mid == 9.3117
    assert answer.warnings == ("The price of GCP covers the accelerator only; add the host machine.",)


def test_a_mean_over_listings_alone_is_said_to_be_one(catalog: Catalog) -> None:
    assert "Only means over listings are known" in quote(catalog, CHIP, cloud="Civo").warnings[0]


def test_an_overlay_goes_before_ours_at_its_cloud_and_plan_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"prices:\n  {CHIP}:\n  - {offer('CoreWeave', 2.1)}\n".replace("'", '"'), encoding="utf-8")
    merged = load_catalog([path], use_config_folder=False)
    answer = quote(merged, CHIP, cloud="coreweave")
    assert answer.usd_per_hour.mid == 2.1
    assert set(reasons(answer).values()) == {Reason.OVERLAY}
    assert quote(merged, CHIP, cloud="AWS").usd_per_hour.mid == 6.88
    assert quote(merged, CHIP, cloud="coreweave", plan=PricePlan.SPOT).usd_per_hour.mid == 2.4638


# --- dates ----------------------------------------------------------------------------------------------------------


def test_a_price_older_than_90_days_is_stale() -> None:
    (fresh,) = only(offer("AWS", 3.0, "2026-08-26")).prices_of(CHIP)
    (old,) = only(offer("AWS", 3.0, "2026-08-25")).prices_of(CHIP)
    assert (is_stale(fresh, TODAY), is_stale(old, TODAY)) == (False, True)


def test_a_quote_knows_its_oldest_and_newest_price_and_its_age() -> None:
    answer = quote(only(offer("AWS", 3.0, "2026-11-14"), offer("Lambda", 3.0, "2025-09..2026-08")), CHIP)
    assert (answer.oldest, answer.newest, answer.age_days(TODAY)) == ("2025-09", "2026-11-14", 10)
    assert answer.age_days(datetime.date(2026, 1, 1)) == 0
    assert answer.notes(TODAY) == (f"1 of 2 prices of {CHIP} may be older than 90 days (oldest 2025-09).",)


# --- no answer ------------------------------------------------------------------------------------------------------


def test_no_price_at_all_names_priced_kin_and_how_to_add_one(catalog: Catalog) -> None:
    with pytest.raises(InputError) as caught:
        quote(catalog, "mi325x")
    assert "no price is known for Instinct MI325X (mi325x). Priced parts of its architecture (CDNA3): mi300x." in str(
        caught.value
    )
    assert "`flopwise catalog add mi325x --usd-per-hour PRICE --cloud NAME`" in str(caught.value)
    with pytest.raises(InputError, match="priced parts of AMD: mi300x, mi355x"):
        quote(catalog, "mi250x")


def test_no_such_price_names_those_there_are(catalog: Catalog) -> None:
    with pytest.raises(
        InputError, match=r"no reserved price is known for mi300x\. Known are on-demand: Azure, Crusoe, OCI"
    ):
        quote(catalog, "mi300x", plan=PricePlan.RESERVED)
    with pytest.raises(InputError, match=r"no on-demand price is known for mi300x at a marketplace\."):
        quote(catalog, "mi300x", cloud_class=CloudClass.MARKETPLACE)
    with pytest.raises(InputError, match=r"no spot price is known for mi300x at AWS\."):
        quote(catalog, "mi300x", plan=PricePlan.SPOT, cloud="AWS")


def test_a_cloud_and_a_class_that_exclude_each_other_are_refused(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="AWS is a hyperscaler, not a gpu-cloud"):
        quote(catalog, CHIP, cloud="amazon", cloud_class=CloudClass.GPU_CLOUD)


def test_an_unknown_cloud_names_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match="no cloud is called 'corewave'; did you mean 'coreweave'"):
        quote(catalog, CHIP, cloud="corewave")


def test_a_price_of_a_whole_machine_is_doubted(catalog: Catalog) -> None:
    (machine,) = only(offer("AWS", 8 * 12.29)).prices_of(CHIP)
    assert "more than 5 times away from all other on-demand prices" in far_from_others(machine, catalog.prices_of(CHIP))
    (fair,) = only(offer("AWS", 2.0)).prices_of(CHIP)
    assert far_from_others(fair, catalog.prices_of(CHIP)) == ""


# --- properties -----------------------------------------------------------------------------------------------------

OFFERS = st.lists(
    st.builds(
        offer,
        st.sampled_from(list(CLOUDS)),
        st.floats(0.05, 90).map(lambda usd: round(usd, 4)),
        st.sampled_from(["2024-12", "2025-09..2026-08", "2025-11-16", "2026-08-19", "2026-11-09"]),
        covers=st.sampled_from(["whole VM", "GPU only"]),
        averaged=st.booleans(),
        trend=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def lowest(prices: tuple[Price, ...]) -> float:
    return min(price.usd_per_hour for price in prices)


@settings(max_examples=150, deadline=None)
@given(OFFERS)
def test_low_middle_and_high_are_ordered_and_lie_among_the_offers(offers: list[dict[str, object]]) -> None:
    answer = quote(only(*offers), CHIP)
    usd = answer.usd_per_hour
    all_of = [float(str(one["usd_per_hour"])) for one in offers]
    assert min(all_of) <= usd.low <= usd.mid <= usd.high <= max(all_of)
    assert [cloud.mid_usd for cloud in answer.clouds] == sorted(cloud.mid_usd for cloud in answer.clouds)


@settings(max_examples=150, deadline=None)
@given(OFFERS)
def test_every_offer_counts_or_is_left_out_with_a_reason(offers: list[dict[str, object]]) -> None:
    answer = quote(only(*offers), CHIP)
    assert len(answer.prices) + len(answer.left_out) == len(offers)
    assert answer.prices


@settings(max_examples=100, deadline=None)
@given(OFFERS, st.floats(0.1, 10))
def test_prices_times_a_factor_give_the_quote_times_that_factor(offers: list[dict[str, object]], factor: float) -> None:
    before = quote(only(*offers), CHIP).usd_per_hour
    scaled = [{**one, "usd_per_hour": float(str(one["usd_per_hour"])) * factor} for one in offers]
    after = quote(only(*scaled), CHIP).usd_per_hour
    assert (after.low, after.mid, after.high) == pytest.approx(
        tuple(factor * x for x in (before.low, before.mid, before.high))
    )


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_a_percentile_lies_between_its_neighbours(values: list[float], fraction: float) -> None:
    at = percentile(values, fraction)
    assert min(values) <= at <= max(values)
    assert percentile(values, 0) == min(values)
    assert percentile(values, 1) == max(values)


@pytest.mark.parametrize("plan", list(PricePlan))
def test_every_accelerator_has_a_quote_or_a_reason(catalog: Catalog, plan: PricePlan) -> None:
    for chip in catalog.accelerators:
        try:
            usd = quote(catalog, chip, plan=plan).usd_per_hour
        except InputError:
            assert plan not in {price.plan for price in catalog.prices_of(chip)}
        else:
            assert 0 < usd.low <= usd.mid <= usd.high < 40


def test_a_cluster_is_not_quoted_from_marketplaces():
    catalog = load_catalog(use_config_folder=False)
    everyone = quote(catalog, "h100-sxm-80gb")
    others = quote(catalog, "h100-sxm-80gb", without=CloudClass.MARKETPLACE)
    assert {cloud.cloud_class for cloud in everyone.clouds} >= {CloudClass.MARKETPLACE}
    assert CloudClass.MARKETPLACE not in {cloud.cloud_class for cloud in others.clouds}
    assert others.usd_per_hour.low > everyone.usd_per_hour.low
