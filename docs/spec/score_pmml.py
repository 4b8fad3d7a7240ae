"""Points and reason codes of a PMML 4.4 Scorecard by an evaluator of its own, standard library only.

    python docs/spec/score_pmml.py scorecard.pmml rows.csv > scored.csv

Reads what exporters of the product write and nothing of the product itself: predicates, compound predicates,
sets, ComplexPartialScore, three-valued logic for missing values, reason codes by points below the baseline.
An empty cell is missing; so is the text given as a third argument.
"""

import csv
import math
import sys
import xml.etree.ElementTree as ET

NS = "{http://www.dmg.org/PMML-4_4}"


def items(text):
    """Entries of a PMML array of strings."""
    out, word, quoted, i = [], "", False, 0
    while i < len(text):
        c = text[i]
        if quoted and c == "\\":
            i += 1
            word += text[i]
        elif c == '"':
            if quoted:
                out.append(word)
                word = ""
            quoted = not quoted
        elif quoted:
            word += c
        i += 1
    return out


def holds(node, row):
    """True, False, or None for unknown."""
    tag = node.tag.removeprefix(NS)
    if tag == "True":
        return True
    if tag == "CompoundPredicate":
        parts = [holds(child, row) for child in node]
        want = node.get("booleanOperator")
        if want == "and":
            return False if False in parts else None if None in parts else True
        if want == "or":
            return True if True in parts else None if None in parts else False
        raise ValueError(want)
    value = row[node.get("field")]
    if tag == "SimpleSetPredicate":
        return None if value is None else value in items(node.find(NS + "Array").text)
    if tag != "SimplePredicate":
        raise ValueError(tag)
    operator = node.get("operator")
    if operator == "isMissing":
        return value is None
    if operator == "isNotMissing":
        return value is not None
    if value is None:
        return None
    other = node.get("value")
    if isinstance(value, float):
        other = float(other)
    return {
        "equal": value == other,
        "lessThan": value < other,
        "greaterOrEqual": value >= other,
    }[operator]


def evaluate(node, row):
    tag = node.tag.removeprefix(NS)
    if tag == "Constant":
        return float(node.text)
    if tag == "FieldRef":
        return row[node.get("field")]
    args = [evaluate(child, row) for child in node]
    return {
        "+": lambda: args[0] + args[1],
        "*": lambda: args[0] * args[1],
        "floor": lambda: float(math.floor(args[0])),
    }[node.get("function")]()


def score(card, row):
    total = float(card.get("initialScore"))
    below = []
    for c in card.iter(NS + "Characteristic"):
        for attribute in c.iter(NS + "Attribute"):
            if holds(attribute[0], row) is not True:
                continue
            complex_score = attribute.find(NS + "ComplexPartialScore")
            points = evaluate(complex_score[0], row) if complex_score is not None else float(attribute.get("partialScore"))
            break
        else:
            raise ValueError("no attribute of " + c.get("name"))
        total += points
        below.append((float(c.get("baselineScore")) - points, c.get("reasonCode")))
    below.sort(key=lambda b: -b[0])
    return total, [code for short, code in below if short > 0][:4]


def main(model, rows, missing=""):
    root = ET.parse(model).getroot()
    card = root.find(NS + "Scorecard")
    numeric = {f.get("name") for f in root.iter(NS + "DataField") if f.get("dataType") == "double"}
    fields = [f.get("name") for f in root.iter(NS + "DataField")]
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["id", "points", "reasons"])
    with open(rows, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            cell = lambda f: None if line[f] in ("", missing) else float(line[f]) if f in numeric else line[f]
            total, reasons = score(card, {f: cell(f) for f in fields})
            out.writerow([line["id"], int(total), " ".join(reasons)])


if __name__ == "__main__":
    main(*sys.argv[1:])
