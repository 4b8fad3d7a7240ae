"""The table of crypto/src/dp/accountant.rs by Google's dp-accounting (pip install dp-accounting==0.6.0).

Run: python3 docs/spec/dp_accounting.py
"""

from dp_accounting import (
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
    rdp,
)

CASES = [
    (0.01, 1.1, 10000, 1e-5), (256 / 60000, 1.1, 14063, 1e-5), (0.01, 0.7, 1000, 1e-5), (0.1, 2.0, 100, 1e-6),
    (1.0, 10.0, 100, 1e-6), (0.02, 1.3, 500, 1e-6), (0.2, 4.0, 300, 1e-5), (0.001, 1.0, 20000, 1e-6),
    (1.0, 1.0, 1, 1e-5), (0.05, 5.0, 50, 1e-8), (0.5, 8.0, 60, 1e-6),
    (0.01, 0.3, 10, 1e-5), (0.02, 0.5, 100, 1e-5), (0.005, 0.6, 3000, 1e-6), (0.05, 0.8, 200, 1e-5), (0.01, 0.9, 5000, 1e-6),
    (0.3, 0.7, 20, 1e-6),
]

for q, sigma, steps, delta in CASES:
    event = GaussianDpEvent(sigma)
    if q < 1:
        event = PoissonSampledDpEvent(q, event)
    found = []
    for accountant in (rdp.RdpAccountant(list(range(2, 257))), rdp.RdpAccountant()):
        accountant.compose(SelfComposedDpEvent(event, steps))
        found.append(accountant.get_epsilon(delta))
    print(q, sigma, steps, delta, *found)
