"""Law 2: counts come from exact integer apportionment. Each function against a slow, obvious oracle."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from recipe_compiler.execute.apportion import apportion, apportion_within, temperature, unimax

weights_of = st.lists(st.fractions(min_value=0, max_value=100, max_denominator=97), min_size=1, max_size=12)
sizes_of = st.lists(st.integers(1, 10**7), min_size=1, max_size=12)


@given(st.integers(0, 10**9), weights_of)
@example(1000, [Fraction(1, 3)] * 3)
def test_apportion_is_largest_remainder(total: int, weights: list[Fraction]) -> None:
    whole = sum(weights)
    counts = apportion(total, weights)
    if whole == 0:
        assert counts == [0] * len(weights)
        return
    ideal = [total * weight / whole for weight in weights]
    assert sum(counts) == total
    assert all(int(part) <= count <= int(part) + 1 for part, count in zip(ideal, counts, strict=True))
    # No part that was rounded down has a larger remainder than one that was rounded up.
    up = [part - int(part) for part, count in zip(ideal, counts, strict=True) if count > part]
    down = [part - int(part) for part, count in zip(ideal, counts, strict=True) if count < part]
    assert not up or not down or min(up) >= max(down)


@given(st.integers(0, 500), weights_of, st.data())
def test_apportion_within_limits_gives_what_others_cannot_take(
    total: int, weights: list[Fraction], data: st.DataObject
) -> None:
    limits = data.draw(st.lists(st.integers(0, 80), min_size=len(weights), max_size=len(weights)))
    counts = apportion_within(total, weights, limits)
    reachable = sum(limit for limit, weight in zip(limits, weights, strict=True) if weight > 0)
    assert sum(counts) == min(total, reachable)
    assert all(count <= limit for count, limit in zip(counts, limits, strict=True))
    # Among parts below their limit the ratio count / weight is the same, to within the rounding of one.
    level = max(
        (
            Fraction(count + 1) / weight
            for count, limit, weight in zip(counts, limits, weights, strict=True)
            if weight > 0
        ),
        default=Fraction(0),
    )
    for count, limit, weight in zip(counts, limits, weights, strict=True):
        if weight > 0 and count < limit:
            assert all(
                Fraction(other - 1) / other_weight <= Fraction(count + 1) / weight
                for other, other_weight in zip(counts, weights, strict=True)
                if other_weight > 0
            ), level


@given(st.integers(0, 10**6), sizes_of, st.fractions(min_value=Fraction(1, 4), max_value=20, max_denominator=4))
@example(100, [10, 10, 1000], Fraction(4))
def test_unimax_is_the_paper_s_loop(total: int, sizes: list[int], epochs: Fraction) -> None:
    """Algorithm 1 of arXiv 2304.09151, as written: smallest first, an equal share of what is left, at most N epochs."""
    left, expected = Fraction(total), {}
    order = sorted(range(len(sizes)), key=lambda part: (sizes[part], part))
    while order:
        part = order[0]
        equal = left / len(order)
        expected[part] = min(equal, sizes[part] * epochs)
        left -= expected[part]
        order = order[1:]
    assert unimax(total, sizes, epochs) == [expected[part] for part in range(len(sizes))]


@given(sizes_of, st.fractions(min_value=Fraction(1, 2), max_value=10, max_denominator=10))
@example([1, 2, 3], Fraction(1))
@example([7, 10**7], Fraction(10, 3))
def test_temperature_is_the_power_to_sixty_binary_digits(sizes: list[int], value: Fraction) -> None:
    with localcontext() as context:
        context.prec = 80
        exponent = Decimal(value.denominator) / Decimal(value.numerator)
        expected = [Decimal(size) ** exponent for size in sizes]
        found = [Decimal(weight.numerator) / weight.denominator for weight in temperature(sizes, value)]
        for one, other in zip(found, expected, strict=True):
            assert abs(one - other) <= Decimal(2) ** -60 * max(other, Decimal(1))


@given(sizes_of)
def test_temperature_one_is_proportional(sizes: list[int]) -> None:
    assert apportion(1000, temperature(sizes, Fraction(1))) == apportion(1000, [Fraction(size) for size in sizes])
