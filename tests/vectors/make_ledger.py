"""Makes ledger.json: a ledger of erasures, from docs/formats.md alone.

Uses none of the product's code. Run it, and compare: the file never changes.
"""

import hashlib
import json
from pathlib import Path


def line(document):
    return json.dumps(document, separators=(",", ":"))


def digest(text):
    return hashlib.sha256(b"pdvault/ledger/v1\x00" + text.encode()).hexdigest()


def main():
    lines = [
        line(
            {
                "v": 1,
                "index": 0,
                "kind": "ledger",
                "ledger": "00112233445566778899aabbccddeeff",
                "origin": "shop.example/audit",
                "time": "2026-03-01T08:00:00.000000Z",
            }
        )
    ]
    for document in (
        {
            "kind": "erase",
            "erasure": "11111111111141118111111111111111",
            "tenant": "demo-shop",
            "subject": "22222222222242228222222222222222",
            "cause": "consumer_request",
            "time": "2026-03-02T09:30:00.123456Z",
        },
        {
            "kind": "backup",
            "backup": "33333333333343338333333333333333",
            "form": "pdvault",
            "taken_at": "2026-03-03T02:00:00.000000Z",
            "covers_until": "2026-03-03T02:00:01.500000Z",
            "keep_until": "2026-06-01T00:00:00.000000Z",
            "roots": {"demo-shop": {"1": 3, "2": 40}, "other-shop": {"1": 5}},
            "time": "2026-03-03T02:05:00.000000Z",
        },
        {
            "kind": "backup",
            "backup": "44444444444444448444444444444444",
            "form": "archive",
            "taken_at": "2026-03-03T03:00:00.000000Z",
            "covers_until": None,
            "keep_until": "2026-04-01T00:00:00.000000Z",
            "roots": {},
            "time": "2026-03-03T03:05:00.000000Z",
        },
        {
            "kind": "erase",
            "erasure": "55555555555545558555555555555555",
            "tenant": "other-shop",
            "subject": "66666666666646668666666666666666",
            "cause": "legal_order",
            "time": "2026-03-04T23:59:59.999999Z",
        },
    ):
        first = {"v": 1, "index": len(lines)}
        lines.append(line(first | document | {"previous": digest(lines[-1])}))
    vectors = [{"line": text, "hash": digest(text)} for text in lines]
    path = Path(__file__).with_name("ledger.json")
    path.write_text(json.dumps({"lines": vectors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
