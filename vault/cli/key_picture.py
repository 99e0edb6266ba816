"""Keys, jobs and requests as lines for a glance. Pure: values in, lines out."""

import datetime as dt
from collections.abc import Sequence

from vault.client import ActRequest, Erasure, Job, JobState, KeyKind, KeyStatus, KeyVersion

_BAR = 30
_MAX_USES = 2**32
_ROWS = {
    KeyKind.ROOT: "wrapped keys",
    KeyKind.INDEX: "references",
    KeyKind.SIGNING: "checkpoints",
    KeyKind.SUBJECT: "values",
}
_TITLES = {
    KeyKind.ROOT: "root key",
    KeyKind.INDEX: "index key",
    KeyKind.SIGNING: "signing key",
    KeyKind.SUBJECT: "subjects' keys",
}


def key_lines(key: KeyStatus, now: dt.datetime) -> list[str]:
    """One key: age against its period, what needs each version, what is to be done."""
    head = f"{_TITLES[key.kind]}  {key.name}".rstrip()
    if key.version:
        head += f"  version {key.version}"
    lines = [head]
    if key.version_made_at is not None and key.crypto_period:
        share = (now - key.version_made_at) / key.crypto_period
        due = f", due {key.due_at:%Y-%m-%d}" if key.due_at is not None else ""
        lines.append(f"  age     {bar(share)} {share:4.0%} of {_period(key.crypto_period)}{due}")
    total = sum(version.rows for version in key.versions)
    if total:
        lines += [f"  {_version(key, version, total)}" for version in key.versions]
    elif key.versions:
        lines.append("  has     " + ", ".join(f"v{version.version}" for version in key.versions))
    if key.max_uses:
        near = f", {key.keys_near_limit:,} near the limit" if key.keys_near_limit else ""
        lines.append(
            f"  uses    {bar(key.max_uses / _MAX_USES)} the most used key: {key.max_uses:,} of "
            f"2^32 seals{near}"
        )
    if key.min_decryption_version > 1 or key.min_available_version > 1:
        lines.append(
            f"  retired below version {key.min_decryption_version or 1}, "
            f"trimmed below version {key.min_available_version or 1}"
        )
    if key.job_id:
        lines.append(f"  job     {key.job_id} is under way: pdvault keys watch {key.job_id}")
    marks = [f"  ! {advice}" for advice in key.advice]
    return lines + (marks or ["  ok      nothing to do"])


def job_line(job: Job) -> str:
    """One job on one line."""
    share = job.rows_done / job.rows_total if job.rows_total else 1.0
    if not job.state.has_ended:
        share = min(share, 0.999)  # rows that came after the count
    parts = [
        f"{job.key_name} v{job.from_version}→v{job.to_version}",
        bar(1.0 if job.state is JobState.DONE else share),
        f"{job.rows_done:,} of {job.rows_total:,} rows",
        job.state.name.lower() + (f" ({job.phase})" if job.phase else ""),
    ]
    if job.rows_failed:
        parts.append(f"{job.rows_failed:,} can't be moved")
    if job.state is JobState.RUNNING:
        parts.append(f"{job.rows_per_second:,.0f}/s, {job.workers} at work")
        if job.seconds_left:
            parts.append(f"{_seconds(job.seconds_left)} left")
    return "  ".join(parts)


def request_facts(request: ActRequest) -> list[tuple[str, str]]:
    """All that whoever approves has to read."""
    facts = [
        ("request", request.request_id),
        ("act", f"{request.act.name} {request.act.argument}"),
        ("cause", request.cause),
        ("state", request.state.name.lower()),
        ("asked by", f"{request.requested_by}, {_moment(request.requested_at)}"),
        ("until", _moment(request.expires_at)),
        ("digest", request.digest),
    ]
    if request.approved_by:
        facts.append(("approved by", f"{request.approved_by}, {_moment(request.approved_at)}"))
    if request.done_at is not None:
        facts.append(("carried out", _moment(request.done_at)))
    return facts


def erasure_facts(erasure: Erasure) -> list[tuple[str, str]]:
    """The certificate of an erasure, in words."""
    versions = ", ".join(map(str, erasure.root_versions))
    return [
        ("certificate", erasure.erasure_id),
        ("consumer", f"{erasure.subject_id} (the vault's own random handle)"),
        ("cause", erasure.cause),
        ("erased", f"{_moment(erasure.erased_at)}, {erasure.tokens:,} tokens"),
        ("caches empty", f"by {_moment(erasure.caches_empty_at)}"),
        (
            "backups",
            f"none that is declared can bring it back after {_moment(erasure.complete_at)}"
            if erasure.complete_at is not None
            else "none that is declared holds it",
        ),
        ("other copies", f"dead once root versions {versions} are trimmed" if versions else "none"),
        ("ledger", f"entry {erasure.ledger_index}, hash {erasure.ledger_hash}"),
        ("audit entry", erasure.entry_id),
    ]


def version_lines(versions: Sequence[KeyVersion]) -> list[str]:
    """What a verification found, a line per root version."""
    total = sum(version.rows for version in versions)
    return [
        f"v{version.version:<6} {bar(version.rows / total if total else 0)} {version.rows:,} rows"
        for version in versions
    ]


def bar(share: float) -> str:
    """A bar of fixed width; what is above nothing shows at least one block."""
    filled = min(_BAR, max(0, round(share * _BAR)))
    filled = max(filled, 1) if share > 0 else 0
    return "█" * filled + "░" * (_BAR - filled)


def _version(key: KeyStatus, version: KeyVersion, total: int) -> str:
    share = version.rows / total if total else 0.0
    backups = f", {version.backups} backups need it" if version.backups else ""
    return (
        f"v{version.version:<6} {bar(share)} {share:4.0%}  {version.rows:,} "
        f"{_ROWS[key.kind]}{backups}"
    )


def _period(period: dt.timedelta) -> str:
    return f"{period.days:,} days" if period.days else _seconds(int(period.total_seconds()))


def _seconds(seconds: int) -> str:
    return str(dt.timedelta(seconds=seconds))


def _moment(moment: dt.datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
