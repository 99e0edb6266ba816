"""What the log must say of every RPC, as data: a row for each, and outcomes that all share.

`tests/rpc/test_entry_matrix.py` makes the calls. An RPC without a row fails there.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

import vault.v1
from vault.model import Authentication

Item = tuple[str, str, str]
"""Field type, verdict, reason."""


def every_rpc() -> dict[str, MethodDescriptor]:
    """Each method of each service in the protos, by full name with a slash."""
    found: dict[str, MethodDescriptor] = {}
    for module in pkgutil.iter_modules(vault.v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"vault.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                found |= {f"{service.full_name}/{each.name}": each for each in service.methods}
    return found


@dataclass(frozen=True, slots=True)
class Expected:
    """One entry that must be there.

    Attributes:
        subject: `demo`, the handle of the seeded consumer; `new`, another one; `` for none.
    """

    verdict: str = "ALLOWED"
    reason: str = "NONE"
    subject: str = ""
    items: tuple[Item, ...] = ()
    field: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way for a call to end.

    Attributes:
        request: proto JSON with the words of `rpc_cases.Seeds`.
        reason: of the error that is answered; NONE: status OK.
        before: a call with this request first, by the same caller.
    """

    request: Mapping[str, Any]
    entries: tuple[Expected, ...]
    reason: str = "NONE"
    before: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """A service by the name that tests call it, and a person whom the console carries."""

    service: str
    person: str

    def name(self, authentication: Authentication) -> str:
        return self.person if authentication is Authentication.JWT else self.service


@dataclass(frozen=True, slots=True)
class Row:
    """What is particular to one RPC.

    Attributes:
        may: those whom policy lets do it, as `good` asks.
        may_not: those on the service's list whom policy refuses `refused`.
        bad: None where a request holds nothing that can be wrong.
        waits_at: a table whose lock holds the call up.
        is_recorded_first: held up there, its entry is with the log already.
        knows_types: held up there, it knows its items' field types.
        others: further outcomes, by name; those of `people` too, in place of those for services.
    """

    may: Who
    may_not: Who
    good: Outcome
    refused: Outcome
    bad: Outcome | None
    waits_at: str
    is_recorded_first: bool = False
    knows_types: bool = False
    others: Mapping[str, Outcome] = field(default_factory=dict)
    people: Mapping[str, Outcome] = field(default_factory=dict)

    def outcomes(self, authentication: Authentication) -> dict[str, Outcome]:
        """By name."""
        found = {"good": self.good, "refused": self.refused, **self.others}
        if self.bad is not None:
            found["bad"] = self.bad
        return found | (self.people if authentication is Authentication.JWT else {})


def _read(request: Mapping[str, Any]) -> Outcome:
    return Outcome(request, (Expected(),))


_DENIED = (Expected("REFUSED", "POLICY_DENIED"),)


def _denied(request: Mapping[str, Any]) -> Outcome:
    return Outcome(request, _DENIED, "POLICY_DENIED")


def _invalid(request: Mapping[str, Any], path: str, reason: str = "FIELD_INVALID") -> Outcome:
    return Outcome(request, (Expected("INVALID", reason, field=path),), reason)


def _subject(ref: str, **values: str) -> dict[str, Any]:
    return {
        "subject_ref": ref,
        "fields": [{"field_type": name, "value": value} for name, value in values.items()],
    }


def _tokenize(*subjects: Mapping[str, Any], key: str = "$key", **more: Any) -> dict[str, Any]:
    return {"idempotency_key": key, "subjects": list(subjects), **more}


def _detokenize(purpose: str, *tokens: str, **more: Any) -> dict[str, Any]:
    return {"purpose": purpose, "items": [{"token": token} for token in tokens], **more}


_PHONE = "13812345678"
_ISSUED = ("phone", "ALLOWED", "NONE")
_TYPO = ("phone", "INVALID", "VALUE_INVALID")
_NO_ROLE = ("phone", "REFUSED", "POLICY_DENIED")
_ONE = _subject("$ref", phone=_PHONE)
_NEW = Expected(subject="new", items=(_ISSUED,), purpose="")
_REPEATED = _tokenize(_subject("seed-demo", phone=_PHONE), key="entry-matrix-repeat-1")
_REUSED = _tokenize(_subject("seed-demo", phone="13800000000"), key="entry-matrix-repeat-1")

_TOKENIZE = Row(
    may=Who("order", "bob"),
    may_not=Who("shipping", "alice"),
    good=Outcome(_tokenize(_ONE), (_NEW,)),
    refused=Outcome(
        _tokenize(_subject("seed-demo", phone=_PHONE)),
        (Expected("REFUSED", "POLICY_DENIED", "demo", (_NO_ROLE,)),),
    ),
    bad=_invalid({"subjects": [_ONE]}, "idempotency_key", "FIELD_MISSING"),
    waits_at="subject_refs",
    knows_types=True,
    others={
        "two subjects": Outcome(_tokenize(_ONE, _ONE), (_NEW, _NEW)),
        "one subject twice": Outcome(
            _tokenize(_subject("seed-demo", phone=_PHONE), _subject("seed-demo", phone=_PHONE)),
            (Expected(subject="demo", items=(_ISSUED, _ISSUED)),),
        ),
        "a known and a new subject": Outcome(
            _tokenize(_subject("seed-demo", phone=_PHONE), _ONE),
            (Expected(subject="demo", items=(_ISSUED,)), _NEW),
        ),
        "one value invalid": Outcome(
            _tokenize(_subject("seed-demo", phone=_PHONE), _subject("seed-demo", phone="1")),
            (Expected(subject="demo", items=(_ISSUED, _TYPO)),),
        ),
        "every value invalid": Outcome(
            _tokenize(_subject("$ref", phone="1")),
            (Expected("INVALID", "VALUE_INVALID", "", (_TYPO,)),),
        ),
        "all or nothing": Outcome(
            _tokenize(
                _subject("seed-demo", phone=_PHONE),
                _subject("$ref", phone="1"),
                all_or_nothing=True,
            ),
            (
                Expected(
                    "INVALID",
                    "VALUE_INVALID",
                    "demo",
                    (("phone", "INVALID", "VALUE_INVALID"),),
                    "subjects[1].fields[0]",
                ),
                Expected("INVALID", "VALUE_INVALID", "", (_TYPO,), "subjects[1].fields[0]"),
            ),
            "VALUE_INVALID",
        ),
        "unknown field type": _invalid(
            _tokenize(_subject("$ref", no_such_type=_PHONE)),
            "subjects[0].fields[0].field_type",
            "FIELD_TYPE_UNKNOWN",
        ),
        "repeated": Outcome(
            _REPEATED, (Expected(subject="demo", items=(_ISSUED,)),), before=_REPEATED
        ),
        "key used for another": Outcome(
            _REUSED,
            (
                Expected(
                    "INVALID",
                    "IDEMPOTENCY_KEY_REUSED",
                    "demo",
                    (("phone", "INVALID", "IDEMPOTENCY_KEY_REUSED"),),
                    "idempotency_key",
                ),
            ),
            "IDEMPOTENCY_KEY_REUSED",
            before=_REPEATED,
        ),
    },
)


def _reveals(purpose: str) -> dict[str, Outcome]:
    """Outcomes of Detokenize; both purposes reveal a phone and no bank card."""
    phone = ("phone", "ALLOWED", "NONE")
    card = ("bank_card", "REFUSED", "FIELD_NOT_IN_PURPOSE")
    unknown = ("", "REFUSED", "TOKEN_UNKNOWN")
    typo = ("", "INVALID", "TOKEN_MALFORMED")
    demo = "$demo.phone"

    def entry(*items: Item, subject: str = "demo", purpose: str = purpose) -> Expected:
        is_allowed = any(item[1] == "ALLOWED" for item in items)
        verdict, reason = ("ALLOWED", "NONE") if is_allowed else items[0][1:]
        return Expected(verdict, reason, subject, items, purpose=purpose)

    return {
        "good": Outcome(_detokenize(purpose, demo), (entry(phone),)),
        "refused": Outcome(
            _detokenize(purpose, demo), (entry(("phone", "REFUSED", "PURPOSE_NOT_PERMITTED")),)
        ),
        "bad": _invalid(_detokenize(purpose, ""), "items[0].token", "FIELD_MISSING"),
        "unknown token": Outcome(_detokenize(purpose, "$unknown"), (entry(unknown, subject=""),)),
        "malformed token": Outcome(_detokenize(purpose, "$typo"), (entry(typo, subject=""),)),
        "another tenant's token": Outcome(
            _detokenize(purpose, "$other.phone"), (entry(unknown, subject=""),)
        ),
        "mixed verdicts": Outcome(
            _detokenize(purpose, demo, "$demo.bank_card", "$typo", "$unknown"),
            (entry(phone, card), entry(typo, unknown, subject="")),
        ),
        "two subjects": Outcome(
            _detokenize(purpose, demo, "$second.phone", "$second.bank_card"),
            (entry(phone), entry(phone, card, subject="second")),
        ),
        "the same token twice": Outcome(_detokenize(purpose, demo, demo), (entry(phone, phone),)),
        "unknown purpose": Outcome(
            _detokenize("no_such_purpose", demo),
            (entry(("phone", "REFUSED", "PURPOSE_UNKNOWN"), purpose=""),),
        ),
        "all or nothing": Outcome(
            _detokenize(purpose, demo, "$second.bank_card", all_or_nothing=True),
            tuple(
                Expected(
                    "REFUSED",
                    "FIELD_NOT_IN_PURPOSE",
                    subject,
                    ((name, "REFUSED", "FIELD_NOT_IN_PURPOSE"),),
                    purpose=purpose,
                )
                for subject, name in (("demo", "phone"), ("second", "bank_card"))
            ),
            "FIELD_NOT_IN_PURPOSE",
        ),
    }


_BY_SERVICES, _BY_PEOPLE = _reveals("delivery"), _reveals("after_sales")
_DETOKENIZE = Row(
    may=Who("shipping", "alice"),
    may_not=Who("order", "bob"),
    good=_BY_SERVICES["good"],
    refused=_BY_SERVICES["refused"],
    bad=_BY_SERVICES["bad"],
    waits_at="tokens",
    others={name: _BY_SERVICES[name] for name in set(_BY_SERVICES) - {"good", "refused", "bad"}},
    people=_BY_PEOPLE,
)


def _audit_row(request: Mapping[str, Any], bad: Outcome, waits_at: str, **others: Outcome) -> Row:
    return Row(
        may=Who("auditor", "dora"),
        may_not=Who("policy-owner", "paul"),
        good=_read(request),
        refused=_denied(request),
        bad=bad,
        waits_at=waits_at,
        others=others,
    )


_HOURS = {"from": "2026-01-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
_FUTURE = 1 << 40
_AHEAD = Outcome({"min_size": _FUTURE}, (Expected("FAILED", "NOT_PUBLISHED"),), "NOT_PUBLISHED")

PAUSED_JOB, ENDED_JOB = "a" * 32, "b" * 32
"""Jobs that are there: one paused, one done."""


def _keys_row(request: Mapping[str, Any], bad: Outcome | None = None, **others: Outcome) -> Row:
    """An RPC of key custodians; a policy owner is on the service's list, and may not."""
    return Row(
        may=Who("custodian-1", "kim"),
        may_not=Who("policy-owner", "paul"),
        good=_read(request),
        refused=_denied(request),
        bad=bad,
        waits_at="audit_entries",
        is_recorded_first=True,
        others=others,
    )


_NO_JOB = Outcome({"job_id": "0" * 32}, (Expected("REFUSED", "JOB_UNKNOWN"),), "JOB_UNKNOWN")


def _erase(**subject: Any) -> dict[str, Any]:
    return {"cause": "consumer_request", **subject}


_OF_THE_ERASED = (Expected(subject="gone"),)
_ERASE = Row(
    may=Who("privacy", "nora"),
    may_not=Who("order", "bob"),
    # The certificate again; the first erasure is recorded with what it did (tests/integration).
    good=Outcome(_erase(token="$gone.phone"), _OF_THE_ERASED),
    refused=_denied(_erase(token="$demo.phone")),
    bad=_invalid({"token": "$gone.phone"}, "cause", "FIELD_MISSING"),
    waits_at="tokens",
    others={
        "dry run": Outcome(
            _erase(token="$demo.phone", dry_run=True),
            (Expected(subject="demo", field="dry_run"),),
        ),
        "dry run by reference": Outcome(
            _erase(subject_ref="seed-demo", dry_run=True),
            (Expected(subject="demo", field="dry_run"),),
        ),
        "nobody": Outcome(
            _erase(subject_ref="$ref"),
            (Expected("REFUSED", "SUBJECT_UNKNOWN"),),
            "SUBJECT_UNKNOWN",
        ),
        "unknown token": Outcome(
            _erase(token="$unknown"), (Expected("REFUSED", "TOKEN_UNKNOWN"),), "TOKEN_UNKNOWN"
        ),
        "another tenant's token": Outcome(
            _erase(token="$other.phone"), (Expected("REFUSED", "TOKEN_UNKNOWN"),), "TOKEN_UNKNOWN"
        ),
        "malformed token": _invalid(_erase(token="$typo"), "token", "TOKEN_MALFORMED"),
    },
)
_GET_ERASURE = Row(
    may=Who("privacy", "nora"),
    may_not=Who("order", "bob"),
    good=Outcome({"erasure_id": "$gone.erasure"}, _OF_THE_ERASED),
    refused=_denied({"erasure_id": "$gone.erasure"}),
    bad=_invalid({"erasure_id": "x"}, "erasure_id"),
    waits_at="erasures",
    others={
        "no such": Outcome(
            {"erasure_id": "0" * 32},
            (Expected("REFUSED", "ERASURE_UNKNOWN"),),
            "ERASURE_UNKNOWN",
        )
    },
)
_KEY_ROWS: Mapping[str, Row] = {
    "vault.v1.KeyService/GetKeyStatus": _keys_row({}),
    "vault.v1.KeyService/RotateKey": _keys_row(
        {"kind": "KEY_KIND_ROOT", "cause": "scheduled", "dry_run": True},
        _invalid({"kind": "KEY_KIND_ROOT"}, "cause", "FIELD_MISSING"),
        begun_or_joined=_read({"kind": "KEY_KIND_ROOT", "cause": "compromise"}),
        no_kind=_invalid({"cause": "scheduled"}, "kind", "FIELD_MISSING"),
        a_subject_of_a_root_key=_invalid(
            {"kind": "KEY_KIND_ROOT", "cause": "scheduled", "subject_ref": "x"}, "subject_ref"
        ),
        too_fast=_invalid(
            {"kind": "KEY_KIND_ROOT", "cause": "scheduled", "rows_per_second": -1},
            "rows_per_second",
        ),
    ),
    "vault.v1.KeyService/WatchJob": _keys_row(
        {"job_id": ENDED_JOB}, _invalid({}, "job_id", "FIELD_MISSING"), unknown=_NO_JOB
    ),
    "vault.v1.KeyService/ListJobs": _keys_row({}, _invalid({"page_size": -1}, "page_size")),
    "vault.v1.KeyService/ControlJob": _keys_row(
        {"job_id": PAUSED_JOB, "control": "CONTROL_PAUSE"},
        _invalid({"job_id": PAUSED_JOB}, "control", "FIELD_MISSING"),
        throttled=_read(
            {"job_id": PAUSED_JOB, "control": "CONTROL_THROTTLE", "rows_per_second": 7}
        ),
        unknown=Outcome(
            {"job_id": "0" * 32, "control": "CONTROL_PAUSE"}, _NO_JOB.entries, "JOB_UNKNOWN"
        ),
        ended=Outcome(
            {"job_id": ENDED_JOB, "control": "CONTROL_RESUME"},
            (Expected("REFUSED", "JOB_ENDED"),),
            "JOB_ENDED",
        ),
    ),
    "vault.v1.KeyService/VerifyRootVersions": _keys_row({}),
}

_WIDEN = {"widen_policy": {"bundle_digest": "ab" * 32}}
_ASKED = {"act": _WIDEN, "cause": "policy_change", "idempotency_key": "$key"}
_CLOSED = (Expected("REFUSED", "ACT_CLOSED"),)
_NO_ACT = (Expected("REFUSED", "ACT_UNKNOWN"),)


def _act_row(
    good: Outcome, bad: Outcome, waits_at: str = "custody_requests", **others: Outcome
) -> Row:
    """An RPC about acts; somebody of the shop is on the service's list, and may not."""
    return Row(
        may=Who("custodian-1", "kim"),
        may_not=Who("order", "bob"),
        good=good,
        refused=_denied(good.request),
        bad=bad,
        waits_at=waits_at,
        others=others,
    )


def _approve(name: str) -> Outcome:
    return _read({"request_id": f"${name}.id", "request_digest": f"${name}.digest"})


_ACTS = {
    "vault.v1.KeyService/RequestAct": _act_row(
        _read(_ASKED),
        _invalid(_ASKED | {"cause": "x"}, "cause"),
        "custody_request_keys",
        no_act=_invalid(_ASKED | {"act": {}}, "act", "FIELD_MISSING"),
        no_such_version=_invalid(
            _ASKED | {"act": {"retire": {"min_decryption_version": 99}}},
            "act.retire.min_decryption_version",
        ),
    ),
    "vault.v1.KeyService/ListActRequests": _act_row(
        _read({"page_size": 1}), _invalid({"page_size": -1}, "page_size")
    ),
    "vault.v1.KeyService/ApproveAct": replace(
        _act_row(
            _approve("act"),
            _invalid({"request_id": "x"}, "request_id"),
            another_digest=Outcome(
                {"request_id": "$open.id", "request_digest": "0" * 64},
                (Expected("REFUSED", "APPROVAL_MISMATCH"),),
                "APPROVAL_MISMATCH",
            ),
            approved_by_another=Outcome(_approve("taken").request, _CLOSED, "ACT_CLOSED"),
            no_such=Outcome(
                {"request_id": "0" * 32, "request_digest": "0" * 64}, _NO_ACT, "ACT_UNKNOWN"
            ),
        ),
        people={"good": _approve("people_act")},
    ),
    "vault.v1.KeyService/WithdrawAct": _act_row(
        # Once withdrawn, for good; that it works is in test_custody.
        Outcome({"request_id": "$withdrawn.id"}, _CLOSED, "ACT_CLOSED"),
        _invalid({}, "request_id", "FIELD_MISSING"),
        no_such=Outcome({"request_id": "0" * 32}, _NO_ACT, "ACT_UNKNOWN"),
    ),
    "vault.v1.KeyService/CarryOutAct": _act_row(
        _read({"request_id": "$open.id", "dry_run": True}),
        _invalid({"request_id": "x"}, "request_id"),
        not_approved=Outcome(
            {"request_id": "$open.id"},
            (Expected("REFUSED", "APPROVAL_MISSING"),),
            "APPROVAL_MISSING",
        ),
        withdrawn=Outcome({"request_id": "$withdrawn.id"}, _CLOSED, "ACT_CLOSED"),
        another_bundle=Outcome(
            {"request_id": "$taken.id"},
            (Expected("REFUSED", "APPROVAL_MISMATCH"),),
            "APPROVAL_MISMATCH",
        ),
        no_such=Outcome({"request_id": "0" * 32}, _NO_ACT, "ACT_UNKNOWN"),
    ),
}

ROWS: Mapping[str, Row] = {
    **_ACTS,
    **_KEY_ROWS,
    "vault.v1.SubjectService/EraseSubject": _ERASE,
    "vault.v1.SubjectService/GetErasure": _GET_ERASURE,
    "vault.v1.TokenService/Tokenize": _TOKENIZE,
    "vault.v1.TokenService/Detokenize": _DETOKENIZE,
    "vault.v1.AuditService/ListEntries": _audit_row(
        {"page_size": 1},
        _invalid({"subject_id": "x"}, "subject_id"),
        "audit_entries",
        by_subject=Outcome({"subject_id": "$demo.subject"}, (Expected(subject="demo"),)),
        by_reference=Outcome({"subject_ref": "seed-demo"}, (Expected(subject="demo"),)),
        of_nobody=_read({"subject_ref": "$ref"}),
        bad_page_token=_invalid({"page_token": "A" * 64}, "page_token", "PAGE_TOKEN_INVALID"),
    ),
    "vault.v1.AuditService/TailEntries": _audit_row(
        {}, _invalid({"filter": {"page_size": 1}}, "filter.page_size"), "audit_leaves"
    ),
    "vault.v1.AuditService/GetStats": _audit_row(
        _HOURS, _invalid({}, "from", "FIELD_MISSING"), "audit_entries"
    ),
    "vault.v1.AuditService/GetCheckpoint": _audit_row(
        {}, _invalid({"min_size": -1}, "min_size"), "audit_checkpoints", not_published=_AHEAD
    ),
    "vault.v1.AuditService/ProveInclusion": _audit_row(
        {"entry_ids": ["0" * 32]},
        _invalid({}, "entry_ids", "FIELD_MISSING"),
        "audit_checkpoints",
    ),
    "vault.v1.AuditService/ProveConsistency": _audit_row(
        {"first_size": 1}, _invalid({"first_size": -1}, "first_size"), "audit_checkpoints"
    ),
    "vault.v1.AuditService/ExportEntries": _audit_row(
        {}, _invalid({"from_index": -1}, "from_index"), "audit_checkpoints"
    ),
    "vault.v1.PolicyService/GetBundle": Row(
        may=Who("policy-owner", "paul"),
        may_not=Who("order", "bob"),
        good=_read({}),
        refused=_denied({}),
        bad=None,
        waits_at="audit_entries",
        is_recorded_first=True,
    ),
    "vault.v1.PolicyService/ReloadBundle": Row(
        may=Who("policy-owner", "paul"),
        may_not=Who("auditor", "dora"),
        good=_read({}),
        refused=_denied({}),
        bad=None,
        waits_at="audit_entries",
        is_recorded_first=True,
    ),
}
"""A row for every RPC."""
