"""The reference's pooled network with more seeds than its five: mean and standard deviation of the AUC.

Needs the reference data with its make_reference.py (PARIPASSU_DATA), and scikit-learn.
Run: python3 docs/spec/pooled_seeds.py polish_bankruptcy_5y 20
"""

import importlib.util
import json
import os
import sys

import numpy as np
import pandas as pd

folder, (name, seeds) = os.environ["PARIPASSU_DATA"], sys.argv[1:3]
sys.argv = ["make_reference.py"]
spec = importlib.util.spec_from_file_location("reference", f"{folder}/make_reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

about = json.load(open(f"{folder}/datasets.json"))[name]
rows = pd.read_csv(f"{folder}/{about['file']}")
test = np.array([reference.is_test(i) for i in rows.id])
train, test = rows[~test], rows[test]
aucs = []
for seed in range(int(seeds)):
    p = reference.m_mlp(train, test, train.y.to_numpy(), about["numeric"], about["categorical"], seed)
    aucs.append(reference.auc_se(test.y.to_numpy(), p)[0])
    print(seed + 1, np.mean(aucs), np.std(aucs, ddof=1) if seed else None)
