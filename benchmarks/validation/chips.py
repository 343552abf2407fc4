"""What training tables call their chips, and the catalog's accelerators: "A100" with 40 GB, "Trn1", "TPU v7x"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.frozen import replace
from ...estimators.names import fold

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator

# What a row's chip name means in the catalog, first match wins; a stated memory size then picks the variant.
_CHIPS: tuple[tuple[str, str], ...] = (
    ("h100-nvl", "h100-nvl-94gb"),
    ("h100-pcie", "h100-pcie-80gb"),
    ("h200-nvl", "h200-nvl-141gb"),
    ("gh200", "gh200-96gb"),
    ("gb200", "gb200"),
    ("gb300", "gb300"),
    ("h200", "h200-sxm-141gb"),
    ("h100", "h100-sxm-80gb"),
    ("h800", "h800-sxm-80gb"),
    ("h20", "h20-96gb"),
    ("a100-pcie-40", "a100-pcie-40gb"),
    ("a100-pcie", "a100-pcie-80gb"),
    ("a100-40", "a100-sxm-40gb"),
    ("a100-sxm-40", "a100-sxm-40gb"),
    ("a100", "a100-sxm-80gb"),
    ("a800", "a100-sxm-80gb"),
    ("v100-pcie", "v100-pcie-32gb"),
    ("v100", "v100-sxm2-32gb"),
    ("b200", "b200-sxm"),
    ("b300", "b300-sxm"),
    ("b100", "b100"),
    ("a6000", "rtx-a6000"),
    ("6000-ada", "rtx-6000-ada"),
    ("pro-6000", "rtx-pro-6000-bw-server"),
    ("4090", "rtx-4090"),
    ("3090", "rtx-3090"),
    ("5090", "rtx-5090"),
    ("l40s", "l40s"),
    ("l40", "l40"),
    ("l4", "l4"),
    ("a10g", "a10g"),
    ("a10", "a10"),
    ("a30", "a30"),
    ("a40", "a40"),
    ("t4", "t4"),
    ("p100", "p100-sxm2-16gb"),
    ("mi210", "mi210"),
    ("mi250", "mi250x"),
    ("mi300", "mi300x"),
    ("mi325", "mi325x"),
    ("mi350", "mi350x"),
    ("mi355", "mi355x"),
    ("gaudi2", "gaudi2"),
    ("gaudi-2", "gaudi2"),
    ("gaudi3", "gaudi3"),
    ("gaudi-3", "gaudi3"),
    ("v5p", "tpu-v5p"),
    ("v5e", "tpu-v5e"),
    ("v5-lite", "tpu-v5e"),
    ("v6e", "tpu-v6e"),
    ("trillium", "tpu-v6e"),
    ("v7", "tpu-v7"),
    ("tpu7", "tpu-v7"),
    ("ironwood", "tpu-v7"),
    ("tpu-v4", "tpu-v4"),
    ("tpu-v3", "tpu-v3"),
    ("tpu-v2", "tpu-v2"),
    ("trn1", "trainium1"),
    ("trainium1", "trainium1"),
    ("trn2", "trainium2"),
    ("trainium2", "trainium2"),
    ("trn3", "trainium3"),
    ("trainium3", "trainium3"),
    ("inferentia2", "inferentia2"),
    ("inf2", "inferentia2"),
)
_SMALLER = {"v100-sxm2-32gb": "v100-sxm2-16gb", "a100-sxm-80gb": "a100-sxm-40gb", "v100-pcie-32gb": "v100-pcie-16gb"}


def find_accelerator(text: str, memory_gb: float | None, catalog: Catalog) -> Accelerator | None:
    """Return the catalog's accelerator that a row means, with the memory the row states; None when unknown.

    "A100" with 40 GB is the 40 GB part; "H100-96GB-HBM2e-500W" is an H100 with 96 GB.
    """
    name = fold(text.replace("(", "-").replace(")", ""))
    if not name or ("not stated" in text.lower() and not any(chip in name for chip, _ in _CHIPS)):
        return None
    found = next((identity for chip, identity in _CHIPS if chip in name), None)
    if found is None or found not in catalog.accelerators:
        try:
            found = catalog.find(text).id
        except InputError:
            return None
    if memory_gb and found in _SMALLER and memory_gb < 0.7 * catalog.accelerators[found].memory_bytes / 1e9:
        found = _SMALLER[found]
    chip = catalog.accelerators[found]
    if memory_gb and not 0.93 < memory_gb * 1e9 / chip.memory_bytes < 1.08:
        share = memory_gb * 1e9 / chip.memory_bytes
        chip = replace(
            chip,
            name=text,
            memory_bytes=memory_gb * 1e9,
            usable_memory_bytes=chip.usable_memory_bytes * share,
            note=f"{chip.note} with the {memory_gb:g} GB that the row states".strip(),
        )
    return chip
