"""Learning rate and batch size to start from: Step Law (arXiv:2503.04715), checked against DeepSeek (arXiv:2401.02954).

    lr = 1.79 N^-.713 D^.307     B = .58 D^.571 tokens       N without embeddings; 3,700 runs, 60M to 1B
    lr = .3118 C^-.1250          B = .2920 C^.3271 tokens    DeepSeek LLM
    B_crit = 22.91 D^.47 tokens                              Zhang 2024 (arXiv:2410.21676); coefficient recalled
    N_total = N + 47491 N^(1/3)                              Pearce and Song 2024 (arXiv:2406.12907)

The learning rate's range spans both laws; the batch range is a factor of two each way, since the interval of batch
sizes within 5 % of the best is about four times wide (arXiv:2607.01487).
"""

from __future__ import annotations

from ..facts.scaling import find_card
from ..frozen import dataclass
from ..quantity import Quantity, unranged
from .numeric import solve_log
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN

BATCH_FACTOR = 2.0  # arXiv:2607.01487
_PEARCE_SONG = 47491.0  # embedding parameters over the cube root of the others


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Where to start a sweep, for AdamW; `critical_batch_tokens` is the largest batch that still pays."""

    learning_rate: Quantity
    batch_tokens: Quantity
    critical_batch_tokens: Quantity


def suggest(params: float, tokens: float, non_embedding_params: float | None = None) -> Hyperparameters:
    """Return the starting point for a model of `params` (all) on `tokens`."""
    N = non_embedding_params or without_embeddings(params)
    flops = TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens
    rates = sorted((step_law_learning_rate(N, tokens), deepseek_learning_rate(flops)))
    batch = step_law_batch_tokens(tokens)
    return Hyperparameters(
        learning_rate=Quantity(
            rates[0],
            step_law_learning_rate(N, tokens),
            rates[1],
            "",
            "two laws",
            "Step Law (arXiv:2503.04715); the other end is DeepSeek LLM (arXiv:2401.02954)",
        ),
        batch_tokens=Quantity(
            batch / BATCH_FACTOR,
            batch,
            batch * BATCH_FACTOR,
            "tokens",
            "a factor of 2",
            "Step Law (arXiv:2503.04715), a factor of two wastes about 5 % (arXiv:2607.01487)",
        ),
        critical_batch_tokens=unranged(
            critical_batch_tokens(tokens), "tokens", "Zhang 2024 (arXiv:2410.21676), coefficient unverified"
        ),
    )


def step_law_learning_rate(non_embedding_params: float, tokens: float) -> float:
    """Return the peak learning rate of Step Law."""
    c = find_card("step-law").coefficients
    return float(c["lr_coef"] * non_embedding_params ** c["lr_N_exp"] * tokens ** c["lr_D_exp"])


def step_law_batch_tokens(tokens: float) -> float:
    """Return the batch of Step Law in tokens."""
    c = find_card("step-law").coefficients
    return float(c["B_coef"] * tokens ** c["B_D_exp"])


def deepseek_learning_rate(flops: float) -> float:
    """Return the peak learning rate of DeepSeek LLM for a compute budget."""
    c = find_card("deepseek").coefficients
    return float(c["lr_coef"] * flops ** c["lr_exp"])


def deepseek_batch_tokens(flops: float) -> float:
    """Return the batch of DeepSeek LLM in tokens."""
    c = find_card("deepseek").coefficients
    return float(c["B_coef"] * flops ** c["B_exp"])


def critical_batch_tokens(tokens: float) -> float:
    """Return the batch beyond which more parallel work costs over 20 % more tokens (Zhang 2024)."""
    exponent = find_card("critical-batch-zhang").coefficients["D_exp"]
    return float(find_card("critical-batch-zhang-coefficient").coefficients["coef"] * tokens**exponent)


def kaplan_critical_batch_tokens(loss: float) -> float:
    """Return the critical batch at a loss (Kaplan 2020, arXiv:2001.08361, equation 1.4)."""
    c = find_card("critical-batch").coefficients
    return float(c["B_star"] / loss ** (1 / c["alpha_B"]))


def without_embeddings(params: float) -> float:
    """Return the non-embedding parameters of a model of `params`, by inverting Pearce and Song."""
    return solve_log(lambda N: N + _PEARCE_SONG * N ** (1 / 3) - params, params * 1e-12, params)
