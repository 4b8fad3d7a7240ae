#!/usr/bin/env python3
"""Splits three public data sets into a bank's file and a partner's file, and one of them into the files of
five banks that hold the same columns. Standard library only.

    python make_examples.py --german german_credit.csv --lending-club lending_club.csv \
                            --taiwan UCI_Credit_Card.csv [--out DIR]

The inputs are named, with checksums, in the README of each folder. The output is the same bytes
every time: rows are ordered by a hash of party and id, and which party lacks which customer is
decided by a hash of the id. CHECKSUMS lists the SHA-256 of every file written.
"""
import argparse, csv, gzip, hashlib, io, os

SETS = {
    "german_credit": dict(
        label="y", part=None,
        bank=["status_of_existing_checking_account", "duration_in_month", "purpose", "credit_amount",
              "savings_account_and_bonds", "installment_rate_in_percentage_of_disposable_income",
              "other_debtors_or_guarantors", "number_of_existing_credits_at_this_bank"],
        partner=["present_residence_since", "age_in_years",
                 "number_of_people_being_liable_to_provide_maintenance_for", "credit_history",
                 "present_employment_since", "personal_status_and_sex", "property",
                 "other_installment_plans", "housing", "job", "telephone", "foreign_worker"]),
    "lending_club": dict(
        label="y", part=20,
        bank=["funded_amnt", "annual_inc", "term", "verification_status", "emp_length"],
        partner=["delinq_2yrs", "inq_last_6mths", "revol_util", "acc_now_delinq", "open_il_6m",
                 "open_il_12m", "open_il_24m", "total_bal_il", "all_util", "inq_fi", "inq_last_12m",
                 "delinq_amnt", "num_il_tl", "total_il_high_credit_limit"]),
    "taiwan_6000": dict(
        label="default", part=10, bank=["EDUCATION", "MARRIAGE", "BILL_AMT1"], partner=["LIMIT_BAL"]),
}


# Five lenders of different size with the same columns: thousandths of the customers, by a hash of the id.
BANKS = dict(
    name="lending_club_banks",
    columns=["funded_amnt", "annual_inc", "inq_last_6mths", "revol_util", "all_util", "inq_last_12m",
             "term", "verification_status"],
    shares={"north": 400, "east": 250, "south": 150, "west": 120, "isle": 80})


def word(*parts):
    return int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest()[:8], "big")


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    for k, row in enumerate(rows, 1):
        row.setdefault("id", str(k))
    return rows


def whole(text):
    """400000.0 -> 400000"""
    return text[:-2] if text.endswith(".0") else text


def write(folder, path, data):
    with open(os.path.join(folder, path), "wb") as f:
        f.write(data)
    print(path, data.count(b"\n") - 1, "rows", len(data), "bytes")
    return f"{hashlib.sha256(data).hexdigest()}  {path}\n"


def bank_of(customer):
    place = word("bank", BANKS["name"], customer) % 1000
    for bank, share in BANKS["shares"].items():
        if place < share:
            return bank
        place -= share


def text_of(header, rows):
    out = io.StringIO(newline="")
    w = csv.writer(out, lineterminator="\n")
    w.writerow(header)
    w.writerows(rows)
    return out.getvalue().encode()


def main():
    a = argparse.ArgumentParser()
    for name in ("german", "lending-club", "taiwan"):
        a.add_argument("--" + name, required=True)
    a.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    a = a.parse_args()
    sums = []
    for name, source in (("german_credit", a.german), ("lending_club", a.lending_club), ("taiwan_6000", a.taiwan)):
        s, rows = SETS[name], read(source)
        os.makedirs(os.path.join(a.out, name), exist_ok=True)
        for party, other in (("bank", 1), ("partner", 0)):
            # Of every `part` customers one is the bank's alone (0) and one the partner's (1).
            own = [r for r in rows if not s["part"] or word("overlap", name, r["id"]) % s["part"] != other]
            own.sort(key=lambda r: word("order", name, party, r["id"]))
            label = [s["label"]] if party == "bank" else []
            data = text_of(["id"] + s[party] + ["y"] * len(label),
                           ([r["id"]] + [whole(r[c]) for c in s[party] + label] for r in own))
            sums.append(write(a.out, f"{name}/{party}.csv", data))
    name, rows = BANKS["name"], read(a.lending_club)
    os.makedirs(os.path.join(a.out, name), exist_ok=True)
    for bank in BANKS["shares"]:
        own = sorted((r for r in rows if bank_of(r["id"]) == bank), key=lambda r: word("order", name, r["id"]))
        data = text_of(["id"] + BANKS["columns"] + ["y"],
                       ([r["id"]] + [whole(r[c]) for c in BANKS["columns"] + ["y"]] for r in own))
        sums.append(write(a.out, f"{name}/{bank}.csv", data))
    with open(os.path.join(a.out, "CHECKSUMS"), "w", newline="\n") as f:
        f.writelines(sums)


if __name__ == "__main__":
    main()
