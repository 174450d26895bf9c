"""Integers from shares, exactly. Rationals in, largest remainder out, no float anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction

#: Digits of the irrational weights of a temperature: in bits after the point, and in decimal on the way to them.
_ROOT_BITS = 64
_DIGITS = 80
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")


def apportion(total: int, weights: Sequence[Fraction]) -> list[int]:
    """`total` divided by weight: floors, then one more to the largest remainders, ties to the earlier (Hamilton)."""
    whole = sum(weights, Fraction(0))
    if total < 0 or whole <= 0:
        return [0] * len(weights)
    ideal = [total * weight / whole for weight in weights]
    return _round(total, ideal)


def apportion_within(total: int, weights: Sequence[Fraction], limits: Sequence[int]) -> list[int]:
    """The same where no part may pass its limit: what one cannot take is divided among the others by weight.

    Where all limits together are less than `total`, every part is at its limit.
    """
    ideal = [Fraction(0)] * len(weights)
    open_parts = [part for part, weight in enumerate(weights) if weight > 0]
    left = Fraction(total)
    while open_parts:
        whole = sum((weights[part] for part in open_parts), Fraction(0))
        full = [part for part in open_parts if left * weights[part] / whole >= limits[part]]
        if not full:
            for part in open_parts:
                ideal[part] = left * weights[part] / whole
            break
        for part in full:
            ideal[part] = Fraction(limits[part])
        left -= sum(limits[part] for part in full)
        open_parts = [part for part in open_parts if part not in set(full)]
    return _round(int(sum(ideal, Fraction(0))), ideal)


def _round(total: int, ideal: Sequence[Fraction]) -> list[int]:
    floors = [part.numerator // part.denominator for part in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda part: (floors[part] - ideal[part], part))
    for part in by_remainder[: total - sum(floors)]:
        floors[part] += 1
    return floors


def temperature(sizes: Sequence[int], value: Fraction) -> list[Fraction]:
    """`size ** (1 / value)` to 64 binary digits (mBERT, mT5): the same on every machine.

    Whole powers are exact; others go through the logarithm and exponential of `decimal`, which are correctly rounded.
    """
    if value.numerator == 1:
        return [Fraction(size**value.denominator) for size in sizes]
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN)):
        exponent = Decimal(value.denominator) / Decimal(value.numerator)
        powers = [(Decimal(size).ln() * exponent).exp() if size else Decimal(0) for size in sizes]
        return [Fraction(int(power * 2**_ROOT_BITS), 2**_ROOT_BITS) for power in powers]


def half_cosine(part: Fraction) -> Fraction:
    """`(1 - cos(pi * part)) / 2`, rounded to 64 binary digits, for a part from 0 to 1: the same on every machine.

    It is the square of `sin(pi * part / 2)`, whose series is summed in `decimal`, where each step is correctly rounded.
    """
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN)):
        angle = _PI * part.numerator / (2 * part.denominator)
        term = sine = angle
        step = 1
        while abs(term) > Decimal(10) ** -_DIGITS:
            term = -term * angle * angle / (2 * step * (2 * step + 1))
            sine += term
            step += 1
        return Fraction(int((sine * sine * 2**_ROOT_BITS).to_integral_value()), 2**_ROOT_BITS)


def unimax(total: int, sizes: Sequence[int], epochs: Fraction) -> list[Fraction]:
    """UniMax (arXiv 2304.09151, algorithm 1): as equal as can be, no source beyond `epochs` passes, smallest first."""
    shares = [Fraction(0)] * len(sizes)
    left = Fraction(total)
    order = sorted(range(len(sizes)), key=lambda part: (sizes[part], part))
    for done, part in enumerate(order):
        shares[part] = min(left / (len(order) - done), sizes[part] * epochs)
        left -= shares[part]
    return shares
