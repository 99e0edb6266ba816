"""Names of what is told about keys and the jobs that turn them; part of `names`."""

from typing import Final

from vault.telemetry.kinds import Code, Known
from vault.telemetry.metric import Metric

KEY_KINDS: Final = frozenset({"root", "index", "signing", "subject"})
KEY_ALARMS: Final = frozenset({"overdue", "job_stuck", "job_failed", "near_limit", "schedule"})
"""`vault.service.schedule.KeyAlarm`."""
_KIND = ("kind", Code(KEY_KINDS))
_TENANT = ("tenant", Known("tenants"))

KEY_JOB_ROWS: Final = Metric(
    "pdvault.key.job.rows",
    "{row}",
    "counter",
    "rows that this process moved to another version of a key, or could not move",
    (_TENANT, _KIND, ("outcome", Code(frozenset({"moved", "failed"})))),
)
KEY_JOB_LEFT: Final = Metric(
    "pdvault.key.job.left", "{row}", "gauge", "rows that jobs have yet to move", (_TENANT, _KIND)
)
KEY_JOB_RATE: Final = Metric(
    "pdvault.key.job.rate",
    "{row}/s",
    "gauge",
    "rows a second that all processes move now",
    (_TENANT, _KIND),
)
KEY_AGE: Final = Metric(
    "pdvault.key.age", "s", "gauge", "age of a key's newest version", (_TENANT, _KIND)
)
KEY_DUE: Final = Metric(
    "pdvault.key.due",
    "s",
    "gauge",
    "time until a key's rotation is due; negative when it is overdue",
    (_TENANT, _KIND),
)
KEY_USES: Final = Metric(
    "pdvault.key.uses",
    "{use}",
    "gauge",
    "the most seals that any subject's key was charged with; 2^32 is the end",
    (_TENANT,),
)
KEY_ALARM: Final = Metric(
    "pdvault.key.alarm",
    "1",
    "gauge",
    "1 for each alarm about keys that is on",
    (_TENANT, _KIND, ("alarm", Code(KEY_ALARMS))),
)

KEY_METRICS: Final = (
    KEY_JOB_ROWS,
    KEY_JOB_LEFT,
    KEY_JOB_RATE,
    KEY_AGE,
    KEY_DUE,
    KEY_USES,
    KEY_ALARM,
)
