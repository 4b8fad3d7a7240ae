"""Samples of the discrete Gaussian by a second implementation, in exact fractions, for crypto/src/dp/vectors.in.

The algorithms of Canonne, Kamath and Steinke (2020) with a fixed stream of 64-bit words (SplitMix64, seeded with
the variance). A number below m is made of as many words as it needs, lowest first, cut to its bits, and drawn again
where it is m or more. Run: python3 docs/spec/dp_vectors.py > crypto/src/dp/vectors.in
"""

from fractions import Fraction
from math import isqrt

M = 2**64


class Words:
    def __init__(self, seed):
        self.s = seed

    def __call__(self):
        self.s = (self.s + 0x9E3779B97F4A7C15) % M
        z = self.s
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % M
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % M
        return z ^ (z >> 31)


def below(m, words):
    bits = (m - 1).bit_length()
    if bits == 0:
        return 0
    while True:
        n = sum(words() << (64 * i) for i in range(-(-bits // 64))) % (1 << bits)
        if n < m:
            return n


def exp_small(num, den, words):
    k = 1
    while below(den * k, words) < num:
        k += 1
    return k % 2 == 1


def exp_any(num, den, words):
    for _ in range(num // den):
        if not exp_small(1, 1, words):
            return False
    return exp_small(num % den, den, words)


def laplace(t, words):
    while True:
        negative = below(2, words) == 0
        u = below(t, words)
        while not exp_small(u, t, words):
            u = below(t, words)
        v = 0
        while exp_small(1, 1, words):
            v += 1
        x = u + t * v
        if negative and x == 0:
            continue
        return -x if negative else x


def gauss(variance, words):
    t = isqrt(variance) + 1
    while True:
        y = laplace(t, words)
        gamma = (abs(y) - Fraction(variance, t)) ** 2 / (2 * variance)
        # in the denominator that the other implementation has, so that the same words are used
        den = 2 * variance * t * t
        if exp_any(int(gamma * den), den, words):
            return y


rows = []
for variance in (1, 3, 100, 2**20, 2**32 + 5, 2**52):
    words = Words(variance)
    rows.append(f"    ({variance}, {[gauss(variance, words) for _ in range(8)]}),")
print("[\n" + "\n".join(rows) + "\n]")
