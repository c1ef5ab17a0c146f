"""Amounts of memory as people write them: `512M`, `2G`.

The suffixes are JupyterHub's (`jupyterhub.traitlets.ByteSpecification`): powers of 1024.
"""

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)", re.ASCII)


def parse_memory(text: str | int) -> int:
    """Bytes in `text`, such as `"1.5G"`; an integer is already bytes.

    Raises ValueError for anything else.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _AMOUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory such as 512M or 2G")
    number, unit = match.groups()
    return int(float(number) * _UNITS[unit])


def format_memory(amount: int) -> str:
    """`amount` bytes in the largest unit that writes it exactly: 1536 MiB is `1536M`."""
    for unit in ("T", "G", "M", "K"):
        if amount >= _UNITS[unit] and amount % _UNITS[unit] == 0:
            return f"{amount // _UNITS[unit]}{unit}"
    return str(amount)


def say_amount(amount: int) -> str:
    """`amount` bytes for people, in the same units, to two digits at least: "1.5 GB"."""
    for unit in ("T", "G", "M", "K"):
        if amount >= _UNITS[unit]:
            value = amount / _UNITS[unit]
            digits = 1 if value < 10 and round(value, 1) % 1 else 0
            return f"{value:.{digits}f} {unit}B"
    return "1 byte" if amount == 1 else f"{amount} bytes"


def say_time(seconds: int) -> str:
    """`seconds` for people, exactly: "1 hour", "59 minutes", "61 seconds"."""
    for unit, length in (("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % length == 0 and seconds >= length:
            count = seconds // length
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "0 seconds"
