"""Bandwidths: bytes per second, bits only where they are spelled out."""

import pytest

from flopwise.estimators.errors import InputError
from flopwise.estimators.units import read_bytes_per_s


@pytest.mark.parametrize(
    ("text", "value"),
    [("3.35TB/s", 3.35e12), ("450 GB/s", 450e9), ("1GiB/s", 2**30), ("400Gbit/s", 50e9), ("400 Gbps", 50e9)],
)
def test_a_bandwidth_is_read(text, value):
    assert read_bytes_per_s(text) == value


@pytest.mark.parametrize("text", ["400Gb/s", "400Gb", "3.35TB", "3.35", "fast", "-1GB/s", "0GB/s", "1XB/s"])
def test_a_bandwidth_that_could_mean_two_things_is_refused(text):
    with pytest.raises(InputError):
        read_bytes_per_s(text)
