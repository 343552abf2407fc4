"""People's units at the edge, SI inside: the one place that reads `7B`, `$50k`, `30d`, `80GiB` and the one that prints.

Every reader takes what was typed and returns a plain number in the base unit, or raises `InputError` with an example of
what is accepted. Every printer takes a number in the base unit and returns a short text. Decimal prefixes are powers
of 1000; KiB, MiB, GiB, TiB powers of 1024.
"""

from __future__ import annotations

import math
import re

from .errors import InputError

HOUR = 3600.0
DAY = 86_400.0
WEEK = 7 * DAY
MONTH = 365.25 / 12 * DAY  # a twelfth of a Julian year
YEAR = 365.25 * DAY
GB = 1e9
GIB = 2.0**30

_NUMBER = re.compile(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)")
_COUNT = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "bn": 1e9, "t": 1e12, "tn": 1e12, "q": 1e15}
_COUNT |= {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_TIME = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": HOUR, "hr": HOUR, "hour": HOUR, "hours": HOUR}
_TIME |= {"d": DAY, "day": DAY, "days": DAY, "w": WEEK, "week": WEEK, "weeks": WEEK}
_TIME |= {"mo": MONTH, "month": MONTH, "months": MONTH, "y": YEAR, "yr": YEAR, "year": YEAR, "years": YEAR}
_BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15}
_BYTES |= {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40, "pib": 2.0**50}
_POWER = {"w": 1.0, "kw": 1e3, "mw": 1e6}
_FLOPS = {"": 1.0, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}


# Beyond these somebody's finger slipped, and products of two of them leave the range of numbers. FLOPs alone are larger.
LEAST, MOST, MOST_FLOPS = 1e-9, 1e21, 1e40


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise InputError(f"'{text}' is not {what}; write for example {example}.")
    number = float(match[1].replace("_", "").replace(",", ""))
    if not math.isfinite(number):
        raise InputError(f"'{text}' is too large to be {what}; write for example {example}.")
    return number, match[2].strip()


def _scaled(
    text: str,
    what: str,
    example: str,
    units: dict[str, float],
    *,
    zero: bool = False,
    unit_needed: bool = False,
    least: float = LEAST,
    most: float = MOST,
) -> float:
    number, unit = _split(text, what, example)
    if unit.lower() not in units or (unit_needed and not unit):
        said = f"the unit '{unit}' is not known" if unit else "a unit is missing"
        shown = ", ".join(dict.fromkeys(u for u in units if u))
        raise InputError(f"'{text}' is not {what}: {said}; use one of {shown}, for example {example}.")
    value = number * units[unit.lower()]
    if value < 0 or (value == 0 and not zero) or not math.isfinite(value):
        raise InputError(f"'{text}' is not {what}: it must be {'at least' if zero else 'more than'} 0.")
    if value > most or 0 < value < least:
        limit = f"at most {most:g}" if value > most else f"at least {least:g}"
        raise InputError(f"'{text}' is not {what}: it must be {limit}; is the unit right? Write for example {example}.")
    return value


def read_count(text: str, what: str = "a count", example: str = "7B, 1.5T or 2e12") -> float:
    """Read a positive count of parameters, tokens or items.

    >>> read_count("1.5T")
    1500000000000.0
    """
    return _scaled(text, what, example, _COUNT)


def read_whole(text: str, what: str = "a whole number", example: str = "64 or 1k") -> int:
    """Read a positive whole number, of a thousand million at most: nobody has more chips, and no sequence is longer."""
    value = _scaled(text, what, example, _COUNT, most=1e9)
    if value != int(value):
        raise InputError(f"'{text}' is not {what}: it must be whole.")
    return int(value)


def read_usd(text: str, what: str = "an amount of US dollars", *, zero: bool = False) -> float:
    """Read dollars.

    >>> read_usd("$50k")
    50000.0
    """
    bare = re.sub(r"^\s*(?:USD|US\$|\$)\s*|\s*(?:USD|US\$|\$)\s*$", "", text, flags=re.IGNORECASE)
    if re.search(r"[€£¥₹]|\b(?:EUR|GBP|JPY|INR|CNY)\b", bare, flags=re.IGNORECASE):
        raise InputError(f"'{text}' is not {what}: prices are in US dollars; convert it first, for example $50k.")
    return _scaled(bare, what, "$50k, 1.2M or 800", _COUNT, zero=zero)


def read_duration_s(text: str, what: str = "a duration") -> float:
    """Read a duration into seconds; a unit is needed.

    >>> read_duration_s("30d") / DAY
    30.0
    """
    if re.fullmatch(r"\s*[\d.]+\s*m\s*", text, flags=re.IGNORECASE):
        raise InputError(f"'{text}' is not {what}: 'm' could be minutes or months; write min or mo.")
    return _scaled(text, what, "30d, 12h, 2w or 3mo", _TIME, unit_needed=True)


def read_bytes(text: str, what: str = "an amount of memory") -> float:
    """Read bytes; GB is 1e9, GiB is 2**30; a unit is needed.

    >>> read_bytes("80GiB")
    85899345920.0
    """
    return _scaled(text, what, "80GB or 80GiB", _BYTES, unit_needed=True)


def read_power_w(text: str, what: str = "a power") -> float:
    """Read watts; a unit is needed."""
    return _scaled(text, what, "450W or 1.2kW", _POWER, unit_needed=True)


def read_bytes_per_s(text: str, what: str = "a bandwidth") -> float:
    """Read bytes per second; bits are spelled out.

    >>> read_bytes_per_s("3.35TB/s"), read_bytes_per_s("400Gbit/s")
    (3350000000000.0, 50000000000.0)
    """
    example = "3.35TB/s or 400Gbit/s"
    number, unit = _split(text, what, example)
    bare = re.sub(r"/s$", "", unit)
    if bits := re.fullmatch(r"([kKMGT])(?:bit|bps)", bare):
        return _scaled(f"{number!r}{bits[1]}B", what, example, _BYTES) / 8
    if not unit.endswith("/s") or re.fullmatch(r"[kKMGT]b", bare):
        raise InputError(f"'{text}' is not {what}; write for example {example}.")
    return _scaled(f"{number!r}{bare}", what, example, _BYTES, unit_needed=True)


def read_number(text: str, what: str = "a number", example: str = "1.5", *, least: float, most: float) -> float:
    """Read a number without a unit, from `least` to `most`.

    >>> read_number("1.5", least=1, most=24)
    1.5
    """
    number, unit = _split(text, what, example)
    if unit or not least <= number <= most:
        said = f"it must lie between {least:g} and {most:g}" if not unit else f"it has no unit; write {example}"
        raise InputError(f"'{text}' is not {what}: {said}.")
    return number


def read_fraction(text: str, what: str = "a fraction", *, least: float = 0.0) -> float:
    """Read a fraction from `least` to 1, or a percentage.

    >>> read_fraction("40%")
    0.4
    """
    number, unit = _split(text, what, "0.4 or 40%")
    if unit not in ("", "%"):
        raise InputError(f"'{text}' is not {what}; write for example 0.4 or 40%.")
    value = number / 100 if unit else number
    if not least <= value <= 1:
        raise InputError(f"'{text}' is not {what}: it must lie between {least:g} and 1 ({100 * least:g}% and 100%).")
    return value


def read_flops(text: str, what: str = "an amount of compute") -> float:
    """Read a FLOP count: `1e22`, `10 ZFLOP`, `3 PF-days`."""
    number, unit = _split(text, what, "1e22, 10ZFLOP or 3PF-days")
    if re.fullmatch(r"pf(?:lop)?-?days?", unit, flags=re.IGNORECASE):
        unit, number = "", number * 1e15 * DAY
    prefix = re.sub(r"flops?$", "", unit, flags=re.IGNORECASE).lower()
    return _scaled(f"{number!r}{prefix}", what, "1e22, 10ZFLOP or 3PF-days", _FLOPS, least=1e6, most=MOST_FLOPS)


def read_accelerators(text: str) -> tuple[str, int | None]:
    """Split `h100-sxm:64` or `64xh100` into the name as typed and the count (None where none is given)."""
    if match := re.fullmatch(r"\s*(\d[\d_,]*)\s*[x×]\s*(\S.*?)\s*", text):
        count, name = match[1], match[2]
    elif match := re.fullmatch(r"\s*(.+?)\s*:\s*([^:]*)", text):
        name, count = match[1], match[2].strip()
    else:
        return text.strip(), None
    try:
        return name, read_whole(count, "a number of accelerators", "64")
    except InputError as error:
        raise InputError(f"'{text}': {error} Write for example h100-sxm:64.") from None


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{round(value):,}"
    value = float(f"{value:.{digits - 1}e}")  # rounds 0.9996 up to 1.00 before its digits are counted
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, places) if places else round(value)
    return f"{rounded:,.{places}f}" if places else f"{rounded:,}"


def _prefixed(value: float, steps: tuple[tuple[float, str], ...], digits: int, gap: str = "") -> str:
    for size, name in steps:
        if abs(value) >= size * (1 - 0.5 * 10**-digits):
            return f"{_significant(value / size, digits)}{gap}{name}"
    return f"{_significant(value, digits)}{gap}{steps[-1][1] if steps[-1][0] == 1 else ''}"


def show_count(value: float, digits: int = 3) -> str:
    """Print a count of parameters, tokens or items.

    >>> show_count(8_030_261_248)
    '8.03B'
    """
    return _prefixed(value, ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1, "")), digits)


def show_usd(value: float) -> str:
    """Print dollars: cents below 100, whole dollars below a million, then M and B.

    >>> show_usd(49_812.3), show_usd(2.5), show_usd(1_254_000)
    ('$49,812', '$2.50', '$1.25M')
    """
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size < 0.01 and size:
        return f"{sign}${_significant(size, 2)}"
    if size < 100:
        return f"{sign}${size:,.2f}"
    if size < 999_999.5:
        return f"{sign}${size:,.0f}"
    return f"{sign}${_prefixed(size, ((1e12, 'T'), (1e9, 'B'), (1e6, 'M')), 3)}"


def show_duration(value_s: float, digits: int = 3) -> str:
    """Print seconds as the unit a person would say.

    >>> show_duration(0.0123), show_duration(2.5 * DAY)
    ('12.3 ms', '2.5 days')
    """
    steps = ((2 * YEAR, YEAR, "years"), (2 * DAY, DAY, "days"), (2 * HOUR, HOUR, "hours"), (120.0, 60.0, "min"))
    for least, size, name in steps:
        if value_s >= least:
            return f"{_trim(_significant(value_s / size, digits))} {name}"
    return _prefixed(value_s, ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")), digits, " ")


def show_bytes(value: float, digits: int = 3) -> str:
    """Print bytes in binary units, the ones in which accelerators count their memory.

    >>> show_bytes(85_899_345_920)
    '80.0 GiB'
    """
    steps = ((2.0**50, "PiB"), (2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1, "B"))
    return _prefixed(value, steps, digits, " ")


def show_flops(value: float, digits: int = 3) -> str:
    """Print a FLOP count in scientific notation with the prefix a person would say.

    >>> show_flops(1.2e24)
    '1.20 YFLOP'
    """
    steps = ((1e24, "YFLOP"), (1e21, "ZFLOP"), (1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
    return _prefixed(value, (*steps, (1e6, "MFLOP"), (1e3, "kFLOP"), (1, "FLOP")), digits, " ")


def show_rate(value: float, unit: str, digits: int = 3) -> str:
    """Print a rate with a decimal prefix: `show_rate(9.89e14, "FLOP/s")` is `989 TFLOP/s`."""
    steps = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
    return f"{_prefixed(value, steps, digits, ' ')}{unit}"


def show_percent(value: float, digits: int = 3) -> str:
    """Print a fraction as a percentage.

    >>> show_percent(0.4012)
    '40.1 %'
    """
    return f"{_trim(_significant(value * 100, digits))} %"


def show(value: float, unit: str) -> str:
    """Print a number in the base unit `unit`, in the unit a person would say.

    Known units: s, usd, bytes, flops, tokens, params, flops_per_s, bytes_per_s, tokens_per_s, w, wh, fraction, usd_per_*,
    count, nats; any other unit is printed behind three significant digits.
    """
    if unit == "s":
        return show_duration(value)
    if unit == "usd":
        return show_usd(value)
    if unit.startswith("usd_per_"):
        return f"{show_usd(value)}/{unit.removeprefix('usd_per_').replace('_', ' ')}"
    if unit == "bytes":
        return show_bytes(value)
    if unit == "flops":
        return show_flops(value)
    if unit == "flops_per_s":
        return show_rate(value, "FLOP/s")
    if unit == "bytes_per_s":
        return show_rate(value, "B/s")
    if unit == "tokens_per_s":
        return f"{show_count(value)} tokens/s"
    if unit == "wh":
        return show_rate(value, "Wh")
    if unit == "w":
        return show_rate(value, "W")
    if unit == "fraction":
        return show_percent(value)
    if unit == "nats":
        return _significant(value, 4)
    if unit in ("tokens", "params", "items", "count", ""):
        return show_count(value)
    return f"{_significant(value, 3)} {unit.replace('_', ' ')}"


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
