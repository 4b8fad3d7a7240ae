#!/usr/bin/env python3
"""A second verifier of paripassu bundles, written from transcript.md.

    verify.py BUNDLE [--trust trust.toml] [--model FILE]...
    verify.py --many LIST        one such command line a line, arguments separated by tabs; prints for each the
                                 exit code, the bundle, and where the first check that failed found something

Needs Python 3.11 and the package `cryptography`. Exit codes are those of transcript.md.
"""

import base64
import datetime
import hashlib
import json
import math
import os
import re
import struct
import sys
import time
import tomllib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ZEROS = "0" * 64
HEX64 = re.compile(r"[0-9a-f]{64}\Z")
ORIGIN = re.compile(r"paripassu/(party|coordinator|helper)/[a-z0-9][a-z0-9-]{0,31}\Z")
JOB = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
ROLE = re.compile(r"(helper|coordinator|node|party-(0|[1-9][0-9]{0,2}))\Z")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")


class Unreadable(Exception):
    """The file is no bundle, or no trust file."""


class Bad(Exception):
    """Something inside a bundle is not as it must be."""


def need(holds, why):
    if not holds:
        raise Bad(why)


def sha(data):
    return hashlib.sha256(data).digest()


# ---- canonical JSON (section 2) -------------------------------------------------------------


def no_twins(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a member stands twice")
    return dict(pairs)


def load_json(text):
    def refuse(token):
        raise ValueError("a number that is not whole: " + token)

    return json.loads(text, object_pairs_hook=no_twins, parse_float=refuse, parse_constant=refuse)


ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def canonical(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        if abs(value) > 2**53 - 1:
            raise ValueError("a number beyond 2^53 - 1")
        return str(value)
    if isinstance(value, str):
        value.encode("utf-8")  # refuses lone surrogates
        parts = [ESCAPES.get(c) or ("\\u%04x" % ord(c) if c < " " else c) for c in value]
        return '"' + "".join(parts) + '"'
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"


def read_canonical(text):
    try:
        value = load_json(text)
        again = canonical(value)
    except (ValueError, RecursionError) as e:
        raise Bad("it is not canonical JSON: %s" % e)
    need(again == text, "it is not canonical JSON")
    return value


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def unix(text):
    if not isinstance(text, str) or not TIME.match(text):
        return None
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
    seconds = int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())
    return seconds if seconds >= 0 else None


# ---- shapes ---------------------------------------------------------------------------------

DIGEST = "text"


def shaped(value, shape, where):
    """Checks a JSON value against a shape: "text", "count", "bool", [item], {member: shape},
    ("map", item), ("maybe", shape)."""
    if shape == "text":
        need(isinstance(value, str), where + ": text is expected")
    elif shape == "count":
        whole = isinstance(value, int) and not isinstance(value, bool)
        need(whole and 0 <= value < 2**64, where + ": a count is expected")
    elif shape == "bool":
        need(isinstance(value, bool), where + ": true or false is expected")
    elif isinstance(shape, list):
        need(isinstance(value, list), where + ": a list is expected")
        for item in value:
            shaped(item, shape[0], where)
    elif isinstance(shape, dict):
        need(isinstance(value, dict), where + ": an object is expected")
        need(set(value) == set(shape), where + ": members are " + ", ".join(sorted(map(str, value))))
        for name in shape:
            shaped(value[name], shape[name], where + "." + name)
    elif shape[0] == "map":
        need(isinstance(value, dict), where + ": an object is expected")
        for name in value:
            shaped(value[name], shape[1], where)
    elif value is not None:
        shaped(value, shape[1], where)


MAYBE = ("maybe", "text")
FLOW = {"frames": "count", "bytes": "count", "digest": "text", "root": "text"}
FILE = {"name": "text", "sha256": "text", "bytes": "count"}
RULE = {"id": "text", "verdict": "text", "measured": "text"}
PEER = {"peer": "text", "sent": FLOW, "received": FLOW}

BODIES = {
    "job.proposed": dict(contract="text", name="text", purpose="text", submitter="text", parties=["text"], helper="text"),
    "policy.stated": dict(part="count", parts="count", text="text"),
    "policy.evaluated": dict(policy="text", version="count", contract="text", rules=[RULE], verdict="text"),
    "job.approved": dict(party="text", contract="text", statement="text", approver="text", second=MAYBE, ticket=MAYBE, expires=MAYBE),
    "job.rejected": dict(party="text", contract="text", statement="text", approver="text", code="text"),
    "session.opened": dict(peer="text", peer_key="text", tls="text", suite="text", sealed="text", binary="text", build="text", test_mode="bool", contract="text"),
    "data.committed": dict(dataset="text", schema="text", columns="count", rows="count", root="text", grade=MAYBE),
    "align.done": dict(method="text", matched="count"),
    "step.started": dict(step="text", randomness="text"),
    "step.finished": dict(step="text", wall_s="text", cpu_s="text", peers=[PEER]),
    "disclosure": dict(id="text", ordinal="count", shape="text", values="count", to=["text"], step="text"),
    "disclosure.announced": dict(id="text", first="count", last="count", to=["text"]),
    "dp.spent": dict(dataset="text", training="text", evaluation="text", total="text", delta="text", job=["text"], before=["text"]),
    "metrics.reported": dict(report="text", sha256="text", values=("map", "text")),
    "model.committed": dict(files=[FILE]),
    "model.released": dict(what="text", to=["text"]),
    "denied": dict(code="text", subject="text", to=MAYBE),
    "aborted": dict(culprit=MAYBE, step="text", code="text", destroyed="bool", node="count"),
    "run.completed": dict(disclosures="count", steps="count", node="count", wall_s="text"),
    "log.started": dict(version="text", binary="text", size="count"),
    "log.witnessed": dict(log="text", size="count", root="text", outcome="text", code=MAYBE),
    "log.unwitnessed": dict(size="count", missing=["text"], end="bool"),
    "key.rotated": dict(old="text", new="text", **{"from": "text"}),
    "data.erased": dict(what="text", count="count", subject=MAYBE),
    "data.compared": dict(against=MAYBE, alarms=["text"]),
    "incident": dict({"class": "text"}, detail="text"),
    "policy.changed": dict(old=MAYBE, new="text", version="count"),
    "policy.signed": dict(file="text", version="count", signers=["text"]),
}
PRIVATE = {"data.erased", "data.compared", "data.committed", "dp.spent", "metrics.reported", "model.committed", "log.started", "policy.changed", "policy.signed"}
ENDS = {"run.completed", "aborted", "job.rejected"}
WORK = {"data.committed", "align.done", "step.started", "step.finished", "disclosure", "disclosure.announced", "metrics.reported", "model.committed", "model.released", "run.completed"}
CHECK_OF = {
    "step.finished": 5, "job.proposed": 6, "job.approved": 6, "job.rejected": 6, "policy.stated": 7, "policy.evaluated": 7,
    "disclosure": 8, "disclosure.announced": 8, "data.committed": 9, "align.done": 9, "run.completed": 9, "session.opened": 10,
    "step.started": 10, "log.started": 10, "key.rotated": 1, "metrics.reported": 11, "model.committed": 12, "log.witnessed": 4, "log.unwitnessed": 4,
}

OFFERED = {"name": "text", "label": "bool", "numeric": ["text"], "categorical": ["text"]}
MAYBE_COUNT = ("maybe", "count")
POLICY = {
    "format": "text", "version": "count", "party": "text", "approval": "text", "four_eyes": "bool", "ttl_hours": MAYBE_COUNT,
    "min_matched": "count", "max_runs": MAYBE_COUNT, "period_days": "count", "spent": ["text"], "datasets": [OFFERED],
}
OWN_RULE = {"id": "text", "is": "text", "of": "text", "number": "text", "values": ["text"]}
LATER = {"rules": [OWN_RULE], "roles": ["text"], "people": [{"name": "text", "role": "text", "key": "text"}]}
SIGNED = {"statement": "text", "signature": "text", "chain": ["text"]}
EVENT = {"index": "count", "envelope": "text", "body": MAYBE, "proof": ["text"]}
LOG = {
    "origin": "text", "certificates": ["text"], "checkpoint": "text", "events": [EVENT], "node_events": [EVENT],
    "checkpoints": [{"note": "text", "consistency": ["text"]}],
}
BUNDLE = {
    "format": "text", "job": "text", "node": "text", "contract": "text", "submission": SIGNED,
    "approvals": [SIGNED], "logs": [LOG],
    "frames": [{"step": "text", "peer": "text", "direction": "text", "digests": ["text"]}],
    "artifacts": [FILE], "authority": "text",
}
ENVELOPE = {
    "actor": "text", "at": "text", "body": "text", "clock": "text", "event": "text", "job": "text",
    "origin": "text", "prev": "text", "role": "text", "seq": "count",
    "sig": {"alg": "text", "key": "text", "sig": "text"}, "v": "count",
}


def size(text):
    return len(text.encode("utf-8"))


def proof_hashes(proof):
    hashes = [unbase64(text) for text in proof]
    sound = len(proof) <= 64 and all(h is not None and len(h) == 32 for h in hashes)
    return hashes if sound else None


def read_bundle(path):
    """Section 7."""
    try:
        need(os.path.getsize(path) <= 256 << 20, "it is too large")
        with open(path, "rb") as file:
            bundle = load_json(file.read().decode("utf-8"))
        shaped(bundle, BUNDLE, "bundle")
        need(bundle["format"] == "paripassu-bundle/2", "it is of another format")
        need(JOB.match(bundle["job"]), "`job` is no job's id")
        need(ORIGIN.match(bundle["node"]), "`node` is no origin")
        need(size(bundle["contract"]) <= 1 << 20, "the contract is too long")
        need(size(bundle["authority"]) <= 64 << 10, "the authority is too long")
        need(len(bundle["approvals"]) <= 64, "too many approvals")
        for signed in [bundle["submission"]] + bundle["approvals"]:
            texts = [signed["statement"], signed["signature"]] + signed["chain"]
            sound = all(size(text) <= 64 << 10 and unbase64(text) is not None for text in texts)
            need(sound and 1 <= len(signed["chain"]) <= 8, "a signed statement is malformed")
        need(len(bundle["logs"]) <= 64, "too many logs")
        need(sum(len(log["events"]) + len(log["node_events"]) for log in bundle["logs"]) <= 1000000, "too many events")
        origins = [log["origin"] for log in bundle["logs"]]
        need(len(set(origins)) == len(origins), "a log stands twice")
        need(bundle["node"] in origins, "the maker's log is missing")
        for log in bundle["logs"]:
            need(ORIGIN.match(log["origin"]), "an origin is none")
            need(1 <= len(log["certificates"]) <= 16, "1 to 16 certificates are expected")
            need(all(size(c) <= 64 << 10 for c in log["certificates"]), "a certificate is too long")
            notes = [log["checkpoint"]] + [c["note"] for c in log["checkpoints"]]
            need(all(size(note) <= 64 << 10 for note in notes), "a checkpoint is too long")
            proofs = [e["proof"] for e in log["events"] + log["node_events"]] + [c["consistency"] for c in log["checkpoints"]]
            need(all(proof_hashes(proof) is not None for proof in proofs), "a proof is malformed")
            for event in log["events"] + log["node_events"]:
                need(size(event["envelope"]) <= 4096, "an envelope is too long")
                need(event["body"] is None or size(event["body"]) <= 65536, "a body is too long")
        keys = [(f["step"], f["peer"], f["direction"]) for f in bundle["frames"]]
        need(len(set(keys)) == len(keys), "a list of frames stands twice")
        for frames in bundle["frames"]:
            need(frames["direction"] in ("sent", "received"), "a direction is malformed")
            need(all(HEX64.match(d) for d in frames["digests"]), "a frame digest is malformed")
        names = [a["name"] for a in bundle["artifacts"]]
        need(len(set(names)) == len(names), "an artifact stands twice")
        need(all(HEX64.match(a["sha256"]) for a in bundle["artifacts"]), "an artifact's digest is malformed")
        return bundle
    except (OSError, ValueError, RecursionError, Bad) as e:
        raise Unreadable("%s: %s" % (path, e))


# ---- trust file (section 8) ------------------------------------------------------------------


class Trust:
    def __init__(self, path):
        try:
            with open(path, "rb") as file:
                data = tomllib.load(file)
            known = {"authority", "four_eyes", "clock_skew_s", "binaries", "allow_debug_builds", "allow_pruned", "witnesses", "pins", "revoked"}
            need(set(data) <= known, "unknown key " + ", ".join(set(data) - known))
            witnesses = data.get("witnesses", {})
            need(set(witnesses) <= {"quorum", "members", "keys"}, "unknown key in [witnesses]")
            self.authority = data.get("authority")
            if self.authority is not None and "-----BEGIN" not in self.authority:
                with open(os.path.join(os.path.dirname(path), self.authority)) as file:
                    self.authority = file.read()
            self.pins = data.get("pins", {})
            need(self.authority is not None or self.pins, "neither `authority` nor `[pins]`")
            self.quorum = witnesses.get("quorum")
            self.members = witnesses.get("members", True)
            need(self.members or self.quorum is not None, "`members = false` needs a `quorum`")
            self.witnesses = [verifier_key(text) for text in witnesses.get("keys", [])]
            self.binaries = data.get("binaries", [])
            self.allow_debug = data.get("allow_debug_builds", False)
            self.four_eyes = data.get("four_eyes", False)
            self.allow_pruned = data.get("allow_pruned", False)
            self.skew = data.get("clock_skew_s", 300)
            self.revoked = []
            for entry in data.get("revoked", []):
                need(set(entry) == {"key", "from", "reason"}, "a [[revoked]] needs key, from, reason")
                need(unix(entry["from"]) is not None, "`from` is no time")
                self.revoked.append((entry["key"], unix(entry["from"])))
            digests = self.binaries + [k for keys in self.pins.values() for k in keys]
            need(all(HEX64.match(d) for d in digests + [k for k, _ in self.revoked]), "a digest is malformed")
            need(all(ORIGIN.match(origin) for origin in self.pins), "[pins] names no origin")
        except (OSError, ValueError, Bad) as e:
            raise Unreadable("%s: %s" % (path, e))


# ---- certificates and signatures (section 4) -------------------------------------------------


def verifies(key, signature, message):
    try:
        key.verify(signature, message)
        return True
    except InvalidSignature:
        return False


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def person_key(data):
    """A person's key, or None where it is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(data)
    except ValueError:
        return None


def rowed(fields):
    """Section 7.1: a row of fields."""
    return b"".join(struct.pack("<Q", len(field)) + field for field in fields)


def is_word(text):
    plain = all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in text) and text.strip(" ") == text
    return size(text) <= 128 and plain


def scalar(value):
    """Section 7.2: a scalar of the contract as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else "?"


def decimal(text):
    """Section 7.2: a decimal of up to 18 digits on either side of its point, in units of 10^-18."""
    found = re.fullmatch("([0-9]{1,18})(?:[.]([0-9]{1,18}))?", text)
    return int(found[1]) * 10**18 + int((found[2] or "0").ljust(18, "0")) if found else None


class Certificate:
    def __init__(self, certificate):
        self.certificate = certificate
        try:
            self.key = certificate.public_key()
            need(isinstance(self.key, Ed25519PublicKey), "its key is no Ed25519 key")
            spki = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self.digest = sha(spki).hex()
            extensions = certificate.extensions
            try:
                names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                uris = names.get_values_for_type(x509.UniformResourceIdentifier)
            except x509.ExtensionNotFound:
                uris = []
            need(len(uris) <= 1, "it carries more than one URI")
            self.uri = uris[0] if uris else ""
            try:
                self.is_ca = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            except x509.ExtensionNotFound:
                self.is_ca = False
        except ValueError as e:
            raise Bad("it is no usable certificate: %s" % e)
        self.start = int(certificate.not_valid_before_utc.timestamp())
        self.end = int(certificate.not_valid_after_utc.timestamp())

    @staticmethod
    def from_der(data):
        try:
            certificate = x509.load_der_x509_certificate(data)
        except ValueError:
            raise Bad("it is no X.509 certificate")
        return Certificate(certificate)

    @staticmethod
    def from_pem(text):
        match = re.fullmatch(r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----\s*", text)
        need(match, "it is not one PEM certificate")
        data = unbase64("".join(match.group(1).split()))
        need(data is not None, "it is not one PEM certificate")
        return Certificate.from_der(data)

    def valid_at(self, at):
        return self.start <= at <= self.end

    def issued_by(self, authority):
        need(authority.is_ca, "the authority's certificate is none of an authority")
        need(not self.is_ca, "it is the certificate of an authority")
        need(self.certificate.issuer.public_bytes() == authority.certificate.subject.public_bytes(), "it names another issuer")
        need(self.certificate.signature_algorithm_oid.dotted_string == "1.3.101.112", "it is not signed with Ed25519")
        signed = verifies(authority.key, self.certificate.signature, self.certificate.tbs_certificate_bytes)
        need(signed, "it is not signed by the authority")


# ---- Merkle trees (section 5) ----------------------------------------------------------------


def leaf_hash(data):
    return sha(b"\0" + data)


def node_hash(left, right):
    return sha(b"\1" + left + right)


def inclusion_root(leaf, index, tree_size, proof):
    """RFC 9162, 2.1.3.2."""
    need(index < tree_size, "the index is beyond the log")
    fn, sn, r = index, tree_size - 1, leaf
    for p in proof:
        need(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "the proof is too short")
    return r


def check_consistency(first, first_root, second, second_root, proof):
    """RFC 9162, 2.1.4.2."""
    need(first <= second, "the earlier checkpoint is larger")
    if first == 0:
        need(not proof and first_root == sha(b""), "the empty log has another root")
        return
    if first == second:
        need(not proof and first_root == second_root, "one size, two roots")
        return
    path = list(proof)
    need(path, "the proof is too short")
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        need(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and fr == first_root and sr == second_root, "the roots do not follow")


def tree_root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(tree_root(leaves[:k]), tree_root(leaves[k:]))


# ---- notes (section 6) -----------------------------------------------------------------------


def key_id(name, kind, key):
    return sha(name.encode() + b"\n" + bytes([kind]) + key)[:4]


def verifier_key(text):
    parts = text.split("+", 2)
    need(len(parts) == 3, "a verifier key has three parts")
    blob = unbase64(parts[2])
    need(blob and len(blob) == 33 and blob[0] == 4, "a witness key is Ed25519 of type 0x04")
    need(key_id(parts[0], 4, blob[1:]).hex() == parts[1], "a verifier key has another id")
    return parts[0], Ed25519PublicKey.from_public_bytes(blob[1:])


ABSENT, FORGED = "absent", "forged"


class Note:
    def __init__(self, text):
        need(size(text) <= 64 << 10, "the note is too long")
        need(all(c >= " " or c == "\n" for c in text), "the note has control characters")
        head, mark, tail = text.rpartition("\n\n")
        need(mark and tail.endswith("\n"), "not a signed note")
        self.text = head + "\n"
        self.lines = []
        for line in tail[:-1].split("\n"):
            match = re.fullmatch("\u2014 ([^\\s+]+) ([A-Za-z0-9+/=]+)", line)
            blob = unbase64(match.group(2)) if match else None
            need(blob and len(blob) > 4, "a signature line is malformed")
            self.lines.append((match.group(1), blob[:4], blob[4:]))
        need(len(self.lines) <= 64, "too many signatures")
        lines = self.text.split("\n")
        need(len(lines) == 4 and lines[0] and lines[3] == "", "not a checkpoint")
        need(re.fullmatch("0|[1-9][0-9]*", lines[1]) and int(lines[1]) < 2**64, "not a checkpoint")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])
        need(self.root is not None and len(self.root) == 32, "not a checkpoint")

    def line(self, name, kind, key):
        wanted = key_id(name, kind, raw(key))
        found = [sig for n, i, sig in self.lines if n == name and i == wanted]
        if not found:
            return ABSENT
        return found[0] if len(found) == 1 else FORGED

    def signed(self, name, key):
        sig = self.line(name, 1, key)
        return sig not in (ABSENT, FORGED) and verifies(key, sig, self.text.encode())

    def cosigned(self, name, key):
        """The time of a cosignature, or ABSENT, or FORGED."""
        sig = self.line(name, 4, key)
        if sig in (ABSENT, FORGED):
            return sig
        if len(sig) != 72:
            return FORGED
        moment = struct.unpack(">Q", sig[:8])[0]
        message = "cosignature/v1\ntime %d\n%s" % (moment, self.text)
        good = moment < 2**63 and verifies(key, sig[8:], message.encode())
        return moment if good else FORGED


def read_note(text):
    try:
        return Note(text)
    except Bad:
        return None


# ---- events (section 3) ----------------------------------------------------------------------


class Event:
    def __init__(self, part):
        self.part, self.index, self.wrong, self.name = part, part["index"], None, ""
        self.envelope = self.body = None
        self.raw = part["envelope"].encode("utf-8")
        try:
            envelope = read_canonical(part["envelope"])
            shaped(envelope, ENVELOPE, "envelope")
            need(envelope["v"] == 1, "another version")
            digests = (envelope["body"], envelope["prev"], envelope["sig"]["key"])
            need(all(HEX64.match(d) for d in digests), "a digest is malformed")
            need(unix(envelope["at"]) is not None, "`at` is no time")
            need(ORIGIN.match(envelope["origin"]), "`origin` is none")
            need(envelope["job"] == "" or JOB.match(envelope["job"]), "`job` is none")
            role = ROLE.match(envelope["role"])
            need(role and (not role.group(2) or int(role.group(2)) <= 255), "`role` is none")
            for word in (envelope["actor"], envelope["clock"]):
                plain = all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in word)
                need(1 <= size(word) <= 128 and plain, "`actor` or `clock` is none")
            need(envelope["event"] in BODIES, "no such event")
            need(envelope["sig"]["alg"] == "ed25519", "another algorithm")
        except Bad as e:
            self.wrong = str(e)
            return
        self.envelope, self.name, self.at = envelope, envelope["event"], unix(envelope["at"])
        if part["body"] is not None:
            try:
                need(sha(part["body"].encode("utf-8")).hex() == envelope["body"], "the body is another one")
                body = read_canonical(part["body"])
                need(isinstance(body, dict) and isinstance(body.get("salt"), str), "no salt")
                need(re.fullmatch("[0-9a-f]{32}", body.pop("salt")), "no salt")
                shaped(body, BODIES[self.name], self.name)
                self.body = body
            except Bad as e:
                self.wrong = str(e)

    def signed_bytes(self):
        unsigned = {k: v for k, v in self.envelope.items() if k != "sig"}
        return b"paripassu/v1 transcript event\0" + canonical(unsigned).encode("utf-8")


class Log:
    def __init__(self, part, own):
        self.part, self.own, self.origin = part, own, part["origin"]
        self.node = self.origin.split("/")[2]
        self.certificates, self.bad_certificates = [], []
        for pem in part["certificates"]:
            try:
                self.certificates.append(Certificate.from_pem(pem))
            except Bad as e:
                self.bad_certificates.append(str(e))
        self.events = [Event(e) for e in part["events"]]
        self.node_events = [Event(e) for e in part["node_events"]]
        self.earlier = [(read_note(c["note"]), c["consistency"]) for c in part["checkpoints"]]
        self.head = read_note(part["checkpoint"])

    def all_events(self):
        return self.events + self.node_events

    def certificate(self, digest):
        return next((c for c in self.certificates if c.digest == digest), None)

    def has(self, name):
        return any(e.name == name for e in self.events)

    def notes(self):
        return [note for note, _ in self.earlier if note] + ([self.head] if self.head else [])

    def bodies(self, name):
        return [(e, e.body) for e in self.events if e.name == name and e.body is not None]


class Contract:
    """Section 9.0."""

    def __init__(self, text):
        value = read_canonical(text)
        self.value = value
        try:
            need(value["format"] == "paripassu.contract.v1", "another format")
            spec = value["spec"]
            self.job, self.created = value["job"], unix(value["created"])
            self.submitter = value["submitter"]["kind"] + "/" + value["submitter"]["id"]
            self.parties = [party["id"] for party in spec["party"]]
            self.helper = spec["helper"]["id"]
            self.declared = []
            for d in value["disclosures"]:
                kinds = (d["id"], d["shape"]["kind"])
                need(all(isinstance(k, str) for k in kinds), "a disclosure is malformed")
                shaped(d["to"], ["text"], "to")
                shaped(d["at_most"], "count", "at_most")
                self.declared.append((d["id"], d["shape"]["kind"], d["to"], d["at_most"]))
            least = spec.get("align", {}).get("min_matched")
            self.min_matched = least if isinstance(least, int) and not isinstance(least, bool) and least >= 0 else None
            self.aligns = spec.get("horizontal") is None and spec.get("overlap") is None
            self.spare = 0
            if spec.get("horizontal") is not None:
                count, threshold = len(self.parties), spec["horizontal"].get("threshold")
                if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 0:
                    threshold = 2 * count // 3 + 1
                self.spare = max(0, count - max(threshold, count // 2 + 1, 3))
            self.expires = None
            if spec.get("expires") is not None:
                self.expires = unix(spec["expires"] + "T00:00:00Z") + 86400
            outputs = spec.get("outputs", {})
            self.scores_to = (outputs.get("scores") or {}).get("to")
            self.metrics_to = outputs.get("metrics_to", [])
            self.own_coefficients = outputs.get("coefficients") == "own"
            self.standard_errors = outputs.get("standard_errors") is True
            labels = [p["id"] for p in spec["party"] if p.get("role") == "label"]
            shown = (spec.get("scorecard") or {}).get("reasons") is True
            self.reasons_to = labels[0] if shown and labels else None
            rejects = spec.get("reject_inference")
            self.rejects_to = labels[0] if rejects is not None and labels else None
            self.compares_rejects = (rejects or {}).get("compare") is True
            texts = [self.job, self.submitter, self.helper] + self.parties + self.metrics_to
            need(all(isinstance(t, str) for t in texts) and self.created is not None, "a member is malformed")
        except (KeyError, TypeError, AttributeError) as e:
            raise Bad("a member is missing or malformed: %s" % e)

    def members(self):
        return self.parties + [self.helper]


# ---- personal data (section 9.13) ------------------------------------------------------------


def is_email(word):
    word = word.strip("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    name, at, host = word.partition("@")
    domain, dot, top = host.rpartition(".")
    return bool(at and dot and name and domain and re.fullmatch("[A-Za-z]{2,}", top))


def is_identity(body, check):
    total = sum(int(d) * pow(2, i + 1, 11) for i, d in enumerate(reversed(body)))
    return body[6:8] in ("18", "19", "20") and (12 - total % 11) % 11 == check


def luhn(run):
    total = 0
    for i, c in enumerate(reversed(run)):
        d = int(c) * (1 + i % 2)
        total += d - 9 if d > 9 else d
    return total % 10 == 0 and set(run) != {"0"}


def personal(text):
    if len(text) >= 32 and re.fullmatch("[0-9a-f]+", text):
        return False
    if len(text.encode()) == 88 and text.endswith("=="):
        return False
    if any(is_email(word) for word in re.split("[ \t\n\f\r]+", text)):
        return True
    for match in re.finditer("[0-9]+", text):
        run, before, after = match.group(), text[: match.start()][-1:], text[match.end():]
        glue = "[A-Za-z0-9._-]"
        if re.match(glue, before):
            continue
        letter = re.match("[Xx]", after) and not re.match(glue, after[1:2])
        if len(run) == 17 and letter and is_identity(run, 10):
            return True
        if re.match(glue, after):
            continue
        if re.fullmatch("(86)?1[3-9][0-9]{9}", run):
            return True
        if len(run) == 18 and is_identity(run[:17], int(run[17])):
            return True
        if 13 <= len(run) <= 19 and luhn(run):
            return True
    return False


def scan(value):
    if isinstance(value, str):
        return personal(value)
    if isinstance(value, list):
        return any(scan(item) for item in value)
    if isinstance(value, dict):
        return any(personal(name) or scan(member) for name, member in value.items())
    return False


# ---- privacy spent (section 9.9) -------------------------------------------------------------

ORDERS = [i / 10 for i in range(11, 110)] + [float(i) for i in range(11, 257)]


def digits(text):
    """Digits with at most one point between them, as a number."""
    need(len(text) <= 800 and re.fullmatch("[0-9]+([.][0-9]+)?", text), "a number is none")
    value = float(text)
    need(math.isfinite(value), "a number is none")
    return value


def alike(a, b):
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b)) + 1e-9


def epsilon(curve, delta):
    of = (d + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1) for a, d in curve)
    return max(0.0, min(of))


def one_sum(order, q, sigma):
    """The divergence of a whole order of one sum over rows taken with chance q."""
    if q >= 1:
        return order / (2 * sigma * sigma)
    terms, log_choose = [], 0.0
    for k in range(order + 1):
        power = (order - k) * math.log1p(-q) + k * math.log(q)
        terms.append(log_choose + power + (k * k - k) / (2 * sigma * sigma))
        if k < order:
            log_choose += math.log((order - k) / (k + 1))
    most = max(terms)
    return max(0.0, (most + math.log(math.fsum(math.exp(t - most) for t in terms))) / (order - 1))


def spent_in_all(contract, body):
    """The divergences of all jobs, if an account of privacy is right."""
    spec = contract.value["spec"]["horizontal"]
    privacy, rounds = spec["privacy"], spec["training"]["rounds"]
    q, sigma, evaluation, delta = (float(privacy[n]) for n in ("sampling", "noise", "evaluation_noise", "delta"))
    job, before = ([digits(text) for text in body[n]] for n in ("job", "before"))
    need(len(job) == len(before) == len(ORDERS), "not one number for each order")
    need(alike(digits(body["delta"]), delta), "another delta")
    tested = [(a, a / (2 * evaluation * evaluation)) for a in ORDERS]
    whole = [(k, rounds * one_sum(k, q, sigma)) for k in range(2, 257)]
    for k, training in whole:
        at = ORDERS.index(float(k))
        need(alike(job[at], max(training, tested[at][1])), "`job` is not what so much noise gives")
    for curve in (job, before):
        need(all(b >= a or alike(a, b) for a, b in zip(curve, curve[1:])), "divergences fall")
    need(alike(digits(body["evaluation"]), epsilon(tested, delta)), "`evaluation` is wrong")
    training, most, of_job = digits(body["training"]), epsilon(whole, delta), epsilon(zip(ORDERS, job), delta)
    below = max(training, epsilon(tested, delta))
    need(training <= most or alike(training, most), "`training` is too much")
    need(below <= of_job or alike(below, of_job), "`training` is more than `job` gives")
    total = [a + b for a, b in zip(job, before)]
    need(alike(digits(body["total"]), epsilon(zip(ORDERS, total), delta)), "`total` is not the sum")
    return total


# ---- the fourteen checks (section 9) ---------------------------------------------------------


class Verifier:
    def __init__(self, bundle, trust, files, now):
        self.bundle, self.trust, self.files, self.now = bundle, trust, files, now
        self.findings, self.without = [], None
        self.logs = [Log(part, part["origin"] == bundle["node"]) for part in bundle["logs"]]
        self.digest = sha(bundle["contract"].encode("utf-8"))
        self.contract = self.contract_error = None
        try:
            self.contract = Contract(bundle["contract"])
        except Bad as e:
            self.contract_error = str(e)
        self.skew = trust.skew if trust else 300
        self.pruned = bool(trust and trust.allow_pruned)
        self.complete = any(log.has("run.completed") for log in self.logs)
        pem = trust.authority if trust else bundle["authority"]
        self.authority, self.authority_error = None, None
        if pem is not None:
            try:
                self.authority = Certificate.from_pem(pem)
            except Bad as e:
                self.authority_error = str(e)

    def find(self, check, place, what):
        self.findings.append((check, place, what))

    def at(self, log, event):
        return "%s #%d %s" % (log.origin, event.index, event.name)

    def is_members(self, log):
        """Whether it is the log of a member, of the kind that its place in the contract asks for."""
        if not self.contract or log.node not in self.contract.members():
            return False
        return (log.node in self.contract.parties) == log.origin.startswith("paripassu/party/")

    def log_of(self, node):
        return next((log for log in self.logs if log.node == node), None)

    def run(self):
        self.signatures()
        self.chains()
        self.merkle()
        self.witnesses()
        self.symmetry()
        self.approvals()
        self.policies()
        self.disclosures()
        self.thresholds()
        self.programs()
        self.results()
        self.personal_data()
        self.clocks()
        return 9 + min(f[0] for f in self.findings) if self.findings else 0

    # 1
    def vouched(self, origin, certificate):
        pins = self.trust.pins.get(origin) if self.trust else None
        need(pins is None or certificate.digest in pins, "its key is not pinned")
        need(certificate.uri == "spiffe://" + origin, "the certificate is for " + certificate.uri)
        if self.authority:
            certificate.issued_by(self.authority)
        else:
            need(not self.authority_error and pins is not None, "nothing vouches for its key")

    def in_force(self, certificate, at):
        if self.trust:
            revoked = any(k == certificate.digest and start <= at for k, start in self.trust.revoked)
            need(not revoked, "its key was revoked")
        valid = certificate.valid_at(at) and (not self.authority or self.authority.valid_at(at))
        need(valid, "its certificate was not valid")

    def counts(self, origin, certificate, at):
        try:
            self.vouched(origin, certificate)
            self.in_force(certificate, at)
            return True
        except Bad:
            return False

    def shared_keys(self):
        owners = {}
        for log in self.logs:
            for certificate in log.certificates:
                if owners.setdefault(certificate.digest, log.node) != log.node:
                    self.find(1, log.origin, "another node has the same key")

    def signatures(self):
        self.shared_keys()
        if self.authority_error:
            self.find(1, "the bundle", "the authority cannot be used: " + self.authority_error)
        for log in self.logs:
            for why in log.bad_certificates:
                self.find(1, log.origin, why)
            for certificate in log.certificates:
                try:
                    self.vouched(log.origin, certificate)
                except Bad as e:
                    self.find(1, log.origin, str(e))
            for event in log.all_events():
                try:
                    self.event_signed(log, event)
                except Bad as e:
                    self.find(1, self.at(log, event), str(e))
                shared = event.name in BODIES and (event.name not in PRIVATE or log.own)
                if shared and event.part["body"] is None and event.name in CHECK_OF and not self.pruned:
                    self.find(CHECK_OF[event.name], self.at(log, event), "its body is not in the bundle")
            self.rotations(log)
            for note in log.notes():
                if not any(note.signed(log.origin, c.key) for c in log.certificates):
                    self.find(1, log.origin, "its checkpoint is not signed by the log")
        for what, signed in [("the submission", self.bundle["submission"])] + [("a decision", a) for a in self.bundle["approvals"]]:
            try:
                _, certificate = self.signer(signed)
                origin = certificate.uri.removeprefix("spiffe://")
                person = self.authority is None and not self.authority_error and origin.startswith("paripassu/user/")
                if not person:
                    self.vouched(origin, certificate)
                at = self.decided_at(signed)
                if at is None and self.contract:
                    at = self.contract.created
                if at is not None:
                    self.in_force(certificate, at)
            except Bad as e:
                self.find(1, "the bundle", what + ": " + str(e))

    def rotations(self, log):
        told = [e for e in log.node_events if e.name == "key.rotated"]
        signed = sorted((e for e in log.all_events() if e.envelope), key=lambda e: e.index)
        for before, after in zip(signed, signed[1:]):
            old, new = before.envelope["sig"]["key"], after.envelope["sig"]["key"]
            fits = [e for e in told if e.body and e.index >= after.index and (e.body["old"], e.body["new"]) == (old, new)]
            if old != new and not fits and all(e.body for e in told):
                self.find(1, self.at(log, after), "the key changed, and the log does not say so")

    def event_signed(self, log, event):
        need(event.envelope is not None, event.wrong)
        sig = event.envelope["sig"]
        certificate = log.certificate(sig["key"])
        need(certificate, "it is signed with a key of which the log has no certificate")
        signature = unbase64(sig["sig"])
        good = signature is not None and len(signature) == 64
        need(good and verifies(certificate.key, signature, event.signed_bytes()), "the signature does not hold")
        self.in_force(certificate, event.at)
        need(event.wrong is None, event.wrong)

    def signer(self, signed):
        certificate = Certificate.from_der(unbase64(signed["chain"][0]))
        statement, signature = unbase64(signed["statement"]), unbase64(signed["signature"])
        good = len(signature) == 64 and verifies(certificate.key, signature, statement)
        need(good, "the signature does not hold")
        return statement, certificate

    def decided_at(self, signed):
        digest = sha(unbase64(signed["statement"])).hex()
        times = [
            e.at for log in self.logs for name in ("job.approved", "job.rejected")
            for e, b in log.bodies(name) if b["statement"] == digest
        ]
        return min(times, default=None)

    # 2
    def chains(self):
        for log in self.logs:
            prev, last = ZEROS, -1
            for place, event in enumerate(log.events):
                wrong = []
                if event.index <= last:
                    wrong.append("its index is not above the one before")
                last = event.index
                if event.envelope:
                    e = event.envelope
                    if e["origin"] != log.origin or e["job"] != self.bundle["job"]:
                        wrong.append("it belongs to another log or job")
                    if e["seq"] != place:
                        wrong.append("event %d stands where %d is due" % (e["seq"], place))
                    if e["prev"] != prev:
                        wrong.append("it does not follow from the event before it")
                prev = sha(event.raw).hex()
                for what in wrong:
                    self.find(2, self.at(log, event), what)
            if log.events:
                self.node_chain(log)
            ended = False
            for event in log.events:
                name = event.envelope["event"] if event.envelope else ""
                if ended and name in WORK and name != "model.released":
                    self.find(2, self.at(log, event), "it stands after the event that ended the job")
                ended = ended or name in ("run.completed", "job.rejected")
            if log.events and not any(log.has(name) for name in ENDS):
                self.find(2, self.at(log, log.events[-1]), "the log stops before any event that ends a job")
        for place, log in enumerate(self.logs):
            if any(other.node == log.node for other in self.logs[:place]):
                self.find(2, log.origin, "another log is of the same node id")
        if not self.contract:
            return
        for member in self.contract.members():
            log = self.log_of(member)
            if not (log and log.events) and self.complete and member not in self.left_out():
                self.find(2, "the bundle", "the log of %s is missing" % member)
        for log in self.logs:
            if log.node in self.contract.members() and not self.is_members(log):
                self.find(2, log.origin, "the contract gives it another place")
            if log.node not in self.contract.members() and not log.origin.startswith("paripassu/coordinator/"):
                self.find(2, log.origin, "its node is no member of the job")

    def node_chain(self, log):
        first, before = log.node_events[0] if log.node_events else None, None
        if not first or first.name != "log.started" or first.index >= log.events[0].index:
            self.find(2, log.origin, "what the node wrote of itself does not begin before the job")
        for event in log.node_events:
            e = event.envelope
            if e and (e["origin"] != log.origin or e["job"] != ""):
                self.find(2, self.at(log, event), "it is no event of this node alone")
            if e and before:
                follows = not before.envelope or (e["seq"], e["prev"]) == (before.envelope["seq"] + 1, sha(before.raw).hex())
                if not follows or event.index <= before.index:
                    self.find(2, self.at(log, event), "it does not follow from the node's event before it")
            before = event
        had = before.envelope["seq"] + 1 if before and before.envelope else 0
        for name in ("run.completed", "aborted"):
            for event, body in log.bodies(name):
                if body["node"] > had:
                    self.find(2, self.at(log, event), "events of the node itself are missing")

    # 3
    def merkle(self):
        for log in self.logs:
            head = log.head
            if head is None:
                self.find(3, log.origin, "its checkpoint cannot be read")
                continue
            if head.origin != log.origin:
                self.find(3, log.origin, "its checkpoint is another log's")
            for event in log.all_events():
                try:
                    root = inclusion_root(leaf_hash(event.raw), event.index, head.size, proof_hashes(event.part["proof"]))
                    need(root == head.root, "it is not in the log of the checkpoint")
                except Bad as e:
                    self.find(3, self.at(log, event), str(e))
            for old, proof in log.earlier:
                try:
                    need(old is not None and old.origin == log.origin, "an earlier checkpoint is malformed or another log's")
                    check_consistency(old.size, old.root, head.size, head.root, proof_hashes(proof))
                except Bad as e:
                    self.find(3, log.origin, "its last checkpoint does not extend an earlier one: " + str(e))

    # 4
    def witnesses(self):
        members = self.contract.members() if self.contract else []
        for log in self.logs:
            if log.head is None:
                continue
            by, members_by = set(), set()
            others = [o for o in self.logs if o.node != log.node and self.is_members(o)]
            if self.trust and not self.trust.members:
                others = []
            for other in others:
                for certificate in other.certificates:
                    for old, _ in log.earlier:
                        if old and old.cosigned(other.origin, certificate.key) == FORGED:
                            self.find(4, log.origin, "a cosignature of %s is forged" % other.origin)
                    moment = log.head.cosigned(other.origin, certificate.key)
                    if moment == FORGED:
                        self.find(4, log.origin, "the cosignature of %s is forged" % other.origin)
                    elif moment != ABSENT and self.counts(other.origin, certificate, moment):
                        by.add(other.origin)
                        members_by.add(other.node)
            for name, key in self.trust.witnesses if self.trust else []:
                moment = log.head.cosigned(name, key)
                if moment == FORGED:
                    self.find(4, log.origin, "the cosignature of %s is forged" % name)
                elif moment != ABSENT:
                    by.add(name)
            if self.trust and self.trust.quorum is not None:
                if len(by) < self.trust.quorum:
                    self.find(4, log.origin, "cosigned by %d of %d" % (len(by), self.trust.quorum))
            elif self.complete:
                lacking = set(members) - {log.node} - members_by
                if log.node not in self.left_out() and not self.excused(lacking, self.absent(log, end=True)):
                    self.find(4, log.origin, "not cosigned by " + ", ".join(sorted(lacking)))
        for log in self.logs:
            self.beforehand(log)
            for event, body in log.bodies("log.unwitnessed") if self.contract and log.head else []:
                names = set(body["missing"])
                others = set(self.contract.parties) - {log.node}
                sound = names and names <= others and len(names) == len(body["missing"]) <= self.contract.spare
                if not sound or body["size"] > event.index:
                    self.find(4, self.at(log, event), "it goes on without members that cannot be spared")
        heads = {(log.origin, note.size): note.root.hex() for log in self.logs for note in log.notes()}
        for log in self.logs:
            for event, seen in log.bodies("log.witnessed"):
                head = next((o.head for o in self.logs if o.origin == seen["log"]), None)
                if seen["outcome"] != "cosigned":
                    self.find(4, self.at(log, event), "it refused to countersign %s" % seen["log"])
                elif head and head.size < seen["size"]:
                    self.find(4, self.at(log, event), "it saw a larger log")
                elif (seen["log"], seen["size"]) not in heads:
                    if any(o.origin == seen["log"] and o.has("run.completed") for o in self.logs):
                        self.find(4, self.at(log, event), "the checkpoint that it cosigned is not here")
                elif heads[seen["log"], seen["size"]] != seen["root"]:
                    self.find(4, self.at(log, event), "it saw another root")

    @staticmethod
    def absent(log, until=None, end=False):
        """Whom the log's node had given up waiting for, before so many events or at the end."""
        found = [b["missing"] for e, b in log.bodies("log.unwitnessed") if (b["end"] or not end) and (until is None or e.index < until)]
        return {name for names in found for name in names}

    def excused(self, lacking, names):
        spare = self.contract.spare if self.contract else 0
        return all(node in self.contract.parties and node in names for node in lacking) and len(lacking) <= spare

    def left_out(self):
        """Data parties that most of the others closed the job without."""
        if self.without is None:
            parties = self.contract.parties if self.contract else []
            ended = [log for log in self.logs if log.node in parties and self.is_members(log) and log.has("run.completed")]
            self.without = set()
            for party in parties:
                others = [log for log in ended if log.node != party]
                if 2 * sum(party in self.absent(log, end=True) for log in others) > len(others):
                    self.without.add(party)
            if len(self.without) > (self.contract.spare if self.contract else 0):
                self.without = set()
        return self.without

    def beforehand(self, log):
        """Others cosigned the beginning, and each opening, before the log's node went on."""
        if (self.trust and not self.trust.members) or not self.is_members(log):
            return
        end = next((e.index for e in log.events if e.name == "run.completed"), None)
        begun, started, done, sent = {}, {}, {}, []
        for event in log.events:
            if event.name not in ("step.started", "step.finished") or not event.body:
                continue
            step, counts = event.body["step"], begun if event.name == "step.started" else done
            run = (step, counts.get(step, 0))
            counts[step] = run[1] + 1
            if event.name == "step.started":
                started[run] = event.index
            elif any(peer["sent"]["frames"] for peer in event.body["peers"]):
                sent.append((started.get(run), event.index))
        demands, links = [], []
        for event in log.events:
            if event.name in WORK:
                break
            if event.name in ("job.approved", "session.opened"):
                links.append(event)
        if links:
            demands.append((links[-1], links[-1].index, min((f for _, f in sent), default=end), False))
        for event, announced in self.openings(log):
            later = [f for s, f in sent if s is not None and s > event.index]
            of_parties = not event.body or event.body["shape"] == "bit"
            demands.append((event, (announced or event).index, min(later, default=end), of_parties))
        others = [o for o in self.logs if o.node != log.node and self.is_members(o)]
        members = {other.node: set() for other in others}
        for other in others:
            for note in log.notes():
                for certificate in other.certificates if note.origin == log.origin else []:
                    moment = note.cosigned(other.origin, certificate.key)
                    if isinstance(moment, int) and self.counts(other.origin, certificate, moment):
                        members[other.node].add(note.size)
        parties = {node: sizes for node, sizes in members.items() if self.contract and node in self.contract.parties}
        for event, above, until, of_parties in demands:
            if until is None:
                continue
            cosigned = parties if of_parties else members
            due = len(cosigned)
            if self.trust and self.trust.quorum is not None:
                due = min(due, self.trust.quorum)
            by = [node for node, sizes in cosigned.items() if any(above < size <= until for size in sizes)]
            free = event.name == "disclosure" and not (self.trust and self.trust.quorum is not None)
            if len(by) < due and not (free and self.excused(set(cosigned) - set(by), self.absent(log, until))):
                self.find(4, self.at(log, event), "the others had not cosigned it before the node went on")

    @staticmethod
    def openings(log):
        """Openings, each with its announcement or None."""
        latest, last, bare, found = {}, None, None, []
        for event in log.events:
            body = event.body
            if event.name == "disclosure.announced":
                last = event
                if body is None:
                    bare = event
                else:
                    latest[body["id"]] = event
            elif event.name == "disclosure" and body is None:
                found.append((event, last))
            elif event.name == "disclosure":
                its = latest.get(body["id"])
                covers = its and its.body["first"] <= body["ordinal"] <= its.body["last"] and its.body["to"] == body["to"]
                found.append((event, its if covers else bare))
        return found

    # 5
    def symmetry(self):
        steps = {}
        for log in self.logs:
            times, runs = {}, []
            for event, body in log.bodies("step.finished"):
                run = (body["step"], times.get(body["step"], 0))
                times[body["step"]] = run[1] + 1
                runs.append((run, event, body["peers"]))
            steps[log.node] = runs
        for log in self.logs:
            for run, event, peers in steps[log.node]:
                for flow in peers:
                    other = self.log_of(flow["peer"])
                    if other is None or self.left_out() & {log.node, other.node}:
                        continue
                    back = next((p for r, _, p in steps[other.node] if r == run), None)
                    place = self.at(log, event)
                    if back is None:
                        if other.has("run.completed"):
                            self.find(5, place, "step %s: %s has no such step" % (run[0], other.node))
                        continue
                    back = next((p for p in back if p["peer"] == log.node), None)
                    if back is None or back["received"] != flow["sent"]:
                        self.find(5, place, "step %s: %s recorded something else" % (run[0], other.node))
            for event, session in log.bodies("session.opened"):
                other = self.log_of(session["peer"])
                if other and not other.certificate(session["peer_key"]):
                    self.find(5, self.at(log, event), "it saw an unknown key")
        own = next(log for log in self.logs if log.own)
        listed = {(f["step"], f["peer"], f["direction"]) for f in self.bundle["frames"]}
        for run, event, peers in steps[own.node]:
            for flow in peers if run[1] == 0 and own.has("run.completed") and not self.pruned else []:
                for way in ("sent", "received"):
                    if flow[way]["frames"] and (run[0], flow["peer"], way) not in listed:
                        self.find(5, self.at(own, event), "a list of frames is missing")
        for frames in self.bundle["frames"]:
            digest, digests = sha(b"paripassu/v1 frames\0"), [bytes.fromhex(d) for d in frames["digests"]]
            for frame in digests:
                digest = sha(digest + frame)
            found = (len(digests), digest.hex(), tree_root([leaf_hash(f) for f in digests]).hex())
            done, peers = next(((e, p) for r, e, p in steps[own.node] if r == (frames["step"], 0)), (None, []))
            flow = next((p[frames["direction"]] for p in peers if p["peer"] == frames["peer"]), None)
            if flow is None or (flow["frames"], flow["digest"], flow["root"]) != found:
                place = self.at(own, done) if done else own.origin
                self.find(5, place, "a list of frames is not the one recorded")

    # 6
    @staticmethod
    def fields(data):
        out = []
        while data:
            need(len(data) >= 8, "a statement is malformed")
            length = struct.unpack("<Q", data[:8])[0]
            need(length <= len(data) - 8, "a statement is malformed")
            out.append(data[8:8 + length])
            data = data[8 + length:]
        return out

    def approvals(self):
        if not self.contract:
            self.find(6, "the bundle", "the contract cannot be read: " + self.contract_error)
            return
        contract, job = self.contract, self.bundle["job"].encode()
        if contract.job != self.bundle["job"]:
            self.find(6, "the bundle", "the contract is another job's")
        try:
            statement, certificate = self.signer(self.bundle["submission"])
        except Bad:
            statement = None  # a matter of check 1
        if statement is not None:
            try:
                need(self.fields(statement) == [b"paripassu/v1/submit", job, self.digest], "")
            except Bad:
                self.find(6, "the bundle", "the submission is not of this contract")
            if certificate.uri != "spiffe://paripassu/" + contract.submitter:
                self.find(6, "the bundle", "the submission is another's")
        approved = {}
        for signed in self.bundle["approvals"]:
            try:
                statement, certificate = self.signer(signed)
            except Bad:
                continue
            party = certificate.uri.removeprefix("spiffe://paripassu/party/")
            if party == certificate.uri or party not in contract.parties:
                self.find(6, "the bundle", "a decision is by no data party")
                continue
            try:
                fields, words, people = self.decision(statement)
                need(fields[1] == job and fields[2] == self.digest, "the decision is on another contract")
                for name, role, key, signature in people:
                    signed = [b"paripassu/v1/person", *fields[1:4], party.encode(), name, role, fields[4], *fields[7:9]]
                    need(person_key(key), "a person's key is none")
                    need(verifies(person_key(key), signature, rowed(signed)), "a person signed something else")
            except (Bad, UnicodeDecodeError) as e:
                self.find(6, "the bundle", "%s: %s" % (party, e))
                continue
            if fields[3] == b"\0" and any(e.name in WORK for log in self.logs for e in log.events):
                self.find(6, "the bundle", "work was done, and %s rejected the contract" % party)
            if fields[3] == b"\1":
                approved[party, sha(statement).hex()] = words
        worked = any(e.name in WORK for log in self.logs for e in log.events)
        for party in contract.parties:
            if worked and not any(p == party for p, _ in approved):
                self.find(6, "the bundle", "the approval of %s is missing" % party)
        for log in self.logs:
            self.log_order(log, approved)
        first = {}
        for log in self.logs:
            for event, body in log.bodies("job.approved"):
                if first.setdefault(body["party"], body["statement"]) != body["statement"]:
                    self.find(6, self.at(log, event), "it is another approval than in another log")

    def decision(self, statement):
        """Section 7.1: the fields of a decision, what it says of who took it, and the people who signed it."""
        fields, people = self.fields(statement), []
        if fields[:1] == [b"paripassu/v3/decide"]:
            need(len(fields) == 10, "the decision is malformed")
            rest = self.fields(fields.pop())
            people = [rest[i:i + 4] for i in range(0, len(rest), 4)]
            need(1 <= len(people) <= 8 and len(rest) % 4 == 0, "the decision is malformed")
        else:
            need(fields[:1] == [b"paripassu/v2/decide"], "the decision is malformed")
        need(len(fields) == 9 and fields[3] in (b"\0", b"\1"), "the decision is malformed")
        words = self.consent([field.decode("utf-8") for field in fields[4:]])
        names = []
        for name, role, key, signature in people:
            need(len(key) == 32 and len(signature) == 64 and name and role, "the decision is malformed")
            need(is_word(name.decode("utf-8")) and is_word(role.decode("utf-8")), "the decision is malformed")
            names.append(name.lower())
        need(len(set(names)) == len(names) == len({p[2] for p in people}), "somebody signed twice, or with another's key")
        if people:
            first = [p[0].decode("utf-8") for p in people[:2]] + [None]
            need(words[:2] == tuple(first[:2]), "others signed than it names")
        return fields, words, people

    @staticmethod
    def consent(texts):
        """Section 7.1: approver, second, ticket and expires of a decision, None where empty."""
        approver, second, ticket, expires = texts[1:]
        need(all(map(is_word, (approver, second, ticket))), "the decision is malformed")
        lower = [re.sub("[A-Z]+", lambda m: m.group().lower(), word) for word in (approver, second)]
        need(not second or (approver and lower[0] != lower[1]), "the decision names no second person")
        need(not expires or unix(expires) is not None, "the decision is malformed")
        return tuple(text or None for text in (approver, second, ticket, expires))

    def log_order(self, log, approved):
        seen, told = [], False
        for event in log.events:
            body = event.body or {}
            if event.name in ("job.proposed", "job.approved", "job.rejected", "session.opened") and body:
                if body["contract"] != self.digest.hex():
                    self.find(6, self.at(log, event), "it is about another contract")
            if event.name == "job.approved" and body:
                seen.append(body)
                self.approval_holds(log, event, body, approved)
            if event.name not in WORK:
                continue
            told = told or (self.pruned and any(e.name == "job.approved" and not e.body for e in log.events))
            for party in self.contract.parties:
                if not told and not any(a["party"] == party for a in seen):
                    self.find(6, self.at(log, event), "no approval of %s stands before it" % party)
            told = True
            ends = [self.contract.expires] + [unix(a["expires"]) for a in seen]
            if any(end is not None and event.at >= end for end in ends):
                self.find(6, self.at(log, event), "the contract or an approval had expired")

    def approval_holds(self, log, event, body, approved):
        place = self.at(log, event)
        signed = approved.get((body["party"], body["statement"]))
        if signed is None:
            self.find(6, place, "the approval it names is not in the bundle")
        elif (signed[0] or body["party"], *signed[1:]) != (body["approver"], body["second"], body["ticket"], body["expires"]):
            self.find(6, place, "something else was signed")
        elif self.trust and self.trust.four_eyes and body["second"] is None:
            self.find(6, place, "no second approver")

    # 7
    def policies(self):
        ranks = {"allow": 0, "ask": 1, "deny": 2}
        for log in self.logs:
            denied = judged = lost = worked = False
            submitter, text, due, parts = None, "", 0, 0
            policy = approval = None
            for event in log.events:
                body = event.body
                lost = lost or (event.name in ("policy.stated", "job.proposed") and not body)
                judged = judged or event.name == "policy.evaluated"
                if event.name == "job.proposed" and body:
                    submitter = body["submitter"]
                if event.name == "policy.stated" and body:
                    if body["part"] == 1:
                        text, due, parts = "", 1, body["parts"]
                    if body["part"] == due and body["parts"] == parts and parts <= 64:
                        text += body["text"]
                    else:
                        text, due, parts = "", 0, 0
                    due += 1
                if event.name == "policy.evaluated" and body:
                    if self.contract and not lost:
                        try:
                            policy = self.recomputed(log, body, text if 0 < parts == due - 1 else None, submitter)
                        except Bad as e:
                            self.find(7, self.at(log, event), str(e))
                    rules = [ranks.get(rule["verdict"]) for rule in body["rules"]]
                    strictest = None if None in rules else max(rules, default=2)
                    if strictest is None or strictest != ranks.get(body["verdict"]):
                        self.find(7, self.at(log, event), "the verdict is not the strictest of its rules'")
                    if body["contract"] != self.digest.hex():
                        self.find(7, self.at(log, event), "it is about another contract")
                    denied = body["verdict"] == "deny"
                elif event.name == "job.approved" and body and body["party"] == log.node:
                    approval = event
                    if denied:
                        self.find(7, self.at(log, event), "the party approved what its policy had denied")
                    if not judged:
                        self.find(7, self.at(log, event), "the party approved before its policy was asked")
                if event.name in WORK and not worked:
                    worked = True
                    if policy and approval and not self.granted(policy, approval):
                        self.find(7, self.at(log, approval), "the party worked on an approval that its policy does not grant")

    def recomputed(self, log, verdict, text, submitter):
        """Section 7.2."""
        said = [(rule["id"], rule["verdict"]) for rule in verdict["rules"]]
        if said == [("contract", "deny")]:
            return
        need(text is not None, "no whole policy stands before it")
        need(sha(text.encode("utf-8")).hex() == verdict["policy"], "the policy before it is another one")
        policy = read_canonical(text)
        forms = {"paripassu.policy.v2": POLICY, "paripassu.policy.v3": {**POLICY, **LATER}}
        need(isinstance(policy, dict) and policy.get("format") in forms, "the policy is of an unknown form")
        shaped(policy, forms[policy["format"]], "policy")
        for rule in policy.get("rules", []):
            need(rule["is"] in ("within", "without", "least", "most", "unspent"), "a rule is of an unknown kind")
        need(policy["party"] == log.node and policy["version"] == verdict["version"], "the policy is another party's or version's")
        contract = self.contract.value
        seat = next((p for p in contract["spec"]["party"] if p["id"] == log.node), None)
        need(seat is not None, "the contract asks nothing of this party")
        columns = seat.get("columns")
        need(isinstance(seat.get("dataset"), str) and isinstance(seat.get("role"), str), "the contract asks nothing of this party")
        if columns != "all":
            need(isinstance(columns, dict), "the contract asks nothing of this party")
            for kind in ("numeric", "categorical"):
                shaped(columns.get(kind, []), ["text"], "columns")
        offered = next((d for d in policy["datasets"] if d["name"] == seat["dataset"]), None)
        holds = offered is not None and (offered["label"] or seat["role"] not in ("label", "bank"))
        if holds and columns != "all":
            holds = all(set(columns.get(kind, [])) <= set(offered[kind]) for kind in ("numeric", "categorical"))
        aligns = contract["spec"].get("horizontal") is None
        others = [p["id"] for p in contract["spec"]["party"] if aligns and p["id"] != log.node]
        enough = not others or (self.contract.min_matched or 0) >= policy["min_matched"]
        within = policy["max_runs"] is None or not set(others) & set(policy["spent"])
        judged = [
            ("submitter", "allow" if self.contract.submitter == submitter else "deny"),
            ("offered", "allow" if holds else "deny"),
            ("min_matched", "allow" if enough else "deny"),
            ("max_runs", "allow" if within else "deny"),
            *((rule["id"], "allow" if self.holds(rule, log.node, columns) else "deny") for rule in policy.get("rules", [])),
            ("approval", {"officer": "ask", "automatic": "allow"}.get(policy["approval"], "deny")),
        ]
        need(said == judged, "by its policy the rules say something else")
        return policy

    def holds(self, rule, me, columns):
        """Section 7.2: whether the contract keeps to a rule of the party's own."""
        if rule["is"] == "unspent":
            return not rule["values"]
        values = self.values(rule["of"], me, columns)
        if values is None:
            return False
        if rule["is"] in ("least", "most"):
            limit, numbers = decimal(rule["number"]), [decimal(value) for value in values]
            if limit is None or None in numbers:
                return False
            return all(n >= limit if rule["is"] == "least" else n <= limit for n in numbers)
        among = [value in rule["values"] for value in values]
        return all(among) if rule["is"] == "within" else not any(among)

    def values(self, of, me, columns):
        """Section 7.2: what the contract says of something; None where that is nothing known."""
        contract, parties = self.contract.value, self.contract.parties
        spec = contract["spec"]
        listed = [] if columns == "all" else columns.get("numeric", []) + columns.get("categorical", [])
        if of == "parties":
            return [p for p in parties if p != me]
        if of == "parties_number":
            return [str(len(parties))]
        if of == "pairs":
            nodes = parties + [self.contract.helper]
            return ["+".join(sorted([a, b])) for i, a in enumerate(nodes) for b in nodes[i + 1:]]
        if of == "columns":
            return ["*"] if columns == "all" else listed
        if of == "columns_number":
            return [str(len(listed))]
        if of == "kind":
            kinds = [kind for kind in ("horizontal", "overlap") if spec.get(kind) is not None]
            return (kinds + ["vertical"])[:1]
        if of == "openings":
            return ["%s>%s" % (name, to) for name, _, receivers, _ in self.contract.declared for to in receivers]
        if of == "scores_number":
            outputs = spec.get("outputs")
            scores = outputs.get("scores") if isinstance(outputs, dict) else None
            if scores is None:
                return []
            if not isinstance(scores, dict) or not isinstance(scores.get("to"), str):
                return None
            if scores["to"] == me:
                return []
            most = scores.get("max_rows")
            rejects = spec.get("reject_inference")
            compares = isinstance(rejects, dict) and rejects.get("compare") is True
            if compares and isinstance(most, int) and not isinstance(most, bool) and 0 <= most < 1 << 64:
                most = 2 * most
            return ["999999999"] if most is None else [scalar(most)]
        if of == "size_step":
            if spec.get("horizontal") is not None or len(parties) < 2:
                return []
            step = spec["align"].get("size_step") if isinstance(spec.get("align"), dict) else None
            return ["16384"] if step is None else [scalar(step)]
        if of == "results_days":
            retention = spec.get("retention")
            days = retention.get("results_days") if isinstance(retention, dict) else None
            return ["999999999"] if days is None else [scalar(days)]
        if of == "open_days":
            if self.contract.expires is None:
                return ["999999999"]
            return [str(max(0, -((self.contract.created - self.contract.expires) // 86400)))]
        value, members = contract, of.split("/")
        if len(members) < 2 or members[0] or not all(members[1:]):
            return None
        for member in members[1:]:
            if not isinstance(value, dict) or member not in value:
                return []
            value = value[member]
        items = [] if value is None else value if isinstance(value, list) else [value]
        return [scalar(item) for item in items]

    def granted(self, policy, event):
        """Section 7.2: whether the approval of this event is one by the party's own policy."""
        approval = event.body
        if policy["four_eyes"] and approval["second"] is None:
            return False
        if policy.get("roles"):
            people = self.people_of(approval["statement"])
            known = {(p["name"], p["role"], p["key"]) for p in policy["people"]}
            if any(person not in known for person in people):
                return False
            signed = [role for _, role, _ in people]
            if any(signed.count(role) < policy["roles"].count(role) for role in policy["roles"]):
                return False
        if policy["ttl_hours"] is None:
            return True
        ends = unix(approval["expires"])
        return ends is not None and ends <= event.at + policy["ttl_hours"] * 3600 + self.skew

    def people_of(self, digest):
        """Name, role and key of the people who signed the decision of this digest, if it is here."""
        for signed in self.bundle["approvals"]:
            try:
                statement = unbase64(signed["statement"])
                if sha(statement).hex() == digest:
                    return [(p[0].decode(), p[1].decode(), p[2].hex()) for p in self.decision(statement)[2]]
            except (Bad, UnicodeDecodeError):
                continue
        return []

    # 8
    def disclosures(self):
        if not self.contract:
            return
        c, seen = self.contract, set()
        for name, _, to, _ in c.declared:
            fits = True
            if name == "release.scores":
                fits = c.scores_to is not None and to == ["party:%s" % c.scores_to]
            elif name == "release.reasons":
                fits = c.reasons_to is not None and to == ["party:%s" % c.reasons_to]
            elif name == "reject.rate":
                fits = c.rejects_to is not None and to == ["party:%s" % c.rejects_to]
            elif name == "reject.scores":
                fits = c.compares_rejects and c.scores_to is not None and to == ["party:%s" % c.scores_to]
            elif name.startswith("reject.coefficients."):
                fits = c.compares_rejects and to == ["party:" + name.removeprefix("reject.coefficients.")]
            elif name == "release.metrics":
                fits = to == ["party:" + p for p in c.metrics_to]
            elif name.startswith("release.coefficients."):
                fits = c.own_coefficients and to == ["party:" + name.removeprefix("release.coefficients.")]
            elif name.startswith("release.standard-errors."):
                fits = c.standard_errors and to == ["party:" + name.removeprefix("release.standard-errors.")]
            if not fits or name in seen:
                self.find(8, "the bundle", "`%s` does not fit the outputs" % name)
            seen.add(name)
        counts = []
        for log in self.logs:
            times = {}
            for event, body in log.bodies("disclosure"):
                times[body["id"]] = times.get(body["id"], 0) + 1
                count, place = times[body["id"]], self.at(log, event)
                declared = next((d for d in c.declared if d[0] == body["id"]), None)
                if declared is None:
                    self.find(8, place, "`%s` is not declared" % body["id"])
                    continue
                _, shape, to, at_most = declared
                sound = body["ordinal"] == count and count <= at_most and body["shape"] == shape
                matched = next((b["matched"] for _, b in log.bodies("align.done")), 2**64)
                limits = {"bit": (1, 1), "count": (1, 1), "membership": (1, 1), "traffic": (0, 0), "scores": (1, matched), "summary": (0, 2**24)}
                least, most = limits.get(shape, (1, 2**24))
                sound = sound and least <= body["values"] <= most
                if not sound or not body["to"] or not set(body["to"]) <= set(to):
                    self.find(8, place, "`%s` was not opened as declared" % body["id"])
            counts.append((log, times))
            self.announcements(log)
        first = {}
        for log in self.logs:
            for event, body in log.bodies("disclosure") if log.node in c.parties else []:
                if first.setdefault((body["id"], body["ordinal"]), body["values"]) != body["values"]:
                    self.find(8, self.at(log, event), "`%s` is of another size elsewhere" % body["id"])
        of_parties = [(log, times) for log, times in counts if log.node in c.parties]
        completed = {log.node for log in self.logs if log.has("run.completed")} | self.left_out()
        none = 0 if completed.issuperset(c.parties) else None
        for log, _ in of_parties if not self.pruned else []:
            for other, _ in of_parties:
                for key, times in self.by_step(other).items():
                    if self.by_step(log).get(key, 0) >= times:
                        continue
                    done = [e for e, b in log.bodies("step.finished") if b["step"] == key[1]]
                    if done:
                        self.find(8, self.at(log, done[0]), "`%s` of step %s is left out" % key)
        if self.complete and not self.pruned:
            for name, _, _, _ in c.declared:
                if not any(name in times for _, times in counts):
                    self.find(8, "the bundle", "`%s` is declared, but no log has it" % name)
                numbers = {times.get(name, none) for log, times in of_parties if log.node not in self.left_out() and (not c.spare or log.has("run.completed"))}
                if len(numbers - {None}) > 1:
                    self.find(8, "the bundle", "the parties count `%s` differently" % name)

    def announcements(self, log):
        opened = {}
        for event in log.events:
            if event.name == "disclosure" and event.body:
                opened[event.body["id"]] = opened.get(event.body["id"], 0) + 1
            if event.name != "disclosure.announced" or not event.body:
                continue
            body = event.body
            _, shape, to, at_most = next((d for d in self.contract.declared if d[0] == body["id"]), (None, None, [], 0))
            sound = shape == "bit" and body["first"] == opened.get(body["id"], 0) + 1 and body["last"] <= at_most
            sound = sound and 0 <= body["last"] - body["first"] < 16
            if not sound or not body["to"] or not set(body["to"]) <= set(to):
                self.find(8, self.at(log, event), "`%s` was not announced as declared" % body["id"])

    @staticmethod
    def by_step(log):
        times = {}
        for _, body in log.bodies("disclosure"):
            key = (body["id"], body["step"])
            times[key] = times.get(key, 0) + 1
        return times

    # 9
    def thresholds(self):
        first = None
        for log in self.logs if self.contract else []:
            for event, body in log.bodies("align.done"):
                least = self.contract.min_matched
                if least is not None and body["matched"] < least and log.has("run.completed"):
                    self.find(9, self.at(log, event), "fewer are common than agreed")
                if first is not None and body["matched"] != first:
                    self.find(9, self.at(log, event), "another log has another number")
                else:
                    first = body["matched"]
        parties = [log for log in self.logs if self.contract and log.node in self.contract.parties]
        aligns = self.contract and (self.contract.aligns or any(log.has("align.done") for log in parties))
        for log in parties:
            for end in [e for e in log.events if e.name == "run.completed"][:1]:
                for name, due in (("data.committed", True), ("align.done", aligns)):
                    if due and not log.has(name):
                        self.find(9, self.at(log, end), "`%s` was never written" % name)
        for log in self.logs:
            opened = steps = 0
            for event in log.events:
                opened += event.name == "disclosure"
                steps += event.name == "step.finished"
                if event.name == "run.completed" and event.body:
                    if (event.body["disclosures"], event.body["steps"]) != (opened, steps):
                        self.find(9, self.at(log, event), "the sums do not add up")

        for log in parties:
            self.privacy_spent(log)

    def privacy_spent(self, log):
        due = int((self.contract.value["spec"].get("horizontal") or {}).get("privacy") is not None)
        spent = [e for e in log.events if e.name == "dp.spent"]
        ends = [e for e in log.events if e.name == "run.completed"]
        if len(spent) > due or (ends and len(spent) < due):
            self.find(9, self.at(log, spent[due] if len(spent) > due else ends[0]), "`dp.spent` stands %d times" % len(spent))
        for event, body in log.bodies("dp.spent"):
            try:
                total = spent_in_all(self.contract, body)
            except (Bad, KeyError, TypeError, ValueError, OverflowError) as e:
                self.find(9, self.at(log, event), "the account of privacy is wrong: %s" % e)
                continue
            limit = self.privacy_limit(log)
            if limit:
                of = epsilon(zip(ORDERS, total), limit[1])
                if of > limit[0] and not alike(of, limit[0]):
                    self.find(9, self.at(log, event), "epsilon %.4f of all jobs is above the policy's limit" % of)

    def privacy_limit(self, log):
        """What the log's policy allows all jobs, and for which delta."""
        text = ""
        for _, piece in log.bodies("policy.stated"):
            text = piece["text"] if piece["part"] == 1 else text + piece["text"]
        try:
            rules = json.loads(text).get("rules", [])
            number = next(rule["number"] for rule in rules if rule["id"] == "privacy")
            found = re.fullmatch("epsilon ([0-9.]+) at delta ([0-9.]+)", number)
            return (digits(found[1]), digits(found[2])) if found else None
        except (ValueError, AttributeError, KeyError, TypeError, StopIteration, Bad):
            return None

    # 10
    def programs(self):
        for log in self.logs:
            for event, session in log.bodies("session.opened"):
                wrong = session["test_mode"] or session["tls"] != "1.3"
                if self.trust:
                    wrong = wrong or (session["build"] != "release" and not self.trust.allow_debug)
                    wrong = wrong or (self.trust.binaries and session["binary"] not in self.trust.binaries)
                if wrong:
                    self.find(10, self.at(log, event), "the program is not an allowed one")
            for event, session in log.bodies("session.opened"):
                starts = [e.body for e in log.node_events if e.name == "log.started" and e.body and e.index < event.index]
                if starts and starts[-1]["binary"] != session["binary"]:
                    self.find(10, self.at(log, event), "the node started as another program")
            for event, step in log.bodies("step.started"):
                if step["randomness"] not in ("helper", "ot", "he", "none"):
                    self.find(10, self.at(log, event), "randomness from " + step["randomness"])
            self.begun(log)
            if log.has("step.finished") and not log.has("session.opened"):
                done = next(e for e in log.events if e.name == "step.finished")
                self.find(10, self.at(log, done), "no link is recorded")

    def begun(self, log):
        lost = {e.name for e in log.events if not e.body}
        started, links = {}, set()
        for event in log.events:
            body = event.body
            if event.name == "step.started" and body:
                started[body["step"]] = started.get(body["step"], 0) + 1
            elif event.name == "session.opened" and body:
                links.add(body["peer"])
            elif event.name == "step.finished" and body:
                left = started.get(body["step"], 0)
                if left == 0 and "step.started" not in lost:
                    self.find(10, self.at(log, event), "the step never began")
                started[body["step"]] = max(left - 1, 0)
                for flow in body["peers"]:
                    frames = flow["sent"]["frames"] + flow["received"]["frames"]
                    if frames and flow["peer"] not in links and "session.opened" not in lost:
                        self.find(10, self.at(log, event), "no link to %s is recorded" % flow["peer"])

    # 11 and 12
    def results(self):
        for log in self.logs:
            end = next((e for e in log.events if e.name == "run.completed"), None)
            if end and self.contract and log.node in self.contract.parties:
                if not log.has("model.committed"):
                    self.find(12, self.at(log, end), "no result file was recorded")
                if log.node in self.contract.metrics_to and not log.has("metrics.reported"):
                    self.find(11, self.at(log, end), "no metrics were recorded")
        own = next(log for log in self.logs if log.own)
        artifacts = {a["name"]: a for a in self.bundle["artifacts"]}
        recorded = {}
        for event in own.events:
            body = event.body or {}
            if event.name == "metrics.reported" and body:
                recorded[body["report"]] = (11, self.at(own, event))
                artifact = artifacts.get(body["report"])
                if artifact is None or artifact["sha256"] != body["sha256"]:
                    self.find(11, self.at(own, event), "the report is another one")
            if event.name == "model.committed" and body:
                for file in body["files"]:
                    recorded[file["name"]] = (12, self.at(own, event))
                    if artifacts.get(file["name"]) != file:
                        self.find(12, self.at(own, event), "the file %s is another one" % file["name"])
        for name in artifacts:
            if name not in recorded and not self.pruned:
                self.find(12, "the bundle", "the file %s is recorded in no event" % name)
        for name, content in self.files:
            figures = self.figures(content) if name == "metrics.json" else {}
            for event, body in own.bodies("metrics.reported") if figures else []:
                if any(figures.get(key) != value for key, value in body["values"].items()):
                    self.find(11, self.at(own, event), "the file that was given has other numbers")
            check, place = recorded.get(name, (12, "the bundle"))
            artifact = artifacts.get(name)
            same = artifact and (artifact["sha256"], artifact["bytes"]) == (sha(content).hex(), len(content))
            if not same:
                self.find(check, place, "the file %s that was given is another one" % name)

    @staticmethod
    def figures(content):
        try:
            groups = json.loads(content)
        except ValueError:
            return {}
        found = {}
        for group, members in groups.items() if isinstance(groups, dict) else []:
            for name, number in members.items() if isinstance(members, dict) else []:
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    found["%s.%s" % (name, group.replace("_", "-"))] = "%.6f" % number
        return found

    # 13
    def personal_data(self):
        for log in self.logs:
            for event in log.all_events():
                for text in (event.part["envelope"], event.part["body"]):
                    try:
                        hit = text is not None and scan(json.loads(text))
                    except ValueError:
                        hit = False
                    if hit:
                        self.find(13, self.at(log, event), "a member looks like personal data")
        for signed in self.bundle["approvals"]:
            try:
                words = [field.decode("utf-8") for field in self.fields(unbase64(signed["statement"]))[4:]]
            except (Bad, UnicodeDecodeError):
                continue
            if len(words) == 5 and scan(words[:4]):
                self.find(13, "the bundle", "a word of a decision looks like personal data")
        if self.contract and scan(self.contract.value):
            self.find(13, "the bundle", "the contract looks like it holds personal data")

    # 14
    def clocks(self):
        for log in self.logs:
            latest = None
            for event in log.events:
                if not event.envelope:
                    continue
                early = self.contract and event.at < self.contract.created - self.skew
                early = early or (latest is not None and event.at < latest - self.skew)
                if early or event.at > self.now + self.skew:
                    self.find(14, self.at(log, event), "its time cannot be true")
                latest = event.at if latest is None else max(latest, event.at)
            latest = None
            for event in log.node_events:
                if event.envelope:
                    if event.at > self.now + self.skew or (latest is not None and event.at < latest - self.skew):
                        self.find(14, self.at(log, event), "its time cannot be true")
                    latest = event.at if latest is None else max(latest, event.at)
            for note in log.notes():
                covered = [e for e in log.events if e.envelope and e.index < note.size]
                if not covered:
                    continue
                last = max(covered, key=lambda e: e.at)
                for other in self.logs:
                    for certificate in other.certificates if other.origin != log.origin else []:
                        moment = note.cosigned(other.origin, certificate.key)
                        if isinstance(moment, int) and moment < last.at - self.skew:
                            self.find(14, self.at(log, last), "it was countersigned before it was written")
            for event, session in log.bodies("session.opened"):
                other = self.log_of(session["peer"])
                ends = other.bodies("session.opened") if other else []
                apart = [abs(e.at - event.at) for e, s in ends if s["peer"] == log.node]
                if apart and min(apart) > self.skew:
                    self.find(14, self.at(log, event), "the other end opened the link at another time")


# ---- command line ----------------------------------------------------------------------------


def verify(arguments, quiet=False, places=None):
    bundle_path = trust_path = None
    models, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--trust", "--model") and rest:
            value = rest.pop(0)
            if word == "--trust":
                trust_path = value
            else:
                models.append(value)
        elif bundle_path is None and not word.startswith("--"):
            bundle_path = word
        else:
            return 2
    if bundle_path is None:
        return 2
    try:
        trust = Trust(trust_path) if trust_path else None
        files = []
        for path in models:
            with open(path, "rb") as file:
                files.append((os.path.basename(path), file.read()))
        verifier = Verifier(read_bundle(bundle_path), trust, files, int(time.time()))
    except (Unreadable, OSError) as e:
        print(e, file=sys.stderr)
        return 3
    code = verifier.run()
    if places is not None:
        found = {re.sub(r"( #[0-9]+).*", r"\1", place) for check, place, _ in verifier.findings if check + 9 == code}
        places.extend(sorted(found))
    if not quiet:
        for check, place, what in sorted(verifier.findings):
            print("check %d: %s: %s" % (check, place, what))
        print("verified" if code == 0 else "NOT verified: exit code %d" % code)
        if trust is None:
            print("without a trust file this shows only that the bundle agrees with itself")
    return code


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--many":
        with open(arguments[1]) as lines:
            for line in lines.read().split("\n"):
                places = []
                code = verify(line.split("\t"), quiet=True, places=places)
                print("%d\t%s\t%s" % (code, line.split("\t")[0], "|".join(places)), flush=True)
        return 0
    code = verify(arguments)
    if code == 2:
        print(__doc__, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
