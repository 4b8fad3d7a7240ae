"""Log-odds of a model.onnx by onnxruntime.

    pip install onnxruntime numpy
    python docs/spec/score_onnx.py model.onnx rows.csv > scored.csv

Nothing of the product is used. An empty cell is missing; so is the text given as a third argument.
"""

import csv
import sys

import numpy as np
import onnxruntime


def main(model, rows, missing=""):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with open(rows, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    feed = {}
    for given in session.get_inputs():
        cells = ["" if line[given.name] == missing else line[given.name] for line in lines]
        if "string" in given.type:
            feed[given.name] = np.array(cells, dtype=object)[:, None]
        else:
            feed[given.name] = np.array([float(c) if c else np.nan for c in cells])[:, None]
    (scores,) = session.run(["log_odds"], feed)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["id", "log_odds"])
    for line, score in zip(lines, scores[:, 0]):
        out.writerow([line["id"], repr(float(score))])


if __name__ == "__main__":
    main(*sys.argv[1:])
