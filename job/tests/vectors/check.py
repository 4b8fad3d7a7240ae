"""Checks contract.json with an independent writer of canonical JSON and writes its digest.

Run in this folder after `cargo run -p paripassu-job --example contract > contract.json`.
"""

import hashlib
import json


def utf16(text):
    return text.encode("utf-16-be")


def canonical(value):
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: utf16(member[0]))
        return "{" + ",".join(canonical(k) + ":" + canonical(v) for k, v in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    assert not isinstance(value, float), "floats are carried as text"
    return json.dumps(value, ensure_ascii=False)


text = open("contract.json", encoding="utf-8").read().rstrip("\n")
assert canonical(json.loads(text)) == text, "not canonical"
digest = hashlib.sha256(text.encode()).hexdigest()
open("contract.sha256", "w", encoding="utf-8").write(digest + "\n")
print(digest)
