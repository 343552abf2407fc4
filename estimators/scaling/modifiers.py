"""Laws that modify or stand beside the loss surface: routed experts, precision, transfer, and older loss curves.

They are options and checks, not part of the default forecast: each holds only near the runs it was fitted on, which
its card in `data/scaling_laws.yaml` states.
"""

from __future__ import annotations

import math

from ..facts.scaling import find_card


def effective_experts(experts: float, start: float, most: float) -> float:
    """Return the saturated expert count of Clark 2022 (arXiv:2202.01169, equation 4)."""
    return 1 / (1 / (experts - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


def routed_loss(dense_params: float, experts: float, routing: str = "clark-s-base") -> float:
    """Return the loss at 130B tokens of a model with `experts` per routed layer (Clark 2022, equation 5).

    `dense_params` are those of the model with one expert; `routing` is clark-s-base, clark-rl-r or clark-hash.
    """
    c = find_card(routing).coefficients
    n = math.log10(dense_params)
    e = math.log10(effective_experts(experts, c["E_start"], c["E_max"]))
    return float(10 ** (c["a"] * n + c["b"] * e + c["c"] * n * e + c["d"]))


def dense_equivalent(dense_params: float, experts: float, routing: str = "clark-s-base") -> float:
    """Return the size of the dense model that is as good as a routed one (Clark 2022, effective parameter count)."""
    c = find_card(routing).coefficients
    e1 = math.log10(effective_experts(1, c["E_start"], c["E_max"]))
    wanted = math.log10(routed_loss(dense_params, experts, routing))
    return float(10 ** ((wanted - c["d"] - c["b"] * e1) / (c["a"] + c["c"] * e1)))


def granular_mixture_loss(params: float, tokens: float, granularity: float) -> float:
    """Return the loss of a mixture of 64 experts cut `granularity` times finer (Krajewski 2024, arXiv:2402.07871)."""
    c = find_card("krajewski").coefficients
    size_term = (c["g"] / granularity ** c["gamma"] + c["a"]) / params ** c["alpha"]
    return float(c["c"] + size_term + c["b"] / tokens ** c["beta"])


def joint_mixture_loss(active_params: float, tokens: float, experts: float) -> float:
    """Return the loss of Ludziejewski 2025 (arXiv:2502.05172); its signs are read from a secondary source."""
    c = find_card("ludziejewski").coefficients
    E = effective_experts(experts, c["E_start"], c["E_max"])
    size_term = c["a"] * E ** c["delta"] * active_params ** -(c["alpha"] + c["gamma"] * math.log(E))
    data_term = c["b"] * E ** c["omega"] * tokens ** -(c["beta"] + c["zeta"] * math.log(E))
    return float(size_term + data_term + c["c"])


def capacity_kept(bits: float, part: str = "w") -> float:
    """Return the share of parameters that still count at `bits` (Kumar 2024, arXiv:2411.04330, equation 3).

    `part` is w (weights), a (activations) or kv (cache); shares multiply.
    """
    return 1 - math.exp(-bits / find_card("kumar").coefficients[f"gamma_{part}"])


def params_kept(weight_bits: float, activation_bits: float | None = None, cache_bits: float | None = None) -> float:
    """Return N_eff / N when training in few bits (Kumar 2024); parts not named stay in full precision."""
    kept = capacity_kept(weight_bits)
    for bits, part in ((activation_bits, "a"), (cache_bits, "kv")):
        kept *= 1.0 if bits is None else capacity_kept(bits, part)
    return kept


def transferred_characters(fine_tuning_characters: float, params: float, mix: str = "hernandez") -> float:
    """Return the characters of fine-tuning data that pre-training is worth (Hernandez 2021, arXiv:2102.01293)."""
    c = find_card(mix).coefficients
    return float(c["k"] * fine_tuning_characters ** c["alpha"] * params ** c["beta"])


def overfitting_loss(params: float, unique_tokens: float, epochs: float) -> float:
    """Return the loss that over-fitting adds (Lovelace 2026, arXiv:2605.01640; own refit): a warning, not a forecast."""
    c = find_card("lovelace").coefficients
    repetitions = max(0.0, epochs - 1)
    return float(c["P"] * repetitions ** c["delta"] * (params / unique_tokens) ** c["kappa"])


def kaplan_loss_of_params(params: float) -> float:
    """Return L(N) of Kaplan 2020 with endless data; N without embeddings."""
    c = find_card("kaplan-loss").coefficients
    return float((c["Nc"] / params) ** c["alpha_N"])


def kaplan_loss_of_tokens(tokens: float) -> float:
    """Return L(D) of Kaplan 2020 with an endless model."""
    c = find_card("kaplan-loss").coefficients
    return float((c["Dc"] / tokens) ** c["alpha_D"])


def cerebras_pile_loss(flops: float, card: str = "cerebras-refit") -> float:
    """Return the Pile loss of a model trained at 20 tokens per parameter (Cerebras-GPT, arXiv:2304.03208).

    `card` is cerebras-refit (own, through the printed losses) or cerebras (the paper's coefficients, recalled).
    """
    c = find_card(card).coefficients
    return float((flops / c["C_coef"]) ** c["C_exp"] + c["offset"])
