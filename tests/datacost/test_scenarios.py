"""Ten questions with the answer worked out by hand beside each, from numbers that name their sources.

Every hand computation uses its own numbers (typed here from the sources, not read from our files), so that a wrong
formula, a wrong unit or a changed fact shows. Tolerance 2 %.
"""

from __future__ import annotations

import math

import pytest

CLOSE = 0.02


@pytest.fixture
def ask(cli):
    def run(*argv: str) -> dict:
        ran = cli("data", *argv, "--format", "json")
        assert ran.code == 0, ran.err
        return ran.json["result"]

    return run


def line(result: dict, name: str) -> dict:
    return next(each for each in result["lines"] if each["name"] == name)


def way(result: dict, name: str) -> dict:
    return next(each for part in result["parts"] for each in part["ways"] if each["way"] == name)


def close(value: float):
    return pytest.approx(value, rel=CLOSE)


def test_1_a_7b_model_in_bengali_with_20b_unique_tokens(ask):
    # Best tokens for 7B (Besiroglu 2024, arXiv:2404.10102: A 482.01, alpha .3478, B 2085.43, beta .3658):
    # alpha A N^-alpha = beta B D^-beta, so D = (beta B / (alpha A) N^alpha)^(1/beta).
    wanted = (0.3658 * 2085.43 / (0.3478 * 482.01) * 7e9**0.3478) ** (1 / 0.3658)
    # FineWeb2 keeps 93.456 GB of Bengali (huggingface/fineweb-2, language distribution). Llama 3 takes 2.224 bytes a token
    # of formal Bengali and 5.282 of formal English; English web text takes 4.3, so web Bengali takes 2.224 x 4.3 / 5.282.
    unique = 20e9 + 93.456e9 / (2.224 * 4.3 / 5.282)
    # R repeats are worth U (1 + 15.388 (1 - e^(-R/15.388))) (Muennighoff 2023, arXiv:2305.16264).
    worth = unique * (1 + 15.388 * (1 - math.exp(-(wanted / unique - 1) / 15.388)))
    part = ask("--model", "7B", "--language", "Bengali", "--have", "20B")["parts"][0]
    assert part["amount"] == close(wanted)
    assert part["unique"] == close(unique)
    assert part["missing"] == 0
    assert part["effective"] == close(worth)
    assert part["limited_by"] == "compute"
    # At most 4 epochs, a quarter of the tokens must be unique; without open sets only the 20B are there.
    alone = ask("--model", "7B", "--language", "Bengali", "--have", "20B", "--no-open-sets")["parts"][0]
    assert alone["missing"] == close(wanted / 4 - 20e9)
    assert alone["effective"] == close(wanted / 4 * (1 + 15.388 * (1 - math.exp(-3 / 15.388))))
    assert alone["limited_by"] == "data"


def test_2_a_hundred_thousand_preference_pairs_by_experts(ask):
    # 5 to 20 USD a pair (pccvdi.com vendor survey 2026), middle 10 (geometric). Quality control 20 % (10 to 30 %),
    # pilot 15 % (10 to 20 %), same survey. 8 minutes a pair.
    pairs = 100_000 * 10.0
    result = ask("--items", "100k", "--kind", "preference-expert", "--annotators", "20")
    assert line(result, "label")["usd"]["mid"] == close(pairs)
    assert line(result, "label")["usd"]["low"] == close(100_000 * 5.0)
    assert line(result, "label")["usd"]["high"] == close(100_000 * 20.0)
    assert result["totals"]["usd"]["mid"] == close(pairs * (1 + 0.20 + 0.15))
    hours = 100_000 * 8 / 60
    assert result["totals"]["people_s"]["mid"] == close(hours * 3600)
    # 20 people, 6 productive hours a working day, 7/5 calendar days for each.
    assert result["totals"]["calendar_s"]["mid"] == close(hours / 20 / 6 * 7 / 5 * 86_400)


def test_3_25b_synthetic_tokens_on_eight_h100_against_an_api(ask):
    # Half survive filtering: 50B are made. Qwen3-8B writes 6,443 tokens/s on one H100 (huggingface/datatrove sweep).
    hours = 50e9 / 6443 / 3600
    argv = ("--tokens", "25B", "--no-open-sets", "--epochs", "1", "--months", "0", "--on", "h100:8", "--price", "2.5")
    result = ask(*argv, "--api", "gpt-5-mini")
    own = way(result, "synthesize")
    assert own["usd"]["mid"] == close(hours * 2.5)
    assert own["calendar"]["value"] == close(hours / 8 * 3600)
    # gpt-5-mini: 0.25 USD in, 2.00 out per million (litellm 1.109.1, 2026-11); half a prompt token per output token.
    assert way(result, "synthesize-api")["usd"]["mid"] == close(50e9 / 1e6 * (2.00 + 0.5 * 0.25))


def test_4_a_million_items_classified_by_a_model_with_an_audit(ask):
    # Model: 0.003 USD a label (arXiv:2303.15056). Audit: 7.5 % of items by people at sqrt(.05 x .15) USD (vendor survey).
    person = math.sqrt(0.05 * 0.15)
    result = ask("--items", "1M", "--kind", "classification", "--by", "model")
    assert line(result, "label_model")["usd"]["mid"] == close(1e6 * 0.003)
    assert line(result, "audit")["usd"]["mid"] == close(1e6 * 0.075 * person)
    assert result["totals"]["usd"]["mid"] == close(1e6 * (0.003 + 0.075 * person))


def test_5_keeping_a_trillion_english_tokens_a_year_and_taking_them_out_once(ask):
    # 4.3 bytes a token: 4.3 TB of text, and 4 TB of uint32 ids. S3 0.023 USD/GB-month; egress 0.09 USD/GB below 10 TB
    # (AWS 2026). Tokenizing: 4.3e12 bytes / 3.7 MB/s on one core at 0.04 USD/core-hour.
    result = ask("--tokens", "1T", "--egress", "1")
    assert line(result, "store_text")["usd"]["mid"] == close(4300 * 12 * 0.023)
    assert line(result, "store_tokens")["usd"]["mid"] == close(4000 * 12 * 0.023)
    assert line(result, "egress_1")["usd"]["mid"] == close(4300 * 0.09)
    assert line(result, "tokenize")["usd"]["mid"] == close(4.3e12 / 3.7e6 / 3600 * 0.04)
    assert result["totals"]["usd"]["mid"] == close(4300 * 12 * 0.023 + 4000 * 12 * 0.023 + 387 + 12.9)


def test_6_reading_ten_million_scanned_pages(ask):
    # olmOCR on own chips: below 200 USD a million pages (allenai/olmocr). Textract: 1.50 USD per 1,000 (AWS 2026).
    # A page is 500 to 800 tokens, 650 in the middle.
    result = ask("--pages", "10M", "--months", "0")
    assert way(result, "ocr")["usd"]["mid"] == close(10 * 200)
    assert way(result, "ocr-api")["usd"]["mid"] == close(10_000 * 1.50)
    assert result["parts"][0]["yields_tokens"]["mid"] == close(10e6 * 650)


def test_7_transcribing_twenty_thousand_hours_of_speech(ask):
    # gpt-4o-mini-transcribe: 0.003 USD a minute (OpenAI 2026). People: 0.80 to 2.50 USD a minute (vendor survey).
    # Own chips: 100 times real time on an H100 (a guess), at 2.50 USD an hour.
    result = ask("--speech-hours", "20k", "--months", "0", "--price", "2.5")
    minutes = 20_000 * 60
    assert way(result, "transcribe-api")["usd"]["mid"] == close(minutes * 0.003)
    assert way(result, "transcribe-people")["usd"]["mid"] == close(minutes * math.sqrt(0.8 * 2.5))
    assert way(result, "transcribe")["usd"]["mid"] == close(20_000 / 100 * 2.5)
    assert result["parts"][0]["yields_tokens"]["mid"] == close(20_000 * 10_500)


def test_8_licensing_a_billion_tokens_of_text(ask):
    # 0.001 USD a word (Defined.ai, Reuters 2024); 1.3 tokens a word. 80 hours of people at 100 USD, 3 months.
    argv = ("--tokens", "1B", "--no-open-sets", "--epochs", "1", "--close", "license", "--months", "0")
    result = ask(*argv)
    assert line(result, "license")["usd"]["mid"] == close(1e9 / 1.3 * 0.001)
    assert line(result, "negotiate")["usd"]["mid"] == close(80 * 100)
    assert result["totals"]["calendar_s"]["mid"] == close(3 * 365.25 / 12 * 86_400)


def test_9_a_domain_filter_over_open_web_text_for_ten_billion_tokens(ask):
    # 7 % of web tokens survive a domain classifier (5 to 10 %), which reads 2.5B tokens per H100-hour: FineWeb-Edu read
    # 15T in 6,000 hours (arXiv:2406.17557).
    hours = 10e9 / 0.07 / 2.5e9
    argv = ("--tokens", "10B", "--domain", "legal", "--no-open-sets", "--epochs", "1", "--close", "filter")
    result = ask(*argv, "--price", "2.5", "--months", "0")
    assert line(result, "filter")["quantity"]["mid"] == close(hours)
    assert line(result, "filter")["usd"]["mid"] == close(hours * 2.5)
    # Near-duplicates: 190 USD per trillion tokens (NVIDIA NeMo Curator). One engineer for 160 hours at 100 USD.
    assert line(result, "dedup")["usd"]["mid"] == close(10 * 0.19)
    assert line(result, "engineers")["usd"]["mid"] == close(160 * 100)


def test_10_a_crawl_for_a_hundred_billion_tokens(ask):
    # 1.6 % of raw tokens survive (DCLM, arXiv:2406.11794): 6.25T raw tokens, 26.9 TB of text. Extraction at 0.5 MB/s on a
    # core at 0.04 USD/core-hour; 30 % reaches the classifier.
    raw = 100e9 / 0.016
    argv = (
        "--tokens",
        "100B",
        "--no-open-sets",
        "--epochs",
        "1",
        "--close",
        "crawl",
        "--price",
        "2.5",
        "--months",
        "0",
    )
    result = ask(*argv)
    assert line(result, "extract")["usd"]["mid"] == close(raw * 4.3 / 0.5e6 / 3600 * 0.04)
    assert line(result, "filter")["usd"]["mid"] == close(raw * 0.3 / 2.5e9 * 2.5)


def test_11_a_thousand_answers_written_by_experts_for_a_reasoning_fine_tune(cli):
    # 95 USD an hour (Mercor average 2026), 40 minutes each, quality control 20 %, pilot 15 %.
    ran = cli("data", "finetune", "--goal", "reasoning", "--examples", "1k", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json["result"]["totals"]["usd"]["mid"] == close(1000 * 40 / 60 * 95 * 1.35)


def test_12_a_photo_licence_for_a_hundred_thousand_images(ask):
    # 1 to 2 USD a photo (Defined.ai, Reuters 2024), 41 kB an image (img2dataset: 5.8B images in 240 TB).
    result = ask("--items", "100k", "--kind", "photo")
    assert line(result, "license")["usd"]["mid"] == close(150_000)
    assert line(result, "store")["usd"]["mid"] == close(100_000 * 41_000 / 1e9 * 12 * 0.023)
