"""What is there besides live tensors: what the allocator caches, the context, communicators.

The caching allocator splits and keeps blocks, so `reserved` exceeds `allocated` by a share that grows with what comes
and goes (activations, temporaries) more than with what stays. The context, kernels and library workspaces take a
fixed part of the device, and each communicator of NCCL some buffers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..training.layout import Layout
from .instants import Instant
from .profile import MemoryKind, MemoryProfile

_LASTING = frozenset(
    (
        "weights",
        "frozen weights",
        "adapters",
        "gradients",
        "fp32 copy of weights",
        "optimizer moments",
        "communication buffers",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOverhead:
    """Bytes outside the allocator on one device."""

    context_bytes: float  # driver context, kernels, library workspaces
    communicator_bytes: float  # per communicator (one for each kind of parallelism in use)


def lasting_bytes(instant: Instant) -> float:
    """Bytes of an instant that stay from step to step."""
    return sum(part.bytes for part in instant.parts if part.name in _LASTING)


def cache_bytes(instant: Instant, profile: MemoryProfile, *, ragged: bool = False) -> float:
    """Return what the allocator keeps beyond live tensors at `instant`; more where batches differ in length."""
    lasting = lasting_bytes(instant)
    share = profile.ragged_cache_share if ragged else profile.cache_share
    return profile.state_cache_share * lasting + share * (instant.bytes - lasting)


def communicators(layout: Layout) -> int:
    """Return how many communicators a rank opens: one for each kind of parallelism in use."""
    return sum(degree > 1 for degree in (layout.dp, layout.tp, layout.pp, layout.cp, layout.ep))


def device_bytes(layout: Layout, overhead: DeviceOverhead) -> float:
    """Return what lies outside the allocator."""
    return overhead.context_bytes + overhead.communicator_bytes * communicators(layout)


def total_bytes(
    instant: Instant,
    layout: Layout,
    kind: MemoryKind,
    profile: MemoryProfile,
    overhead: DeviceOverhead,
    *,
    ragged: bool = False,
) -> float:
    """Return an instant's memory as `kind` counts it."""
    live = instant.bytes
    if kind is MemoryKind.ALLOCATED:
        return live
    reserved = live + cache_bytes(instant, profile, ragged=ragged)
    return reserved if kind is MemoryKind.RESERVED else reserved + device_bytes(layout, overhead)
