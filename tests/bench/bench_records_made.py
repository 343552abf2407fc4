"""Records made up for tests: a device whose rates are known, so that what is read from them can be checked."""

from __future__ import annotations

from flopwise.estimators.facts.bench_records import Case, Device, Record

FLOPS, BYTES_PER_S = 1e11, 2e10


def case(suite: str, name: str, seconds: float, **facts: object) -> Case:
    flops, traffic = float(facts.pop("flops", 0.0)), float(facts.pop("bytes", 0.0))  # type: ignore[arg-type]
    verdict = facts.pop("verdict", ())
    return Case(
        id=f"{suite}/{name}",
        suite=suite,
        what=facts,  # type: ignore[arg-type]
        status="measured",
        flops=flops,
        bytes=traffic,
        median_s=seconds,
        low_s=0.98 * seconds,
        high_s=1.03 * seconds,
        best_s=0.97 * seconds,
        iqr=0.01,
        samples=(0.97 * seconds, seconds, 1.03 * seconds),
        verdict=verdict,  # type: ignore[arg-type]
    )


def product(format: str, m: int, k: int, n: int, rate: float = FLOPS, fixed: float = 0.0) -> Case:
    flops = 2.0 * m * k * n
    return case(
        "matmul",
        f"{format}/{m}x{k}x{n}nn",
        flops / rate + fixed,
        flops=flops,
        bytes=4.0 * (m * k + k * n + m * n),
        format=format,
        m=m,
        k=k,
        n=n,
        layout="nn",
    )


def cases(rate: float = FLOPS, scale: float = 1.0) -> tuple[Case, ...]:
    """All that a calibration needs, of a device with `rate` FLOP/s and 20 GB/s times `scale`."""
    made = [product("fp32", m, k, n, rate) for m, k, n in ((256, 256, 256), (512, 512, 512), (256, 1024, 512))]
    made += [product("fp32", m, k, n, rate) for m, k, n in ((1024, 1024, 1024), (128, 512, 2048), (2048, 128, 512))]
    stream = BYTES_PER_S * scale
    made += [
        case("matmul", f"fp32/1x{k}x{n}nt", 4.0 * k * n / stream, flops=2.0 * k * n, format="fp32", m=1, k=k, n=n)
        for k, n in ((1024, 1024), (2048, 8192))
    ]
    made.append(case("bandwidth", "triad/64MiB", 2e8 / stream, bytes=2e8, kernel="triad", cache="cold"))
    for kind in ("layer_norm", "rms_norm", "gelu", "silu_gate", "add", "rotary", "cross_entropy", "embedding"):
        for direction in ("forward", "backward"):
            for values in (1e5, 1e7):
                seconds = 1e-9 * values
                made.append(
                    case(
                        "pointwise",
                        f"{kind}/{direction}/{values:g}",
                        seconds,
                        kind=kind,
                        direction=direction,
                        values=values,
                    )
                )
    made.append(case("pointwise", "adamw", 2e-9 * 1e6, kind="adamw", direction="step", values=1e6))
    for direction, share in (("forward", 1.0), ("backward", 2.0)):
        units = 8 * 64 * 512 * 513 / 2
        made.append(
            case(
                "attention",
                f"causal/{direction}",
                share * 4e-11 * units,
                flops=4 * units,
                direction=direction,
                mask="causal",
                batch=1,
                heads=8,
                head_dim=64,
                tokens=512,
                format="fp32",
            )
        )
    return tuple(made)


def step(suite: str, kind: str, layers: int, hidden: int, tokens: int, seconds: float) -> Case:
    return case(
        suite,
        f"{kind}-{layers}x{hidden}/{tokens}",
        seconds,
        kind=kind,
        layers=layers,
        hidden=hidden,
        heads=max(1, hidden // 64),
        kv_heads=max(1, hidden // 64),
        width=4 * hidden,
        vocab=4096,
        tokens=tokens,
        format="fp32",
    )


def record(made: tuple[Case, ...], name: str = "20261124-120000-made", **device: object) -> Record:
    facts = {"kind": "cpu", "name": "Made CPU", "vendor": "Made", "architecture": "AVX", "memory_bytes": 2.0**34}
    return Record(
        id=name,
        started="2026-11-24T12:00:00+00:00",
        finished="2026-11-24T12:01:00+00:00",
        seconds=60.0,
        flopwise_version="0.1.0",
        device=Device(**{**facts, **device}),  # type: ignore[arg-type]
        software={"torch": "2.13.0"},
        settings={"level": "quick", "threads": 2},
        conditions={},
        cases=made,
    )


def collective(
    kind: str, ranks: int, latency: float, rate: float, *, backend: str = "nccl", nodes: int = 1
) -> tuple[Case, ...]:
    """The points of one collective and the line through them."""
    points = tuple(
        case(
            "collectives",
            f"{kind}/{size}/{ranks}",
            latency + size / rate,
            bytes=float(size),
            kind=kind,
            ranks=ranks,
            backend=backend,
            size_bytes=size,
        )
        for size in (2**10, 2**16, 2**22, 2**28)
    )
    line = case(
        "collectives",
        f"{kind}/line",
        latency,
        kind=kind,
        ranks=ranks,
        nodes=nodes,
        backend=backend,
        fit="line",
        latency_s=latency,
        bandwidth_bytes_per_s=rate,
        bus_bytes_per_s=rate,
    )
    return (*points, line)
