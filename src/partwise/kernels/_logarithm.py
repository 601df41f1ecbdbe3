"""A natural logarithm that the compiler can vectorize, which that of the C library is not."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["log"]

MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
EXPONENT_OF_ONE = np.int64(0x3FF0000000000000)
# Bits of the number halfway, in its logarithm, between 1 and 2.
HALFWAY = np.int64(0x3FF6A09E667F3BCD)
LOG_2_HIGH, LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@compiled(inline="always", error_model="numpy", fastmath={"contract", "nsz"})
def log(x):  # type: ignore[no-untyped-def]
    """Return log(x) of a normal float64 x > 0, to about one unit in the last place.

    With x = 2^e m, √½ ≤ m < √2 and s = (m − 1) / (m + 1), log m = 2 artanh s = s (f² / 2 + R)
    away from f = m − 1 to first order, R a polynomial in s². Subnormal numbers and zero are
    not treated: the smallest normal number takes their place.
    """
    bits = np.float64(max(x, 2.2250738585072014e-308)).view(np.int64)
    above = (bits & MANTISSA | EXPONENT_OF_ONE) >= HALFWAY
    e = (bits >> 52) - 1023 + (1 if above else 0)
    m = np.int64(bits - (e << 52)).view(np.float64)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    tail = 1.818357216161805012e-01 + z * tail
    tail = 2.222219843214978396e-01 + z * tail
    tail = 2.857142874366239149e-01 + z * tail
    tail = 3.999999999940941908e-01 + z * tail
    tail = 6.666666666666735130e-01 + z * tail
    half = 0.5 * f * f
    return e * LOG_2_HIGH - ((half - (s * (half + z * tail) + e * LOG_2_LOW)) - f)
