"""Every field of every accelerator and price in catalog.yaml equals the table that it was typed from."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from flopwise.estimators.facts.catalog import Catalog, load_catalog

FORMATS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8")


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog(use_config_folder=False)


def rows(shared: Path, name: str) -> list[dict[str, str]]:
    with (shared / "catalog" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float | None:
    return float(text) if text else None


def same(left: float | None, right: float | None) -> bool:
    return left == right if left is None or right is None else math.isclose(left, right, rel_tol=1e-12)


def test_it_holds_71_accelerators_and_241_prices(catalog: Catalog) -> None:
    assert (len(catalog.accelerators), len(catalog.prices)) == (71, 241)


def test_every_accelerator_equals_its_row(catalog: Catalog, shared_data: Path) -> None:
    table = rows(shared_data, "accelerators.csv")
    assert [row["id"] for row in table] == list(catalog.accelerators)
    for row in table:
        card = catalog.accelerators[row["id"]]
        said = {
            "name": card.name,
            "vendor": card.vendor,
            "architecture": card.architecture,
            "release_date": card.release_date,
            "memory_type": card.memory_type,
            "intra_link": card.link,
            "pcie": card.pcie,
            "price_basis": card.price_basis,
            "confidence": card.confidence,
            "sources": ",".join(card.sources),
            "notes": card.note,
            "datasheet_headline_sparse": {"dense": "no", "sparse": "yes", "both": "both", "": ""}[
                card.datasheet_prints
            ],
            "compute_units": " ".join(str(part) for part in (card.compute_units, card.compute_unit) if part),
        }
        assert said == {key: row[key] for key in said}, row["id"]
        unit = 1e9 if card.vendor in ("Groq", "Cerebras") else 2**30
        numbers = {
            "memory_gb": card.memory_bytes / unit,
            "memory_mib_seen": card.seen_memory_bytes and card.seen_memory_bytes / 2**20,
            "mem_bw_gb_s": card.memory_bandwidth_bytes_per_s / 1e9,
            "tdp_w": card.power_w,
            "intra_link_gb_s_uni": card.link_bytes_per_s and card.link_bytes_per_s / 1e9,
            "link_domain_size": card.link_domain,
            "accels_per_node": card.accelerators_per_node,
            "inter_node_gbps_per_node": card.network_bytes_per_s_per_node and card.network_bytes_per_s_per_node * 8e-9,
            "l2_mb": card.l2_bytes and card.l2_bytes / 2**20,
            "list_price_usd": card.list_price_usd,
        }
        for key in FORMATS:
            rate = card.peak_flops_per_s.get(key)
            numbers["int8_tops" if key == "int8" else f"{key}_tflops"] = rate and rate / 1e12
        for key, value in numbers.items():
            assert same(value, number(row[key])), f"{row['id']} {key}: {value} is not {row[key]}"


def test_every_price_equals_its_row(catalog: Catalog, shared_data: Path) -> None:
    for row, price in zip(rows(shared_data, "prices.csv"), catalog.prices, strict=True):
        said = {
            "accelerator_id": price.accelerator,
            "cloud": price.cloud,
            "plan": price.terms,
            "region_of_min": price.region,
            "instance_type": price.instance,
            "covers": price.covers,
            "snapshot_date": price.date,
            "date_basis": price.date_basis,
            "source": catalog.sources[price.source].name,
            "note": price.note,
        }
        assert said == {key: row[key] for key in said}
        numbers = {
            "usd_per_accel_hour_min": price.usd_per_hour,
            "usd_per_accel_hour_median": price.median_usd_per_hour,
            "n_points": price.points,
            "accels_per_instance": price.accelerators_per_instance,
        }
        assert numbers == {key: number(row[key]) for key in numbers}
        assert row["plan"].startswith(price.plan) or price.plan in ("reserved", "on-demand")
        assert price.averaged == ("mean of listings" in row["plan"])
        assert price.trend == ("keep for the trend" in row["note"] or row["note"].startswith("old: check again"))


def test_a_field_that_rests_on_memory_is_marked(catalog: Catalog, shared_data: Path) -> None:
    agree = {
        (row["id"], row["field"]): bool(row["sources_within_2pct"])
        for row in rows(shared_data, "accelerator_crosscheck.csv")
    }
    for row in rows(shared_data, "accelerators.csv"):
        if "R" not in row["sources"].split(",") or row["vendor"] == "Apple":
            continue
        marked = catalog.accelerators[row["id"]].unverified
        for key in FORMATS:
            column = "int8_tops" if key == "int8" else f"{key}_tflops"
            same_as_bf16 = key == "fp16" and row["fp16_tflops"] == row["bf16_tflops"]
            checked = agree.get((row["id"], column)) or (same_as_bf16 and agree.get((row["id"], "bf16_tflops")))
            if row[column] and not checked:
                assert f"dense_tflops.{key}" in marked, row["id"]
