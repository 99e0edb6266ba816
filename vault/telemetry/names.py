"""Every name that telemetry uses, and for each attribute the kind of value it may hold.

`docs/telemetry.md` explains them; a test holds the two together. A name that is
not here does not leave the process.
"""

from typing import Final

from vault.errors import Reason
from vault.model import Verdict
from vault.telemetry.key_names import KEY_ALARMS, KEY_KINDS, KEY_METRICS
from vault.telemetry.kinds import Code, Count, HexId, Kind, Known, ListOf, Number, OperatorText
from vault.telemetry.metric import Metric

SCOPE: Final = "pdvault"

# --- Spans ---------------------------------------------------------------------------

RPC_TOKENIZE: Final = "vault.v1.TokenService/Tokenize"
RPC_DETOKENIZE: Final = "vault.v1.TokenService/Detokenize"
RPC_LIST_ENTRIES: Final = "vault.v1.AuditService/ListEntries"
RPC_TAIL_ENTRIES: Final = "vault.v1.AuditService/TailEntries"
RPC_GET_STATS: Final = "vault.v1.AuditService/GetStats"
RPC_GET_CHECKPOINT: Final = "vault.v1.AuditService/GetCheckpoint"
RPC_PROVE_INCLUSION: Final = "vault.v1.AuditService/ProveInclusion"
RPC_PROVE_CONSISTENCY: Final = "vault.v1.AuditService/ProveConsistency"
RPC_EXPORT_ENTRIES: Final = "vault.v1.AuditService/ExportEntries"
RPC_GET_BUNDLE: Final = "vault.v1.PolicyService/GetBundle"
RPC_RELOAD_BUNDLE: Final = "vault.v1.PolicyService/ReloadBundle"
KEY_RPCS: Final = frozenset(
    f"vault.v1.KeyService/{name}"
    for name in (
        *("GetKeyStatus", "RotateKey", "WatchJob", "ListJobs", "ControlJob", "VerifyRootVersions"),
        *("RequestAct", "ListActRequests", "ApproveAct", "WithdrawAct", "CarryOutAct"),
    )
) | {"vault.v1.SubjectService/EraseSubject", "vault.v1.SubjectService/GetErasure"}
RPC_OTHER: Final = "other"
"""A method that the service does not have: its name is foreign text."""
RPCS: Final = frozenset(
    {
        RPC_TOKENIZE,
        RPC_DETOKENIZE,
        RPC_LIST_ENTRIES,
        RPC_TAIL_ENTRIES,
        RPC_GET_STATS,
        RPC_GET_CHECKPOINT,
        RPC_PROVE_INCLUSION,
        RPC_PROVE_CONSISTENCY,
        RPC_EXPORT_ENTRIES,
        RPC_GET_BUNDLE,
        RPC_RELOAD_BUNDLE,
        *KEY_RPCS,
        RPC_OTHER,
    }
)

STAGE_DECODE: Final = "decode"
STAGE_IDENTIFY: Final = "identify"
STAGE_POLICY: Final = "policy"
STAGE_LOAD: Final = "load"
STAGE_UNWRAP: Final = "unwrap"
STAGE_RESOLVE: Final = "resolve"
STAGE_SEAL: Final = "seal"
STAGE_OPEN: Final = "open"
STAGE_AUDIT: Final = "audit"
STAGE_COMMIT: Final = "commit"
STAGE_REPLY: Final = "reply"
STAGES: Final = frozenset(
    {
        STAGE_DECODE,
        STAGE_IDENTIFY,
        STAGE_POLICY,
        STAGE_LOAD,
        STAGE_UNWRAP,
        STAGE_RESOLVE,
        STAGE_SEAL,
        STAGE_OPEN,
        STAGE_AUDIT,
        STAGE_COMMIT,
        STAGE_REPLY,
    }
)

TRIP_POSTGRES_LOAD: Final = "postgres.load"
TRIP_POSTGRES_RESOLVE: Final = "postgres.resolve"
TRIP_POSTGRES_CASE: Final = "postgres.case"
TRIP_POSTGRES_USES: Final = "postgres.uses"
TRIP_POSTGRES_WRITE: Final = "postgres.write"
TRIP_POSTGRES_COMMIT: Final = "postgres.commit"
TRIP_TRANSIT_UNWRAP: Final = "transit.unwrap"
TRIP_TRANSIT_WRAP: Final = "transit.wrap"
TRIP_KEYS_MOVE: Final = "keys.move"
TRIP_KEYS_PHASE: Final = "keys.phase"
TRIPS: Final = frozenset(
    {
        TRIP_KEYS_MOVE,
        TRIP_KEYS_PHASE,
        TRIP_POSTGRES_LOAD,
        TRIP_POSTGRES_RESOLVE,
        TRIP_POSTGRES_CASE,
        TRIP_POSTGRES_USES,
        TRIP_POSTGRES_WRITE,
        TRIP_POSTGRES_COMMIT,
        TRIP_TRANSIT_UNWRAP,
        TRIP_TRANSIT_WRAP,
    }
)

# --- Attributes of spans -------------------------------------------------------------

# OpenTelemetry semantic conventions (1.38 and newer for RPC).
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
RPC_STATUSES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
"""By number."""
ERROR_TYPE: Final = "error.type"
DB_SYSTEM: Final = "db.system.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# Our own.
CALL_ID: Final = "pdvault.call.id"
ENTRY_IDS: Final = "pdvault.entry.ids"
TENANT: Final = "pdvault.tenant"
PURPOSE: Final = "pdvault.purpose"
REASON: Final = "pdvault.reason"
BUNDLE: Final = "pdvault.bundle"
POLICIES: Final = "pdvault.policies"
ITEMS: Final = "pdvault.items"
ITEMS_ALLOWED: Final = "pdvault.items.allowed"
ITEMS_REFUSED: Final = "pdvault.items.refused"
ITEMS_INVALID: Final = "pdvault.items.invalid"
ITEMS_FAILED: Final = "pdvault.items.failed"
TRIP_CALLS: Final = "pdvault.trip.calls"
TRIP_ITEMS: Final = "pdvault.trip.items"

REASON_CODES: Final = frozenset(Reason.__members__)
VERDICT_CODES: Final = frozenset(Verdict.__members__)
_COUNT: Final = Count()

SPAN_ATTRIBUTES: Final[dict[str, Kind]] = {
    ERROR_TYPE: Code(REASON_CODES),
    CALL_ID: HexId(32),
    ENTRY_IDS: ListOf(HexId(32), 1000),
    TENANT: Known("tenants"),
    PURPOSE: Known("purposes"),
    REASON: Code(REASON_CODES),
    BUNDLE: HexId(64),
    POLICIES: ListOf(Known("policies"), 64),
    ITEMS: _COUNT,
    ITEMS_ALLOWED: _COUNT,
    ITEMS_REFUSED: _COUNT,
    ITEMS_INVALID: _COUNT,
    ITEMS_FAILED: _COUNT,
    TRIP_CALLS: _COUNT,
    TRIP_ITEMS: _COUNT,
}
"""What a call or a trip may say of itself."""

ID_ATTRIBUTES: Final = frozenset({CALL_ID, ENTRY_IDS})
"""Those that no other call shares; hex digits, so that they need no escape in JSON."""

EXPORT_ATTRIBUTES: Final = (
    RPC_SYSTEM,
    RPC_METHOD,
    RPC_STATUS,
    DB_SYSTEM,
    SERVER_ADDRESS,
    SERVER_PORT,
)
"""What the exporter itself adds, from the span's name and the configuration."""

# --- Metrics -------------------------------------------------------------------------


_RPC = ("rpc", Code(RPCS))
_STAGE = ("stage", Code(STAGES))
_TRIP = ("trip", Code(TRIPS))
TRANSIT_STATES: Final = frozenset({"ready", "sealed", "unavailable", "denied"})
RELOAD_OUTCOMES: Final = frozenset({"changed", "unchanged", "refused"})
DROP_QUEUE_FULL: Final = "queue_full"
DROP_CLOSED: Final = "closed"
DROP_FAULT: Final = "fault"
DROP_FILE: Final = "file_error"
DROP_SLOW: Final = "collector_slow"
DROP_DEADLINE: Final = "collector_deadline"
DROP_UNAVAILABLE: Final = "collector_unavailable"
DROP_REJECTED: Final = "collector_rejected"
DROP_CAUSES: Final = frozenset(
    {
        DROP_QUEUE_FULL,
        DROP_CLOSED,
        DROP_FAULT,
        DROP_FILE,
        DROP_SLOW,
        DROP_DEADLINE,
        DROP_UNAVAILABLE,
        DROP_REJECTED,
    }
)

LOG_ALARMS: Final = frozenset(
    {
        "entry_damaged",
        "leaf_damaged",
        "tile_damaged",
        "checkpoint_damaged",
        "rolled_back",
        "forked",
        "role_too_mighty",
        "lag",
        "unsigned",
        "witness_file",
        "witness_down",
        "witness_lag",
        "witness_refused",
        "unpartitioned",
        "fault",
    }
)
"""`vault.audit.alarms.Alarm`."""
WITNESS_OUTCOMES: Final = frozenset(
    {
        "cosigned",
        "unreachable",
        "malformed",
        "bad_signature",
        "forbidden",
        "unknown_log",
        "inconsistent",
        "ahead",
    }
)
"""`vault.audit.witness.Fault`, and success."""

CALLS: Final = Metric(
    "pdvault.calls",
    "{call}",
    "counter",
    "calls answered",
    (_RPC, ("code", _COUNT)),
)
CALL_DURATION: Final = Metric(
    "pdvault.call.duration",
    "s",
    "histogram",
    "from the first byte decoded to the answer handed over",
    (_RPC,),
)
VERDICTS: Final = Metric(
    "pdvault.item.verdicts",
    "{item}",
    "counter",
    "items by what became of them",
    (_RPC, ("verdict", Code(VERDICT_CODES)), ("reason", Code(REASON_CODES))),
)
STAGE_DURATION: Final = Metric(
    "pdvault.stage.duration", "s", "counter", "time that calls spent in a stage, summed", (_STAGE,)
)
STAGE_RUNS: Final = Metric(
    "pdvault.stage.runs", "{run}", "counter", "how often calls went through a stage", (_STAGE,)
)
TRIP_COUNT: Final = Metric("pdvault.trips", "{trip}", "counter", "coalesced round trips", (_TRIP,))
TRIP_BATCH: Final = Metric(
    "pdvault.trip.batch", "{item}", "counter", "items that trips carried, summed", (_TRIP,)
)
TRIP_QUEUE: Final = Metric(
    "pdvault.trip.queue", "{item}", "gauge", "items that wait for the next trip", (_TRIP,)
)
KEY_CACHE_HITS: Final = Metric(
    "pdvault.key_cache.hits", "{key}", "counter", "subject keys found opened"
)
KEY_CACHE_MISSES: Final = Metric(
    "pdvault.key_cache.misses", "{key}", "counter", "subject keys that Transit had to unwrap"
)
KEY_CACHE_EVICTIONS: Final = Metric(
    "pdvault.key_cache.evictions", "{key}", "counter", "subject keys dropped by a bound"
)
KEY_CACHE_SIZE: Final = Metric(
    "pdvault.key_cache.size", "{key}", "gauge", "opened subject keys in memory"
)
TRANSIT_STATE: Final = Metric(
    "pdvault.transit.state",
    "1",
    "gauge",
    "1 for the state that Transit is in",
    (("state", Code(TRANSIT_STATES)),),
)
AUDIT_FAILURES: Final = Metric(
    "pdvault.audit.failures",
    "{commit}",
    "counter",
    "audit commits that failed; no value left for them",
)
SPANS_DROPPED: Final = Metric(
    "pdvault.spans.dropped",
    "{span}",
    "counter",
    "spans that did not reach a reader",
    (("cause", Code(DROP_CAUSES)),),
)
ATTRIBUTES_DROPPED: Final = Metric(
    "pdvault.attributes.dropped",
    "{attribute}",
    "counter",
    "attributes that the allow-list stopped; anything but 0 is a fault of ours",
)
LOOP_LAG: Final = Metric(
    "pdvault.event_loop.lag", "s", "gauge", "longest delay of the event loop since the last reading"
)
CERTIFICATE_EXPIRY: Final = Metric(
    "pdvault.certificate.expiry", "s", "gauge", "time until the server's certificate expires"
)
POLICY_RELOADS: Final = Metric(
    "pdvault.policy.reloads",
    "{reload}",
    "counter",
    "reloads of the policy bundle",
    (("outcome", Code(RELOAD_OUTCOMES)),),
)
LOG_SIZE: Final = Metric("pdvault.log.size", "{leaf}", "gauge", "leaves of the audit log's tree")
LOG_PENDING: Final = Metric(
    "pdvault.log.pending", "{entry}", "gauge", "entries recorded and not sequenced"
)
LOG_LAG: Final = Metric("pdvault.log.lag", "s", "gauge", "how long the oldest of these has waited")
CHECKPOINT_AGE: Final = Metric(
    "pdvault.log.checkpoint.age",
    "s",
    "gauge",
    "how long leaves have waited for a checkpoint; 0 when none does",
)
LOG_ALARM: Final = Metric(
    "pdvault.log.alarm",
    "1",
    "gauge",
    "1 for each alarm of the log that is on",
    (("cause", Code(LOG_ALARMS)),),
)
WITNESS_REQUESTS: Final = Metric(
    "pdvault.witness.requests",
    "{request}",
    "counter",
    "checkpoints that witnesses were asked to cosign",
    (("outcome", Code(WITNESS_OUTCOMES)),),
)
WITNESS_LAG: Final = Metric(
    "pdvault.witness.lag",
    "s",
    "gauge",
    "how long published leaves have waited for a witnessed checkpoint; 0 when none do",
)
KEY_EVENTS_LISTENING: Final = Metric(
    "pdvault.key_events.listening",
    "1",
    "gauge",
    "1 while other processes' erasures are heard of; 0: no key is cached",
)
KEY_EVENTS_LOSSES: Final = Metric(
    "pdvault.key_events.losses", "{loss}", "counter", "how often that connection was lost"
)
LEDGER_AGREES: Final = Metric(
    "pdvault.ledger.agrees",
    "1",
    "gauge",
    "1 while the database is up to the ledger of erasures; 0: nothing is served",
)
METRICS: Final = (
    CALLS,
    CALL_DURATION,
    VERDICTS,
    STAGE_DURATION,
    STAGE_RUNS,
    TRIP_COUNT,
    TRIP_BATCH,
    TRIP_QUEUE,
    KEY_CACHE_HITS,
    KEY_CACHE_MISSES,
    KEY_CACHE_EVICTIONS,
    KEY_CACHE_SIZE,
    TRANSIT_STATE,
    AUDIT_FAILURES,
    SPANS_DROPPED,
    ATTRIBUTES_DROPPED,
    LOOP_LAG,
    CERTIFICATE_EXPIRY,
    POLICY_RELOADS,
    LOG_SIZE,
    LOG_PENDING,
    LOG_LAG,
    CHECKPOINT_AGE,
    LOG_ALARM,
    WITNESS_REQUESTS,
    WITNESS_LAG,
    KEY_EVENTS_LISTENING,
    KEY_EVENTS_LOSSES,
    LEDGER_AGREES,
    *KEY_METRICS,
)

# --- Fields of log lines -------------------------------------------------------------

DEPENDENCIES: Final = frozenset({"database", "transit", "audit", "log", "ledger"})
"""What health follows, by the names of its checks."""
STATES: Final = (
    TRANSIT_STATES | DEPENDENCIES | {"starting", "serving", "not_serving", "stopping", "stopped"}
)
LOG_FIELDS: Final[dict[str, Kind]] = {
    "address": OperatorText(),
    "alarm": Code(LOG_ALARMS | KEY_ALARMS),
    "attempt": _COUNT,
    "bundle": HexId(64),
    "call_id": HexId(32),
    "cause": Code(WITNESS_OUTCOMES),
    "code": _COUNT,
    "count": _COUNT,
    "duration_ms": Number(),
    "entry_id": HexId(32),
    "file": OperatorText(),
    "job": HexId(32),
    "kind": Code(KEY_KINDS),
    "leaf": _COUNT,
    "line": _COUNT,
    "port": _COUNT,
    "process": _COUNT,
    "purpose": Known("purposes"),
    "reason": Code(REASON_CODES),
    "rpc": Code(RPCS),
    "seconds": Number(),
    "setting": OperatorText(),
    "signal": _COUNT,
    "stage": Code(STAGES),
    "state": Code(STATES),
    "tenant": Known("tenants"),
    "trip": Code(TRIPS),
    "verdict": Code(VERDICT_CODES),
    "version": OperatorText(),
    "witness": OperatorText(),
}
"""What a log line may say besides its event."""
