#!/usr/bin/env python3
"""Verifies the golden vectors again, from docs/protocol.md alone: Python's standard library, no line shared with the real code.

Own secp256k1, Keccak-256, EIP-712, BIP-340, BIP-374, Ed25519 (RFC 8032), canonical decoding, tagged hashes. Slow and variable time: public vectors only.
usage: verify_golden.py [FOLDER]     last line: "N passed, N failed"
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path

# ---------------------------------------------------------------------------------------------------------------- secp256k1

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(a, b):
    """Affine addition; None is the identity."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(k, point):
    result = None
    while k:
        if k & 1:
            result = add(result, point)
        point = add(point, point)
        k >>= 1
    return result


def negate(point):
    return None if point is None else (point[0], P - point[1])


def decode_point(data):
    """Strict P: 33 bytes, 02 or 03, x < p, on the curve."""
    require(len(data) == 33 and data[0] in (2, 3), "point prefix or length")
    x = int.from_bytes(data[1:], "big")
    require(x < P, "x below p")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    require(y * y % P == (x**3 + 7) % P, "on the curve")
    return x, y if y & 1 == data[0] & 1 else P - y


def encode_point(point):
    require(point is not None, "not the identity")
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


def decode_scalar(data):
    value = int.from_bytes(data, "big")
    require(len(data) == 32 and 0 < value < N, "scalar in 1..N-1")
    return value


def horner(points, x):
    result = None
    for point in reversed(points):
        result = add(multiply(x, result), point)
    return result


def lagrange(indices):
    factors = []
    for i in indices:
        numerator = denominator = 1
        for k in indices:
            if k != i:
                numerator = numerator * -k % N
                denominator = denominator * (i - k) % N
        factors.append(numerator * pow(denominator, -1, N) % N)
    return factors


def combine(partials):
    """Lagrange at 0 in the exponent over (index, point)."""
    result = None
    for factor, (_, point) in zip(lagrange([index for index, _ in partials]), partials):
        result = add(result, multiply(factor, point))
    return result


# ------------------------------------------------------------------------------------------------------------------ hashes


def sha256(data):
    return hashlib.sha256(data).digest()


def raw_tagged(tag, data):
    prefix = sha256(tag.encode())
    return sha256(prefix + prefix + data)


def tagged(tag, *parts):
    """TH(tag, x) of the protocol."""
    return raw_tagged("TKMS/1/" + tag, b"".join(parts))


def signed_bytes(tag, body):
    return b"TKMS/1/sig\x00" + bytes([len(tag)]) + tag.encode() + tagged(tag, body)


def hkdf_extract(salt, ikm):
    return hmac.new(salt, ikm, hashlib.sha256).digest()


def hkdf_expand(prk, info, length):
    require(length <= 32, "one block is enough")
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()[:length]


def u(width, value):
    return value.to_bytes(width, "big")


def var(data):
    return u(4, len(data)) + data


def keccak256(data):
    """Keccak with the padding that Ethereum uses, 0x01, which hashlib does not have."""
    rate, state = 136, [0] * 25
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % rate)
    padded[-1] |= 0x80
    for start in range(0, len(padded), rate):
        for lane in range(rate // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        keccak_f(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state)[:32]


def rotate(lane, by):
    return (lane << by | lane >> (64 - by)) % 2**64


def keccak_f(a):
    """Keccak-f[1600] of FIPS 202, in place; lane (x, y) is a[x + 5y]."""
    constant = 1
    for _ in range(24):
        column = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        for i in range(25):
            a[i] ^= column[(i - 1) % 5] ^ rotate(column[(i + 1) % 5], 1)
        x, y, lane = 1, 0, a[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            a[x + 5 * y], lane = rotate(lane, (step + 1) * (step + 2) // 2 % 64), a[x + 5 * y]
        for row in range(0, 25, 5):
            old = a[row : row + 5]
            for x in range(5):
                a[row + x] = old[x] ^ (~old[(x + 1) % 5] % 2**64 & old[(x + 2) % 5])
        for bit in range(7):
            if constant & 1:
                a[0] ^= 1 << (2**bit - 1)
            constant = constant << 1 ^ (0x171 if constant >> 7 else 0)


# ------------------------------------------------------------------------------------------------- BIP-340, BIP-374, Ed25519


def verify_bip340(point, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or s >= N:
        return False
    key = decode_point(b"\x02" + encode_point(point)[1:])
    e = int.from_bytes(raw_tagged("BIP0340/challenge", r + u(32, key[0]) + message), "big") % N
    nonce = add(multiply(s, G), negate(multiply(e, key)))
    return nonce is not None and nonce[1] % 2 == 0 and u(32, nonce[0]) == r


def dleq_challenge(a, b, c, base, r1, r2, message):
    return raw_tagged("BIP0374/challenge", b"".join(map(encode_point, (a, b, c, base, r1, r2))) + message)


def verify_dleq(a, b, c, base, message, proof):
    e, s = proof[:32], int.from_bytes(proof[32:], "big")
    if len(proof) != 64 or s >= N:
        return False
    factor = int.from_bytes(e, "big") % N
    r1 = add(multiply(s, base), negate(multiply(factor, a)))
    r2 = add(multiply(s, b), negate(multiply(factor, c)))
    return r1 is not None and r2 is not None and dleq_challenge(a, b, c, base, r1, r2, message) == e


def prove_dleq(secret, b, base, aux, message):
    """GenerateProof of BIP-374 v0.2.0: (A, C, proof)."""
    a, c = multiply(secret, base), multiply(secret, b)
    masked = bytes(x ^ y for x, y in zip(u(32, secret), raw_tagged("BIP0374/aux", aux)))
    k = int.from_bytes(raw_tagged("BIP0374/nonce", masked + encode_point(a) + encode_point(c) + message), "big") % N
    e = dleq_challenge(a, b, c, base, multiply(k, base), multiply(k, b), message)
    return a, c, e + u(32, (k + int.from_bytes(e, "big") * secret) % N)


Q = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, Q) % Q
SQRT_MINUS_ONE = pow(2, (Q - 1) // 4, Q)


def ed_add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    p, q = (y1 - x1) * (y2 - x2) % Q, (y1 + x1) * (y2 + x2) % Q
    r, s = 2 * t1 * t2 * D % Q, 2 * z1 * z2 % Q
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % Q, g * h % Q, f * g % Q, e * h % Q


def ed_multiply(k, point):
    result = (0, 1, 1, 0)
    while k:
        if k & 1:
            result = ed_add(result, point)
        point = ed_add(point, point)
        k >>= 1
    return result


def ed_decode(data):
    """RFC 8032 5.1.3, canonical encodings only; None when it is not a point."""
    if len(data) != 32:
        return None
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    if y >= Q:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, Q) % Q
    x = pow(square, (Q + 3) // 8, Q)
    if (x * x - square) % Q:
        x = x * SQRT_MINUS_ONE % Q
    if (x * x - square) % Q or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = Q - x
    return x, y, 1, x * y % Q


def ed_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % Q == 0 and (a[1] * b[2] - b[1] * a[2]) % Q == 0


ED_BASE = ed_decode(u(32, 4 * pow(5, -1, Q) % Q)[::-1])


def verify_ed25519(key, message, signature):
    a, r, s = ed_decode(key), ed_decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L or ed_equal(ed_multiply(8, a), (0, 1, 1, 0)):
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return ed_equal(ed_multiply(s, ED_BASE), ed_add(r, ed_multiply(h, a)))


# ------------------------------------------------------------------------------------------------------- canonical decoding


class Bad(Exception):
    """A vector that does not hold."""


def require(condition, what):
    if not condition:
        raise Bad(what)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        require(self.at + length <= len(self.data), "ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def var(self):
        return self.take(self.number(4))

    def list(self, read):
        return [read(self) for _ in range(self.number(2))]

    def end(self):
        require(self.at == len(self.data), "trailing bytes")


def decode(data, read):
    reader = Reader(data)
    value = read(reader)
    reader.end()
    return value


def ascending(indices):
    require(all(left < right for left, right in zip(indices, indices[1:])), "ascending, none twice")
    return indices


def read_config(reader):
    suite, cluster, n, t, f = reader.number(2), reader.take(32), reader.number(2), reader.number(2), reader.number(2)
    members = reader.list(lambda r: (r.number(2), r.take(32)))
    ascending([index for index, _ in members])
    require(suite == 1 and len(members) == n, "suite and committee size")
    require(f == min((n - 1) // 3, (n - t) // 2, t - 1), "f follows from n and t")
    return {"cluster": cluster, "n": n, "t": t, "f": f, "members": dict(members)}


def read_committee(reader):
    config = read_config(reader)
    require(3 <= config["n"] <= 64 and 2 <= config["t"] <= config["n"] - 1, "committee size and threshold")
    return config


def read_importer(reader):
    config = read_config(reader)
    require(config["n"] == config["t"] == 1, "an importer is alone")
    return config


def read_spec(reader):
    spec = {
        "kind": reader.number(1),
        "suite": reader.number(2),
        "cluster": reader.take(32),
        "purpose": reader.number(1),
        "name": reader.var(),
        "generation": reader.number(4),
        "epoch": reader.number(4),
        "attempt": reader.number(4),
        "keyId": reader.take(32),
        "previous": reader.take(32),
        "old": reader.var(),
        "new": reader.var(),
        "notAfter": reader.number(8),
    }
    spec["config"] = decode(spec["new"], read_committee)
    require(spec["suite"] == 1 and spec["config"]["cluster"] == spec["cluster"], "one suite and one cluster")
    if spec["kind"] == 1:
        require(spec["epoch"] == 0 and spec["keyId"] == spec["previous"] == bytes(32) and spec["old"] == b"", "nothing before it")
        return {**spec, "name of kind": "keygen", "dealers": spec["config"]}
    require(spec["kind"] == 2, "kind 1 or 2")
    old = decode(spec["old"], read_importer if spec["epoch"] == 0 else read_committee)
    require(old["cluster"] == spec["cluster"], "the old committee is of the cluster too")
    new = spec["config"]["members"]
    require(all(new.get(i, key) == key for i, key in old["members"].items()), "an index is one identity")
    require(all(j == i or new[j] != key for i, key in old["members"].items() for j in new), "an identity is one index")
    return {**spec, "name of kind": "import" if spec["epoch"] == 0 else "reshare", "dealers": old}


def read_outcome(reader):
    require(reader.number(1) == 1, "outcome version")
    outcome = {"ceremony": reader.take(32), "view": reader.number(4), "sid": reader.take(32), "keyId": reader.take(32)}
    outcome["t"] = reader.number(2)
    outcome["commitment"] = reader.list(lambda r: decode_point(r.take(33)))
    outcome["dealings"] = reader.list(lambda r: (r.number(2), r.take(32)))
    ascending([index for index, _ in outcome["dealings"]])
    return outcome


def read_signatures(reader):
    entries = reader.list(lambda r: (r.number(2), r.take(64)))
    ascending([index for index, _ in entries])
    return entries


def read_flagged(reader):
    entries = reader.list(lambda r: (r.number(2), r.number(1), r.take(64)))
    ascending([index for index, _, _ in entries])
    require(all(holds in (0, 1) for _, holds, _ in entries), "a flag is 0 or 1")
    return entries


def read_certificate(reader):
    certificate = {"X": reader.var(), "OUT": reader.var()}
    certificate["auth"] = read_signatures(reader) if certificate["X"][0] == 2 else []
    certificate["v0"], certificate["votes"], certificate["view"] = reader.number(4), read_signatures(reader), reader.number(4)
    require(certificate["view"] >= certificate["v0"], "committed in its view or a later one")
    certificate["later"] = [] if certificate["view"] == certificate["v0"] else read_flagged(reader)
    certificate["commits"] = read_signatures(reader)
    return certificate


NAMES = ("join", "joinset", "deal", "vouch", "complain", "propose", "vote", "commit", "abandon")


def read_signed(data):
    """var body || signature, with the header of the body taken apart."""
    reader = Reader(data)
    body, signature = reader.var(), reader.take(64)
    reader.end()
    header = Reader(body)
    kind, version, ceremony, view, sender = (header.number(1), header.number(1), header.take(32), header.number(4), header.number(2))
    require(version == 1, "message version")
    message = {"name": NAMES[kind - 1], "ceremony": ceremony, "view": view, "from": sender}
    return {**message, "body": body, "payload": body[40:], "signature": signature}


def read_deal(reader):
    deal = {"sid": reader.take(32), "nonce": reader.take(32), "commitment": reader.list(lambda r: decode_point(r.take(33)))}
    deal["ephemeral"], deal["popA"], deal["popR"] = decode_point(reader.take(33)), reader.take(64), reader.take(64)
    deal["shares"] = reader.list(lambda r: (r.number(2), r.take(32)))
    return deal


# ----------------------------------------------------------------------------------------------------------------- the checks

passed, failed = 0, 0


def check(name, action):
    global passed, failed
    try:
        require(action() is not False, "does not hold")
        passed += 1
    except (Bad, ValueError, KeyError, IndexError) as problem:
        failed += 1
        print(f"FAILED {name}: {problem}")


def load(folder, name):
    return json.loads((folder / name).read_text())


def h(text):
    return bytes.fromhex(text.removeprefix("0x"))


def points(items):
    return b"".join([u(2, len(items)), *map(encode_point, items)])


def key_id(spec, outcome):
    """What the key id must be, and what came before it in an import."""
    group_key = encode_point(outcome["commitment"][0])
    named = u(2, 1) + spec["cluster"] + u(1, spec["purpose"]) + var(spec["name"]) + u(4, spec["generation"]) + group_key
    if spec["name of kind"] == "keygen":
        return tagged("key-id", named, outcome["sid"])
    if spec["name of kind"] == "import":
        require(spec["previous"] == tagged("import", group_key), "it imports this public key")
        require(spec["keyId"] == tagged("key-id-import", named), "the key id of an import")
    return spec["keyId"]


def check_signatures(certificate, spec, outcome, o, label):
    config, ceremony = spec["config"], outcome["ceremony"]
    quorum = config["n"] - config["f"]
    later = [(index, signature, o + bytes([holds])) for index, holds, signature in certificate["later"]]
    lists = [
        ("vote", 7, certificate["v0"], [(index, signature, o + b"\x01") for index, signature in certificate["votes"]]),
        ("commit", 8, certificate["view"], [(index, signature, o) for index, signature in certificate["commits"]]),
    ]
    if certificate["view"] != certificate["v0"]:
        lists.append(("vote", 7, certificate["view"], later))
    for name, kind, view, entries in lists:
        check(f"{label}{name} quorum of view {view}", lambda entries=entries: len(entries) >= quorum)
        for index, signature, payload in entries:
            body = u(1, kind) + u(1, 1) + ceremony + u(4, view) + u(2, index) + payload
            message = signed_bytes(name, body)
            check(f"{label}{name} of {index}", lambda i=index, m=message, s=signature: verify_ed25519(config["members"][i], m, s))
    old = spec["dealers"]
    if spec["name of kind"] != "keygen":
        check(f"{label}full AUTH", lambda: len(certificate["auth"]) >= old["n"] - old["f"])
    for index, signature in certificate["auth"]:
        message = signed_bytes("authorize", certificate["X"])
        check(f"{label}AUTH of {index}", lambda i=index, m=message, s=signature: verify_ed25519(old["members"][i], m, s))


def check_certificate(doc, label=""):
    certificate = decode(h(doc["certificate"]), read_certificate)
    spec, outcome = decode(certificate["X"], read_spec), decode(certificate["OUT"], read_outcome)
    config, dealers = spec["config"], spec["dealers"]
    least = dealers["n"] - dealers["f"] if spec["name of kind"] == "keygen" else dealers["t"]
    ceremony, o = tagged("ceremony", certificate["X"]), tagged("outcome", certificate["OUT"])
    check(f"{label}X", lambda: certificate["X"] == h(doc["spec"]))
    check(f"{label}configHash", lambda: tagged("config", spec["new"]) == h(doc["configHash"]))
    check(f"{label}ceremony", lambda: ceremony == outcome["ceremony"] == h(doc["ceremony"]))
    check(f"{label}view", lambda: certificate["v0"] == outcome["view"])
    check(f"{label}sharingId", lambda: o == h(doc["sharingId"]))
    check(f"{label}keyId", lambda: key_id(spec, outcome) == outcome["keyId"] == h(doc["keyId"]))
    check(f"{label}threshold", lambda: outcome["t"] == config["t"] == len(outcome["commitment"]))
    check(f"{label}commitment", lambda: [encode_point(point).hex() for point in outcome["commitment"]] == doc["commitment"])
    check(f"{label}QUAL", lambda: len(outcome["dealings"]) >= least and all(i in dealers["members"] for i, _ in outcome["dealings"]))
    check_signatures(certificate, spec, outcome, o, label)
    for member in doc["members"]:
        expected = horner(outcome["commitment"], member["index"])
        check(f"{label}Y_{member['index']}", lambda e=expected, m=member: encode_point(e) == h(m["verificationShare"]))
        check(f"{label}roster {member['index']}", lambda m=member: config["members"][m["index"]] == h(m["ed25519"]))
        if "share" in member:
            share = decode_scalar(h(member["share"]))
            check(f"{label}share of {member['index']}", lambda e=expected, s=share: multiply(s, G) == e)
    return spec, outcome


def read_join(payload):
    """(role, EK or None, c or None) of a JOIN without CERT1."""
    reader = Reader(payload)
    role = reader.number(1)
    key = decode_point(reader.take(33)) if role & 1 else None
    commit = reader.take(32) if role & 2 else None
    require(role in (1, 2, 3) and reader.number(1) == 0, "role and no CERT1")
    reader.end()
    return role, key, commit


def check_transcript(doc, spec, outcome, constants=None, label=""):
    """Builds the outcome again from the JOINSET and the DEALs alone. `constants`: what each dealer's A_i[0] must be (D5)."""
    members = {**spec["dealers"]["members"], **spec["config"]["members"]}
    ceremony, view = outcome["ceremony"], outcome["view"]
    messages = [read_signed(h(text)) for text in doc["messages"]]
    for message in messages:
        name = f"{label}{message['name']} message of {message['from']}"
        signed = signed_bytes(message["name"], message["body"])
        check(name, lambda m=message, s=signed: verify_ed25519(members[m["from"]], s, m["signature"]))
        check(f"{name}, header", lambda m=message: m["ceremony"] == ceremony and m["view"] == view)
    joinset = next(message for message in messages if message["name"] == "joinset")
    joins = [read_signed(var(body) + signature) for body, signature in
             decode(joinset["payload"], lambda r: r.list(lambda item: (item.var(), item.take(64))))]
    listed = b"".join(u(2, join["from"]) + tagged("join", join["body"]) for join in joins)
    sid = tagged("session", ceremony, u(4, view), u(2, len(joins)), listed)
    check(f"{label}sid", lambda: sid == outcome["sid"] == h(doc["sid"]))
    joined = {join["from"]: read_join(join["payload"]) for join in joins}
    receivers = sorted(j for j, (role, _, _) in joined.items() if role & 1)
    check(f"{label}receivers are members", lambda: all(j in spec["config"]["members"] for j in receivers))
    qual = [i for i, _ in outcome["dealings"]]
    weights = dict(zip(qual, [1] * len(qual) if constants is None else lagrange(qual)))
    sums = [None] * outcome["t"]
    for message in (message for message in messages if message["name"] == "deal" and message["from"] in weights):
        i, deal = message["from"], decode(message["payload"], read_deal)
        common = points(deal["commitment"]) + encode_point(deal["ephemeral"])
        opened = tagged("deal-commit", ceremony, u(4, view), u(2, i), deal["nonce"], common)
        check(f"{label}D1 of {i}", lambda d=deal: d["sid"] == sid)
        check(f"{label}D2 of {i}", lambda d=deal: len(d["commitment"]) == outcome["t"] and [j for j, _ in d["shares"]] == receivers)
        check(f"{label}D3 of {i}", lambda o=opened, i=i: o == joined[i][2])
        pop_a, pop_r = (tagged(tag, sid, u(2, i), common) for tag in ("pop-a", "pop-r"))
        if constants is None:
            check(f"{label}D4 popA of {i}", lambda d=deal, m=pop_a: verify_bip340(d["commitment"][0], m, d["popA"]))
        else:
            check(f"{label}D4 no popA of {i}", lambda d=deal: d["popA"] == bytes(64))
            check(f"{label}D5 of {i}", lambda d=deal, i=i: d["commitment"][0] == constants[i])
        check(f"{label}D4 popR of {i}", lambda d=deal, m=pop_r: verify_bip340(d["ephemeral"], m, d["popR"]))
        check(f"{label}dealing of {i} in QUAL", lambda i=i, m=message: dict(outcome["dealings"])[i] == tagged("deal", m["body"]))
        weighted = [multiply(weights[i], point) for point in deal["commitment"]]
        sums = [add(total, point) for total, point in zip(sums, weighted)]
    check(f"{label}A' is the weighted sum of the dealings", lambda: sums == outcome["commitment"])


def check_hand_over(name, doc, before):
    """A resharing against the certificate it succeeds."""
    (old_spec, old_outcome, old_sharing), label = before, f"{name}: "
    spec, outcome = check_certificate(doc, label)
    dealers = spec["dealers"]["members"]
    check(f"{label}chain", lambda: spec["previous"] == old_sharing and spec["old"] == old_spec["new"]
          and spec["epoch"] == old_spec["epoch"] + 1)
    check(f"{label}same key", lambda: all(spec[field] == old_spec[field] for field in ("cluster", "purpose", "name", "generation"))
          and spec["keyId"] == old_outcome["keyId"] and outcome["commitment"][0] == old_outcome["commitment"][0])
    check_transcript(doc, spec, outcome, {i: horner(old_outcome["commitment"], i) for i in dealers}, label)
    secret = [(m["index"], decode_scalar(h(m["share"]))) for m in doc["members"] if "share" in m][-outcome["t"] :]
    factors = lagrange([index for index, _ in secret])
    total = sum(factor * share for factor, (_, share) in zip(factors, secret)) % N
    check(f"{label}t new shares are the old key", lambda: multiply(total, G) == old_outcome["commitment"][0])
    return spec, outcome


def check_hand_overs(doc, before):
    check_hand_over("reshare", doc["reshare"], before)
    check_hand_over("repropose", doc["repropose"], before)
    again = decode(h(doc["repropose"]["certificate"]), read_certificate)
    check("repropose: two lists of votes, one without a share", lambda: again["view"] > again["v0"]
          and sorted({holds for _, holds, _ in again["later"]}) == [0, 1])
    key = multiply(decode_scalar(h(doc["import"]["secret"])), G)
    spec, outcome = check_certificate(doc["import"], "import: ")
    check("import: its public key", lambda: outcome["commitment"][0] == key and spec["name of kind"] == "import")
    [importer] = spec["dealers"]["members"]
    check_transcript(doc["import"], spec, outcome, {importer: key}, "import: ")


def check_dleq(doc):
    check("second generator", lambda: doc["secondGenerator"] == "028d16c7b199d85dc76b107f881b2ac31ccd6cfab8afa47662c5f47c3b05d1d34c")
    for at, row in enumerate(doc["proofs"]):
        base, a, b, c = (decode_point(h(row[name])) for name in ("base", "A", "B", "C"))
        message, proof = h(row["message"]), h(row["proof"])
        made = prove_dleq(decode_scalar(h(row["secret"])), b, base, h(row["aux"]), message)
        check(f"proof {at} made again", lambda m=made, p=proof, a=a, c=c: m == (a, c, p))
        check(f"proof {at} verifies", lambda p=proof, a=a, b=b, c=c, base=base, m=message: verify_dleq(a, b, c, base, m, p))
        flipped = proof[:-1] + bytes([proof[-1] ^ 1])
        check(f"proof {at} mauled", lambda p=flipped, a=a, b=b, c=c, base=base, m=message: not verify_dleq(a, b, c, base, m, p))


def check_header(doc, outcome):
    """The v2 header: proof, key commitment and labels, from the public parts and D."""
    v2, key = doc["v2"]["json"], outcome["commitment"][0]
    k = decode_scalar(h(doc["v2"]["k"]))
    K, Kbar = decode_point(h(v2["K"])), decode_point(h(v2["Kbar"]))
    gbar = decode_point(h("028d16c7b199d85dc76b107f881b2ac31ccd6cfab8afa47662c5f47c3b05d1d34c"))
    check("v2 K, Kbar and D", lambda: (K, Kbar, multiply(k, key)) == (multiply(k, G), multiply(k, gbar), decode_point(h(doc["v2"]["D"]))))
    label = u(8, v2["chainId"]) + h(v2["handle"]) + tagged("policy", h(v2["policy"]))
    message = tagged("hdr", h(v2["keyId"]), var(label), h(v2["keyCommitment"]), tagged("ct", h(v2["ciphertext"])))
    check("v2 header message", lambda: message == h(doc["v2"]["headerMessage"]))
    check("v2 header proof", lambda: verify_dleq(K, gbar, Kbar, G, message, h(v2["proof"])))
    prk = hkdf_extract(tagged("ecies", h(v2["keyId"]), h(v2["K"])), h(doc["v2"]["D"]))
    check("v2 key commitment", lambda: hkdf_expand(prk, b"TKMS/1 commit", 32) == h(v2["keyCommitment"]))
    header = h(v2["keyId"]) + var(label) + h(v2["K"]) + h(v2["Kbar"]) + h(v2["keyCommitment"])
    binary = b"TKMS\x02" + var(header) + h(v2["proof"]) + var(h(v2["policy"])) + h(v2["ciphertext"])
    check("v2 binary form", lambda: binary == h(doc["v2"]["binary"]))
    v1 = doc["v1"]["json"]
    binary1 = b"TKMS\x01" + h(v1["handle"]) + h(v1["public_key"]) + h(v1["nonce"]) + h(v1["ciphertext"])
    check("v1 binary form", lambda: binary1 == h(doc["v1"]["binary"]))
    check("v1 D", lambda: multiply(decode_scalar(h(doc["v1"]["k"])), key) == decode_point(h(doc["v1"]["D"])))


def check_decryption(doc, spec, outcome, o, envelope_point):
    request, K = h(doc["request"]), decode_point(h(doc["K"]))
    requester = h(doc["publicKeyId"].removeprefix("ed25519:"))
    check("request signature", lambda: verify_ed25519(requester, signed_bytes("request", request), h(doc["requestSignature"])))
    for name, data in (("request", doc), ("batch request", doc["batch"])):
        check(f"{name} hash", lambda d=data: tagged("request", h(d["request"])) == h(d["requestHash"]))
        check(f"{name} head", lambda d=data: h(d["request"])[:97] == b"\x01" + spec["cluster"] + outcome["keyId"] + o)
    check("partial of the v2 envelope", lambda: h(doc["K"]) == h(envelope_point))
    partials = {}
    for answer in doc["answers"]:
        index, ctx, content = answer["index"], h(answer["ctx"]), h(answer["content"])
        expected = (u(2, 1) + u(1, spec["purpose"]) + outcome["keyId"] + u(4, spec["epoch"]) + o + u(2, index)
                    + request[97:129] + h(doc["requestHash"]))
        point, share = decode_point(h(answer["D"])), horner(outcome["commitment"], index)
        partials[index] = point
        check(f"ctx of {index}", lambda e=expected, c=ctx: e == c)
        check(f"partial of {index}", lambda s=share, p=point, c=ctx, a=answer: verify_dleq(s, K, p, G, tagged("pdec", c), h(a["proof"])))
        check(f"content of {index}", lambda c=content, i=index, a=answer: c == u(2, i) + h(a["D"]) + h(a["proof"]))
        signed = signed_bytes("resp", ctx + sha256(h(answer["box"])) + sha256(content))
        key = spec["config"]["members"][index]
        check(f"answer of {index}", lambda k=key, s=signed, a=answer: verify_ed25519(k, s, h(a["signature"])))
    for combination in doc["combinations"]:
        chosen = [(index, partials[index]) for index in combination["indices"]]
        check(f"combination {combination['indices']}", lambda c=chosen, e=combination: encode_point(combine(c)) == h(e["D"]))
    return doc["combinations"][0]["D"]


def wallet_address(point):
    return keccak256(u(32, point[0]) + u(32, point[1]))[12:]


def recover_wallet(digest, signature):
    """The address behind r || s || v; v is 27 or 28 and s at most N / 2."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    require(len(signature) == 65 and v in (27, 28) and 0 < r < N and 0 < s <= N // 2, "r, s and v in range")
    nonce, inverse = decode_point(bytes([2 + v - 27]) + signature[:32]), pow(r, -1, N)
    key = add(multiply(s * inverse % N, nonce), multiply(-int.from_bytes(digest, "big") * inverse % N, G))
    return wallet_address(key)


def eip712(primary, fields, values):
    """The digest of a struct in our domain. `fields` as in its type string; dynamic values are hashed here."""
    encoded = b""
    for field, value in zip(fields.split(","), values, strict=True):
        kind = field.split(" ")[0]
        encoded += u(32, value) if kind == "uint256" else keccak256(value) if kind in ("bytes", "string") else value
        require(len(encoded) % 32 == 0, "words of 32 bytes")
    domain = b"".join(map(keccak256, (b"EIP712Domain(string name,string version)", b"Threshold KMS", b"1")))
    return keccak256(b"\x19\x01" + keccak256(domain) + keccak256(keccak256(f"{primary}({fields})".encode()) + encoded))


def read_request(reader):
    require(reader.number(1) == 1, "request version")
    request = {"cluster": reader.take(32), "keyId": reader.take(32), "sharing": reader.take(32), "id": reader.take(32)}
    request["from"], request["until"], request["spki"] = reader.number(8), reader.number(8), reader.var()
    request["signer"] = reader.var().decode("ascii")
    request["evidence"] = reader.list(lambda r: r.var())
    request["items"] = reader.list(read_v1_item)
    return request


def read_v1_item(reader):
    require(reader.number(1) == 1, "a v1 item")
    return {"K": reader.take(33), "chain": reader.number(8), "handle": reader.take(32), "grant": reader.var()}


def read_session(reader):
    require(reader.number(1) == 1, "session version")
    session = {"cluster": reader.take(32), "keyId": reader.take(32), "spki": reader.take(32), "key": reader.take(32)}
    session["principal"] = reader.var().decode("ascii")
    session["from"], session["until"], session["id"] = reader.number(8), reader.number(8), reader.take(32)
    session["handles"] = reader.list(lambda r: (r.number(8), r.take(32)))
    return session


def read_grant(reader):
    require(reader.number(1) == 1, "grant version")
    grant = {"cluster": reader.take(32), "keyId": reader.take(32), "chain": reader.number(8), "handle": reader.take(32)}
    grant["K"], grant["spki"], grant["requester"] = reader.take(33), reader.take(32), reader.var().decode("ascii")
    return {**grant, "from": reader.number(8), "until": reader.number(8), "id": reader.take(32)}


WINDOW = "uint256 notBefore,uint256 expiresAt"
HEAD = "bytes32 clusterId,bytes32 keyId"


def request_digest(request, data):
    fields = f"{HEAD},bytes32 recipientKeyHash,uint256 items,{WINDOW},bytes32 requestHash"
    values = (request["cluster"], request["keyId"], sha256(request["spki"]), len(request["items"]))
    return eip712("DecryptionRequest", fields, (*values, request["from"], request["until"], tagged("request", data)))


def session_digest(session, body):
    fields = f"{HEAD},bytes32 recipientKeyHash,uint256 handles,{WINDOW},bytes32 sessionHash"
    values = (session["cluster"], session["keyId"], session["spki"], len(session["handles"]))
    return eip712("DecryptionSession", fields, (*values, session["from"], session["until"], tagged("decrypt-session", body)))


def grant_digest(grant, body):
    fields = f"{HEAD},uint256 chainId,bytes32 handle,bytes point,string requester,bytes32 recipientKeyHash,{WINDOW},bytes32 grantHash"
    values = (grant["cluster"], grant["keyId"], grant["chain"], grant["handle"], grant["K"], grant["requester"].encode())
    return eip712("DecryptionGrant", fields, (*values, grant["spki"], grant["from"], grant["until"], tagged("grant", body)))


def signed_by(signer, tag, body, digest, signature):
    if signer.startswith("ed25519:"):
        return verify_ed25519(h(signer[8:]), signed_bytes(tag, body), signature)
    require(signer.startswith("eip712:0x") and signer == signer.lower(), "a key or a wallet")
    return recover_wallet(digest, signature) == h(signer[7:])


def check_requesters(doc, spec, outcome):
    head = (spec["cluster"], outcome["keyId"])
    check("keccak-256", lambda: keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
          and keccak256(bytes(200)) != keccak256(bytes(201)))
    check("wallet", lambda: wallet_address(multiply(decode_scalar(h(doc["walletKey"])), G)) == h(doc["signers"]["eip712"][7:]))
    data = h(doc["request"]["bytes"])
    request = decode(data, read_request)
    digest = request_digest(request, data)
    check("wallet's request, its parts", lambda: (request["cluster"], request["keyId"]) == head
          and request["signer"] == doc["signers"]["eip712"] and tagged("request", data) == h(doc["request"]["hash"]))
    check("wallet's request, digest", lambda: digest == h(doc["request"]["digest"]))
    check("wallet's request, signature", lambda: signed_by(request["signer"], "request", data, digest, h(doc["request"]["signature"])))
    for kind, vector in doc["grants"].items():
        body, issuer, signature = decode(h(vector["bytes"]), lambda r: (r.var(), r.var().decode("ascii"), r.var()))
        grant = decode(body, read_grant)
        check(f"grant by {kind}, its parts", lambda g=grant, i=issuer, k=kind: (g["cluster"], g["keyId"]) == head
              and i == doc["signers"][k] and g["spki"] == sha256(request["spki"]) and g["K"] == request["items"][0]["K"])
        check(f"grant by {kind}, digest", lambda g=grant, b=body, v=vector: grant_digest(g, b) == h(v["digest"]))
        check(f"grant by {kind}, signature", lambda g=grant, b=body, i=issuer, s=signature: signed_by(i, "grant", b, grant_digest(g, b), s))
    for kind, vector in doc["sessions"].items():
        body, signature = decode(h(vector["bytes"]), lambda r: (r.var(), r.var()))
        session, data = decode(body, read_session), h(vector["request"])
        asked, name = decode(data, read_request), tagged("decrypt-session", body)
        check(f"session of {kind}, its parts", lambda s=session, k=kind: (s["cluster"], s["keyId"]) == head
              and s["principal"] == doc["signers"][k] and 0 < s["until"] - s["from"] <= 3600)
        check(f"session of {kind}, hash and digest", lambda s=session, b=body, v=vector, n=name: n == h(v["hash"])
              and session_digest(s, b) == h(v["digest"]))
        check(f"session of {kind}, signature", lambda s=session, b=body, g=signature:
              signed_by(s["principal"], "decrypt-session", b, session_digest(s, b), g))
        check(f"request in a session of {kind}, its parts", lambda s=session, a=asked, v=vector, n=name: a["signer"] == f"session:{n.hex()}"
              and a["evidence"] == [b"\x02" + h(v["bytes"])] and s["spki"] == sha256(a["spki"])
              and all(s["handles"] in ([], [(item["chain"], item["handle"])]) for item in a["items"]))
        check(f"request in a session of {kind}, signature", lambda s=session, d=data, v=vector:
              verify_ed25519(s["key"], signed_bytes("request", d), h(v["requestSignature"])))


def nox_digest(domain, primary, fields, values):
    """The digest of a struct of Nox. `domain` and `values` as (type, value); strings and bytes are hashed here."""
    def words(parts):
        return b"".join(u(32, v) if isinstance(v, int) else keccak256(v) if kind == "string" else bytes(32 - len(v)) + v for kind, v in parts)
    separator = keccak256(keccak256(domain[0].encode()) + words(domain[1]))
    return keccak256(b"\x19\x01" + separator + keccak256(keccak256(f"{primary}({fields})".encode()) + words(values)))


def read_nox(reader):
    require(reader.number(1) == 0x4E and reader.number(1) == 1, "a Nox authorization of version 1")
    nox = {"chain": reader.number(8), "point": reader.var(), "target": reader.var(), "signature": reader.var(), "user": None}
    if reader.number(1) == 1:
        user = {"address": reader.take(20), "key": reader.var(), "from": reader.number(8), "until": reader.number(8)}
        nox["user"] = {**user, "signature": reader.var()}
    return nox


def nox_text(text):
    return h(text.decode("ascii").removeprefix("0x").lower())


def check_nox(doc):
    short, whole = decode(h(doc["gatewayAlone"]), read_nox), decode(h(doc["withUser"]), read_nox)
    user, chain = whole["user"], whole["chain"]
    check("nox, its parts", lambda: short == {**whole, "user": None} and nox_text(whole["point"]) == h(doc["K"])
          and nox_text(whole["target"]) == nox_text(user["key"]) == h(doc["spki"]) and 0 < user["until"] - user["from"] <= 3600)
    head = "EIP712Domain(string name,string version,uint256 chainId"
    named = [("string", b"ProtocolDelegate"), ("string", b"1"), ("uint256", chain)]
    delegate = nox_digest((head + ")", named), "DelegateAuthorization", "string ephemeralPubKey,string targetPubKey",
                          [("string", whole["point"]), ("string", whole["target"])])
    check("nox gateway, digest", lambda: delegate == h(doc["delegateDigest"]))
    check("nox gateway, signature", lambda: recover_wallet(delegate, whole["signature"]) == h(doc["gateway"]))
    named = [("string", b"Handle Gateway"), ("string", b"1"), ("uint256", chain), ("address", h(doc["contract"]))]
    access = nox_digest((head + ",address verifyingContract)", named), "DataAccessAuthorization",
                        f"address userAddress,string encryptionPubKey,{WINDOW}",
                        [("address", user["address"]), ("string", user["key"]), ("uint256", user["from"]), ("uint256", user["until"])])
    check("nox user, digest", lambda: access == h(doc["accessDigest"]))
    check("nox user, signature", lambda: recover_wallet(access, user["signature"]) == user["address"] == h(doc["user"]))


REFUSALS = 23  # how many codes the table of docs/interfaces.md has a number for


def read_audit_item(reader):
    item = {"chainId": reader.number(8), "handle": reader.take(32).hex(), "K": encode_point(decode_point(reader.take(33))).hex()}
    status = reader.number(1)
    require(status <= REFUSALS, "a refusal number")
    return {**item, "status": status}


def read_audit_release(reader):
    record = {"keyId": reader.take(32).hex(), "sharingId": reader.take(32).hex(), "epoch": reader.number(4), "requestHash": reader.take(32).hex()}
    record["requester"], record["principal"] = reader.var().decode("ascii"), reader.var().decode("ascii")
    record["recipientSpkiHash"], record["items"] = reader.take(32).hex(), reader.list(read_audit_item)
    record["rules"] = reader.list(lambda r: r.var().decode("ascii"))
    record["grants"] = reader.list(lambda r: {"issuer": r.var().decode("ascii"), "grantId": r.take(32).hex()})
    named = [(grant["issuer"], grant["grantId"]) for grant in record["grants"]]
    require(named == sorted(set(named)), "grants in ascending order")
    return record


def read_audit_refusals(reader):
    record = {"code": reader.number(1), "keyId": reader.take(32).hex(), "since": reader.number(8)}
    return {**record, "count": reader.number(8), "requesters": reader.number(4)}


AUDIT_KINDS = {
    1: ("release", read_audit_release),
    2: ("refusals", read_audit_refusals),
    3: ("start", lambda r: {"version": r.var().decode("ascii")}),
    4: ("stop", lambda r: {}),
    5: ("policy", lambda r: {"fileHash": r.take(32).hex()}),
    6: ("loss", lambda r: {}),
    7: ("archive", lambda r: {"count": r.number(8)}),
}


def read_audit_record(reader):
    require(reader.number(1) == 1, "record version")
    seq, time = reader.number(8), reader.number(8)
    kind, read = AUDIT_KINDS[reader.number(1)]
    return {"seq": seq, "time": time, "kind": kind, **read(reader)}


def check_audit(doc, spec):
    """The chain from the node's own start to the head that it signed."""
    index, key = doc["index"], spec["config"]["members"][doc["index"]]
    state = tagged("audit-genesis", spec["cluster"], u(2, index), key)
    check("audit genesis", lambda: state == h(doc["genesis"]))
    for at, row in enumerate(doc["records"]):
        record = h(row["record"])
        state = tagged("audit", state, record)
        check(f"audit record {at} chained", lambda s=state, r=row: s == h(r["hash"]))
        check(f"audit record {at} read", lambda d=record, r=row: decode(d, read_audit_record) == r["fields"])
        check(f"audit record {at} in its place", lambda a=at, r=row: r["fields"]["seq"] == a)
    require({row["fields"]["kind"] for row in doc["records"]} == {name for name, _ in AUDIT_KINDS.values()}, "every kind")
    head = b"\x01" + spec["cluster"] + u(2, index) + u(8, len(doc["records"])) + state + u(8, doc["time"])
    check("audit head", lambda: head == h(doc["head"]))
    check("audit head signed", lambda: verify_ed25519(key, signed_bytes("audit-head", h(doc["head"])), h(doc["signature"])))


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "test/golden/vectors"
    ceremony, envelopes, decryption = (load(folder, f"{name}.json") for name in ("ceremony", "envelopes", "decryption"))
    spec, outcome = check_certificate(ceremony)
    check_transcript(ceremony, spec, outcome)
    check_hand_overs(load(folder, "handover.json"), (spec, outcome, h(ceremony["sharingId"])))
    check_dleq(load(folder, "dleq.json"))
    check_header(envelopes, outcome)
    check_requesters(load(folder, "requesters.json"), spec, outcome)
    check_nox(load(folder, "nox.json"))
    check_audit(load(folder, "audit.json"), spec)
    combined = check_decryption(decryption, spec, outcome, h(ceremony["sharingId"]), envelopes["v2"]["json"]["K"])
    check("the combined point opens the v2 envelope", lambda: combined == envelopes["v2"]["D"])


if __name__ == "__main__":
    try:
        main()
    except (Bad, ValueError, KeyError, IndexError, StopIteration) as problem:
        failed += 1
        print(f"FAILED: {problem!r}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
