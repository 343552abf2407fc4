"""`bench trace`: FLOPs, bytes and memory of any `torch.nn.Module`, without allocating it.

The module is built and run under FakeTensorMode: tensors have shapes and no data. `FlopCounterMode` counts the products;
a dispatch mode of our own sees every operator, forward and backward, and notes its shapes (they become the planner's
operator list), the bytes it reads and writes, and which storages live at the same time. Attention of the CPU kernel,
which the counter does not know, is counted like its siblings: all pairs, the mask not regarded.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...estimators.errors import InputError
from ...estimators.frozen import dataclass
from ...estimators.models.operators import Cut, Group, Operator, OperatorKind
from .torch_needed import need_torch

_WORDS = ("int", "long", "token", "tokens", "i64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What one forward (and backward) pass of a module does. FLOPs count multiply and add as two, all attention pairs."""

    name: str
    parameters: int
    trainable: int
    parameter_bytes: float
    forward_flops: float
    backward_flops: float
    forward_bytes: float  # read and written by all operators, nothing fused
    backward_bytes: float
    saved_bytes: float  # kept between forward and backward, without parameters and inputs
    peak_bytes: float  # parameters, gradients and everything alive at the fullest instant
    operators: tuple[Operator, ...]  # of the forward pass
    calls: int
    by_module: tuple[tuple[str, float], ...]  # forward FLOPs of the direct children
    output: str
    has_backward: bool


def load_builder(target: str) -> Callable[[], Any]:
    """Return the function or class that `module:function` or `file.py:function` names.

    Raises:
        InputError: there is no such module or name in it, or it cannot be called without arguments.
    """
    module_name, separator, name = target.rpartition(":")
    if not separator or not module_name or not name:
        raise InputError(f"'{target}' does not name a builder; write module:function, for example my_model:build.")
    try:
        if module_name.endswith(".py"):
            path = Path(module_name)
            if not path.is_file():
                raise InputError(f"'{target}': there is no file '{module_name}'.")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            module = importlib.import_module(module_name)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"'{target}': no module named '{error.name}' can be imported here.") from None
    except Exception as error:  # noqa: BLE001  whatever the user's file does
        raise InputError(f"'{target}': importing it failed: {type(error).__name__}: {_first(error)}") from None
    found = getattr(module, name, None)
    if found is None:
        from ...estimators.names import nearest

        close = nearest(name, [each for each in vars(module) if not each.startswith("_")], 1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise InputError(f"'{target}': {module_name} has nothing called '{name}'{hint}")
    if not callable(found):
        raise InputError(f"'{target}': '{name}' cannot be called; name a function that returns the module.")
    return found  # type: ignore[no-any-return]


def read_input(text: str) -> tuple[tuple[int, ...], str]:
    """Return shape and type of "1x128", "1x3x224x224:bf16" or "2x512:int" (token ids).

    Raises:
        InputError: it is neither.
    """
    shape_text, _, kind = text.strip().lower().partition(":")
    try:
        shape = tuple(int(part) for part in shape_text.replace("×", "x").split("x") if part)
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InputError(f"--input: '{text}' is not a shape; write for example 1x128:int or 8x3x224x224.")
    known = ("", "fp32", "float32", "bf16", "bfloat16", "fp16", "float16", "bool", *_WORDS)
    if kind not in known:
        raise InputError(f"--input: '{kind}' is not a type of numbers; use fp32, bf16, fp16, bool or int.")
    return shape, kind


def trace(
    build: Callable[[], Any],
    inputs: Sequence[tuple[tuple[int, ...], str]],
    *,
    name: str = "module",
    backward: bool = True,
    dtype: str = "fp32",
) -> Traced:
    """Return the counts of a module; nothing of its size is allocated.

    An input of unspecified type and two dimensions at most is first tried as token ids, then as numbers.

    Raises:
        InputError: the module cannot be built or run with these inputs.
    """
    torch = need_torch()
    from torch._subclasses.fake_tensor import FakeTensorMode

    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # the error says it in one line
    usual = torch.get_default_dtype()
    torch.set_default_dtype({"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32))
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused layer in eval mode would hide its products
    try:
        attempts = _attempts(inputs)
        for index, kinds in enumerate(attempts):
            try:
                with FakeTensorMode(allow_non_fake_inputs=True):
                    return _traced(torch, build, inputs, kinds, name, backward)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001  whatever the user's module does
                if index == len(attempts) - 1:
                    shapes = ", ".join("x".join(map(str, shape)) for shape, _ in inputs)
                    said = f"{type(error).__name__}: {_first(error)}"
                    raise InputError(f"{name} does not run on inputs of {shapes}: {said}") from None
    finally:
        torch.set_default_dtype(usual)
        torch.backends.mha.set_fastpath_enabled(was_fast)
    raise AssertionError("unreachable")


def _attempts(inputs: Sequence[tuple[tuple[int, ...], str]]) -> list[list[str]]:
    plain = [kind or "fp32" for _, kind in inputs]
    words = [kind or ("int" if len(shape) <= 2 else "fp32") for shape, kind in inputs]
    return [words, plain] if words != plain else [plain]


def _traced(
    torch: Any,
    build: Callable[[], Any],
    inputs: Sequence[tuple[tuple[int, ...], str]],
    kinds: Sequence[str],
    name: str,
    backward: bool,
) -> Traced:
    from torch.utils.flop_counter import FlopCounterMode

    try:
        module = build()
    except TypeError as error:
        if "required" in str(error):
            raise InputError(f"{name} needs arguments; name a function that takes none: {_first(error)}") from None
        raise
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{name} returned a {type(module).__name__}; it must return a torch.nn.Module.")
    base = torch.get_default_dtype()
    tensors = [_input(torch, shape, kind, base) for (shape, _), kind in zip(inputs, kinds, strict=True)]
    parameters = list(module.parameters())
    fixed = {_key(t) for t in (*parameters, *module.buffers(), *tensors)}
    spy = _make_spy(torch, fixed)
    counter = FlopCounterMode(display=False, custom_mapping=_cpu_attention(torch))
    with counter, spy:
        out = module(*tensors)
        forward_flops = float(counter.get_total_flops())
        forward_bytes, calls = spy.moved, spy.calls
        result = _first_tensor(torch, out)
        has_backward = backward and result is not None and result.requires_grad
        saved = spy.alive - (_bytes(result) if result is not None else 0.0)
        operators = tuple(spy.operators)
        if has_backward:
            spy.is_backward = True
            torch.autograd.backward(result.float().sum() if result.dim() else result)
    by_module = _children(counter, type(module).__name__)
    own = float(sum(_bytes(p) for p in parameters))
    return Traced(
        name=name,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        parameter_bytes=own,
        forward_flops=forward_flops,
        backward_flops=float(counter.get_total_flops()) - forward_flops,
        forward_bytes=forward_bytes,
        backward_bytes=spy.moved - forward_bytes,
        saved_bytes=max(0.0, saved),
        peak_bytes=own + spy.most,
        operators=operators,
        calls=calls,
        by_module=by_module,
        output="x".join(map(str, result.shape)) if result is not None else "nothing",
        has_backward=has_backward,
    )


def _input(torch: Any, shape: tuple[int, ...], kind: str, base: Any) -> Any:
    if kind in _WORDS:
        return torch.zeros(shape, dtype=torch.long)
    if kind == "bool":
        return torch.ones(shape, dtype=torch.bool)
    own = {"bf16": torch.bfloat16, "bfloat16": torch.bfloat16, "fp16": torch.float16, "float16": torch.float16}
    return torch.zeros(shape, dtype=own.get(kind, base))


def _first_tensor(torch: Any, out: Any) -> Any:
    """Return the first tensor in what a module returned: a tensor, a sequence, a mapping or a dataclass of outputs."""
    if isinstance(out, torch.Tensor):
        return out
    for name in ("loss", "logits", "last_hidden_state", "sample"):
        found = out.get(name) if isinstance(out, dict) else getattr(out, name, None)
        if isinstance(found, torch.Tensor):
            return found
    values = out.values() if isinstance(out, dict) else out if isinstance(out, (tuple, list)) else ()
    for value in values:
        found = _first_tensor(torch, value)
        if found is not None:
            return found
    return None


def _children(counter: Any, root: str) -> tuple[tuple[str, float], ...]:
    """Return forward and backward FLOPs of the direct children, in their order."""
    groups: dict[str, dict[int, float]] = {}
    for path, by_operator in counter.get_flop_counts().items():
        parts = path.split(".")
        if parts[0] == root and len(parts) > 1:
            depths = groups.setdefault(parts[1], {})
            depths[len(parts)] = depths.get(len(parts), 0.0) + float(sum(by_operator.values()))
    # A list of layers is never called itself: the sum of its members stands for it.
    return tuple((name, depths[min(depths)]) for name, depths in groups.items())


def _cpu_attention(torch: Any) -> dict[Any, Any]:
    """Return counters for the attention kernels of the CPU, where this torch has them."""
    from torch.utils import flop_counter

    counters: Any = flop_counter
    found: dict[Any, Any] = {}
    aten = torch.ops.aten
    forward = getattr(aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    backward = getattr(aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)
    if forward is not None:

        def count(q: Any, k: Any, v: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
            return int(counters.sdpa_flop_count(q, k, v))

        found[forward] = count
    if backward is not None:

        def count_back(grad: Any, q: Any, k: Any, v: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
            return int(counters.sdpa_backward_flop_count(grad, q, k, v))

        found[backward] = count_back
    return found


def _bytes(tensor: Any) -> float:
    return float(tensor.numel() * tensor.element_size())


def _key(tensor: Any) -> int:
    return int(tensor.untyped_storage()._cdata)


def _make_spy(torch: Any, fixed: set[int]) -> Any:
    """Return a dispatch mode that notes operators, bytes moved and living storages (those of `fixed` do not count)."""
    from torch.utils import _python_dispatch
    from torch.utils._pytree import tree_flatten

    base: Any = _python_dispatch.TorchDispatchMode

    class Spy(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.moved = self.alive = self.most = 0.0
            self.calls = 0
            self.is_backward = False
            self.operators: list[Operator] = []
            self._known: set[int] = set()

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = function(*args, **(kwargs or {}))
            ins = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
            outs = [t for t in tree_flatten(out)[0] if isinstance(t, torch.Tensor)]
            fresh = [t for t in outs if self._note(t)]
            writes = fresh or (outs if function._schema.is_mutable else [])
            if writes:  # views move nothing
                self.calls += 1
                self.moved += sum(_bytes(t) for t in ins) + sum(_bytes(t) for t in writes)
                if not self.is_backward:
                    self.operators.append(_operator(function, args, ins, outs, len(self.operators)))
            return out

        def _note(self, tensor: Any) -> bool:
            storage = tensor.untyped_storage()
            key = int(storage._cdata)
            if key in fixed or key in self._known:
                return False
            size = float(storage.nbytes())
            self._known.add(key)
            self.alive += size
            self.most = max(self.most, self.alive)
            weakref.finalize(storage, self._gone, key, size)
            return True

        def _gone(self, key: int, size: float) -> None:
            self._known.discard(key)
            self.alive -= size

    return Spy()


def _operator(function: Any, args: Any, ins: Sequence[Any], outs: Sequence[Any], index: int) -> Operator:
    """Return an aten call as an operator of the planner's list."""
    name = str(function.name()).partition("::")[2].partition(".")[0]
    sizes: dict[str, float] = {"rows": 0.0, "columns": 0.0}
    kind = OperatorKind.ELEMENTWISE
    if name in ("mm", "addmm", "_scaled_mm", "_int_mm"):
        first, second = [t for t in ins if t.dim() == 2][-2:] if name != "addmm" else (args[1], args[2])
        kind = OperatorKind.MATMUL
        sizes = {"rows": first.shape[0], "inner": first.shape[1], "columns": second.shape[1], "batch": 1}
    elif name in ("bmm", "baddbmm"):
        first, second = (args[1], args[2]) if name == "baddbmm" else (args[0], args[1])
        kind = OperatorKind.MATMUL
        sizes = {
            "rows": first.shape[1],
            "inner": first.shape[2],
            "columns": second.shape[2],
            "batch": first.shape[0],
        }
    elif "attention" in name and len(ins) >= 3 and ins[0].dim() == 4:
        q, k, v = ins[:3]
        kind = OperatorKind.ATTENTION
        pairs = float(q.shape[0] * q.shape[2] * k.shape[2])
        sizes = {
            "rows": q.shape[0] * q.shape[2],
            "keys": k.shape[2],
            "heads": q.shape[1],
            "kv_heads": k.shape[1],
            "head_dim": q.shape[3],
            "value_dim": v.shape[3],
            "pairs": pairs,
            "pairs_full": pairs,
        }
    elif "convolution" in name:
        weight, out = args[1], outs[0]
        kind = OperatorKind.CONVOLUTION
        spots = math.prod(out.shape[2:]) * out.shape[0]
        sizes = {"rows": spots, "columns": out.shape[1], "inner": math.prod(weight.shape[1:])}
    elif "norm" in name:
        kind = OperatorKind.NORM
        sizes = {"rows": outs[0].numel() / outs[0].shape[-1], "columns": outs[0].shape[-1]}
    elif name == "embedding":
        kind = OperatorKind.EMBEDDING
        sizes = {"rows": outs[0].numel() / outs[0].shape[-1], "columns": outs[0].shape[-1]}
    elif outs and outs[0].dim():
        sizes = {"rows": outs[0].numel() / max(1, outs[0].shape[-1]), "columns": outs[0].shape[-1]}
    return Operator(
        name=f"{name}#{index}",
        group=Group.ATTENTION if kind is OperatorKind.ATTENTION else Group.FEED_FORWARD,
        kind=kind,
        cut=Cut.WHOLE,
        stack="traced",
        repeats=1,
        run=0,
        output_values=float(sum(t.numel() for t in outs)),
        **sizes,  # type: ignore[arg-type]
    )


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
