"""Values that `model/tests/validation.rs` expects, made by scikit-learn, scipy and pandas.

    pip install scikit-learn scipy pandas
    python docs/spec/validation_figures.py > model/tests/validation_expected.json

Nothing of the product is used: AUC, log loss, Brier and calibration are scikit-learn's, KS and tails of
distributions scipy's, bands pandas', DeLong's variance is the paper's pairwise kernel.
"""

import json
import sys

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def kernel(p, y):
    """DeLong's structural components by the pairwise kernel."""
    bad, good = p[y == 1], p[y == 0]
    psi = (bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :])
    return psi.mean(axis=1), psi.mean(axis=0)


def variance(v):
    return v.var(ddof=1) / len(v) if len(v) > 1 else 0.0


def delong(p, q, y):
    """AUC difference, its standard error, p value."""
    (pb, pg), (qb, qg) = kernel(p, y), kernel(q, y)
    delta = pb.mean() - qb.mean()
    se = np.sqrt(variance(pb - qb) + variance(pg - qg))
    value = 2 * stats.norm.sf(abs(delta / se)) if se > 0 else 1.0
    return [delta, se, value]


def top_bads(p, y, n):
    """Expected bads among the n highest, ties broken by chance."""
    before = stats.rankdata(-p, method="min") - 1
    upto = stats.rankdata(-p, method="max")
    return float((np.clip((n - before) / (upto - before), 0, 1) * y).sum())


def bands(p, y, k, worst_first):
    """Population bands that are cut where k/bands of the rows is first reached, ties together."""
    frame = pd.DataFrame({"p": p, "y": y}).groupby("p").agg(rows=("y", "size"), bads=("y", "sum")).reset_index()
    frame = frame.sort_values("p", ascending=not worst_first)
    frame["due"] = frame.rows.cumsum() * k // len(p)
    # a run belongs to the band that is open before it
    frame["band"] = (frame.due > frame.due.shift(fill_value=0)).shift(fill_value=False).cumsum()
    frame["sum"] = frame.p * frame.rows
    return frame.groupby("band").agg(rows=("rows", "sum"), bads=("bads", "sum"), sum=("sum", "sum"), low=("p", "min"), high=("p", "max"))


def hosmer_lemeshow(p, y):
    b = bands(p, y, 10, False)
    if len(b) < 3:
        return None
    chi = float(((b.bads - b["sum"]) ** 2 / (b["sum"] * (1 - b["sum"] / b.rows))).sum())
    return [len(b), chi, float(stats.chi2.sf(chi, len(b))), float(stats.chi2.sf(chi, len(b) - 2))]


def recalibration(p, y):
    z = np.log(p / (1 - p))
    if len(set(z)) == 1:
        return None
    bad, good = z[y == 1], z[y == 0]
    if bad.min() >= good.max() or good.min() >= bad.max():
        return None
    fit = LogisticRegression(penalty=None, solver="newton-cholesky", tol=1e-15, max_iter=1000).fit(z[:, None], y)
    a, b = fit.intercept_[0], fit.coef_[0, 0]
    w = 1 / (1 + np.exp(-(a + b * z)))
    w *= 1 - w
    x = np.column_stack([np.ones_like(z), z])
    cov = np.linalg.inv(x.T @ (x * w[:, None]))
    from scipy.optimize import brentq

    large = brentq(lambda c: (1 / (1 + np.exp(-(z + c)))).sum() - y.sum(), -60, 60, xtol=1e-14)
    return [a, np.sqrt(cov[0, 0]), b, np.sqrt(cov[1, 1]), large]


def mixed(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def splitmix(seed, resample, n):
    state = mixed((seed + GOLDEN * (resample + 1)) & MASK)
    rows = []
    for _ in range(n):
        state = (state + GOLDEN) & MASK
        rows.append(mixed(state) * n >> 64)
    return np.array(rows)


def figures(p, y):
    ks = stats.ks_2samp(p[y == 1], p[y == 0]).statistic
    worst = top_bads(p, y, len(p) // 10) / y.sum()
    return np.array([roc_auc_score(y, p), ks, log_loss(y, p, labels=[0, 1]), brier_score_loss(y, p), worst])


def interval(value, seen):
    return [value, seen.std(ddof=1), *np.quantile(seen, [0.025, 0.975])]


def bootstrap(p, q, y, resamples, seed):
    own, delta = [], []
    for r in range(resamples):
        rows = splitmix(seed, r, len(y))
        if 0 < y[rows].sum() < len(y):
            a, b = figures(p[rows], y[rows]), figures(q[rows], y[rows])
            own.append(a)
            delta.append(a - b)
    own, delta = np.array(own), np.array(delta)
    at, other = figures(p, y), figures(q, y)
    return {
        "resamples": len(own),
        "model": [interval(at[k], own[:, k]) for k in range(5)],
        "delta": [interval(at[k] - other[k], delta[:, k]) for k in range(5)],
    }


def psi(expected, actual):
    e, a = np.array(expected, float), np.array(actual, float)
    one = (e == 0) != (a == 0)
    es, as_ = (e + 0.5 * one) / e.sum(), (a + 0.5 * one) / a.sum()
    keep = ~((e == 0) & (a == 0))
    return float(((as_ - es)[keep] * np.log(as_[keep] / es[keep])).sum())


def case(name, p, q, y, tops, resamples):
    p, q, y = np.round(np.array(p, float), 12), np.round(np.array(q, float), 12), np.array(y)
    bad, good = kernel(p, y)
    auc = roc_auc_score(y, p)
    gains = bands(p, y, 10, True)
    ece = bands(p, y, 10, False)
    out = {
        "name": name,
        "labels": y.tolist(),
        "pd": p.tolist(),
        "other": q.tolist(),
        "auc": auc,
        "auc_se": float(np.sqrt(variance(bad) + variance(good))),
        "ks": stats.ks_2samp(p[y == 1], p[y == 0]).statistic,
        "gini": 2 * auc - 1,
        "log_loss": log_loss(y, p),
        "brier": brier_score_loss(y, p),
        "delong": delong(p, q, y),
        "hosmer_lemeshow": hosmer_lemeshow(p, y),
        "recalibration": recalibration(p, y),
        "ece": float((ece.rows * (ece.bads / ece.rows - ece["sum"] / ece.rows).abs()).sum() / len(p)),
        "top": [[n, top_bads(p, y, n)] for n in tops],
        "gains": gains[["rows", "bads", "low", "high"]].values.tolist(),
        "bootstrap": bootstrap(p, q, y, resamples, 7),
    }
    return out


def main():
    rng = np.random.default_rng(186)
    cases = []

    def labels(p):
        return (rng.random(len(p)) < p).astype(int)

    p = rng.beta(1.2, 4, 400)
    y = labels(p)
    q = np.clip(p + rng.normal(0, 0.15, 400), 0.001, 0.999)
    cases.append(case("continuous", p, q, y, [1, 17, 40, 399], 60))
    p = rng.choice([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8], 300)
    y = labels(p)
    q = rng.choice([0.1, 0.2, 0.3], 300)
    cases.append(case("seven levels", p, q, y, [3, 30, 77, 300], 60))
    p = np.round(rng.random(200), 1).clip(0.05, 0.95)
    y = np.zeros(200, int)
    y[[3, 90, 155]] = 1
    cases.append(case("three bads", p, rng.random(200).clip(0.01, 0.99), y, [1, 20, 60], 60))
    y = np.zeros(50, int)
    y[7] = 1
    p = rng.random(50).round(2).clip(0.01, 0.99)
    cases.append(case("one bad", p, p[::-1], y, [5, 25], 60))
    y = np.ones(50, int)
    y[[7, 9]] = 0
    cases.append(case("two goods", p, p[::-1], y, [5, 25], 60))
    y = np.array([0, 1] * 20)
    cases.append(case("all alike", np.full(40, 0.3), np.full(40, 0.5), y, [4, 13], 20))
    y = np.array([0] * 30 + [1] * 10)
    p = np.concatenate([np.linspace(0.05, 0.4, 30), np.linspace(0.5, 0.9, 10)])
    cases.append(case("separated", p, p[::-1], y, [5, 12], 20))
    before, after = rng.normal(0, 1, 500).round(1), rng.normal(0.3, 1.2, 350).round(1)
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    count = lambda v: np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1)
    bins = [[[10, 0, 30], [5, 8, 0]], [[0, 0, 4], [0, 3, 9]], [[1], [7]], [[5, 5], [0, 1]]]
    stability = {
        "before": before.tolist(),
        "after": after.tolist(),
        "index": psi(count(before), count(after)),
        "bins": [[e, a, psi(e, a)] for e, a in bins],
    }
    json.dump({"cases": cases, "stability": stability}, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
