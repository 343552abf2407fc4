"""What is there besides live tensors: what the allocator caches, the context, communicators.

The caching allocator splits and keeps blocks, so `reserved` exceeds `allocated` by a share that grows with what comes
and goes (activations, temporaries) more than with what stays. The context, kernels and library workspaces take a
fixed part of the device, and each communicator some buffers.
"""

from __future__ import annotations

from enum import StrEnum

from ..facts.memory import MemoryFacts, MemoryProfile
from ..training.layout import Layout
from .instants import LASTING, Instant


class MemoryKind(StrEnum):
    """Which peak is meant: tools report three, 5 to 45 % apart."""

    ALLOCATED = "allocated"  # live tensors (torch.cuda.max_memory_allocated)
    RESERVED = "reserved"  # with what the allocator caches (max_memory_reserved)
    DEVICE = "device"  # with context and libraries, what nvidia-smi shows; this decides whether a job fits


def lasting_bytes(instant: Instant) -> float:
    """Bytes of an instant that stay from step to step."""
    return sum(part.bytes for part in instant.parts if part.name in LASTING)


def cache_bytes(instant: Instant, profile: MemoryProfile, *, ragged: bool = False) -> float:
    """Return what the allocator keeps beyond live tensors at `instant`; more where batches differ in length."""
    lasting = lasting_bytes(instant)
    share = profile.ragged_cache_share if ragged else profile.cache_share
    return profile.state_cache_share * lasting + share * (instant.bytes - lasting)


def communicators(layout: Layout) -> int:
    """Return how many communicators a rank opens: one for each kind of parallelism in use."""
    return sum(degree > 1 for degree in (layout.dp, layout.tp, layout.pp, layout.cp, layout.ep))


def device_bytes(layout: Layout, facts: MemoryFacts, vendor: str) -> float:
    """Return what lies outside the allocator on one device."""
    context = facts.context_bytes.get(vendor, facts.context_bytes["other"])
    return context + facts.communicator_bytes * communicators(layout)
