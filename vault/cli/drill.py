"""`pdvault restore --drill`: runs it, and tells what was found as text, JSON or a page."""

import argparse
import asyncio

from vault.app.drill import DrillReport, drill
from vault.cli.backup import BytesProgress
from vault.cli.drill_page import page, span
from vault.cli.log_keys import read_keys
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, say
from vault.cli.restore import described
from vault.clock import SystemClock
from vault.config import load_config


def run_drill(args: argparse.Namespace) -> int:
    """Raises CommandError, BackupError, VaultError, OSError."""
    if args.html is not None and args.html.exists():
        raise CommandError(f"{args.html} is there already", code=USAGE)
    if args.next_log or args.files_to:
        raise CommandError("--next-log and --files-to go with a real restore", code=USAGE)
    config = load_config(args.config)
    keys = read_keys(args.key) if args.key else ()
    progress = BytesProgress()
    try:
        report = asyncio.run(
            drill(
                config,
                backup=args.backup,
                sample=args.sample,
                keys=keys,
                clock=SystemClock(),
                progress=progress,
            )
        )
    finally:
        progress.end()
    if args.html is not None:
        args.html.write_text(page(report), encoding="utf-8")
        say(f"written: {args.html}")
    if args.json:
        emit_json(_document(report))
    else:
        _tell(report)
    return DONE if report.passed else FAILED


def _tell(report: DrillReport) -> None:
    for check in report.checks:
        emit(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}")
        emit(f"      {check.detail}")
    filled = report.filled
    if filled is not None:
        emit("")
        emit(
            f"backup of {filled.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, made by "
            f"{filled.manifest.made_by}"
        )
        emit(f"  age of the backup (RPO)      {span(report.rpo_seconds)}")
        if report.lost_entries is not None:
            emit(f"  log entries since            {report.lost_entries:,}")
        emit(f"  restore and replay (RTO)     {span(report.rto_seconds)}")
        for name, seconds in report.phases.items():
            emit(f"    {name:<26} {seconds:,.1f} s")
    kinds: dict[tuple[str, int], list[int]] = {}
    for one, count in report.opened.items():
        pair = kinds.setdefault((one.field_type, one.root_version), [0, 0])
        pair[0 if one.is_open else 1] += count
    for (name, version), (opened, failed) in sorted(kinds.items()):
        emit(
            f"  {name:<16} root v{version}: {opened:,} opened" + f", {failed:,} NOT" * bool(failed)
        )
    emit("")
    emit("the drill passed" if report.passed else "the drill FAILED")


def _document(report: DrillReport) -> dict[str, object]:
    log, after, before = report.log, report.after, report.before
    return {
        "passed": report.passed,
        "began_at": report.began_at.isoformat(),
        "operator": report.operator,
        "pdvault": report.pdvault,
        "file": report.file,
        "backup": None if report.filled is None else described(report.filled),
        "rto_seconds": round(report.rto_seconds, 3),
        "rpo_seconds": round(report.rpo_seconds, 3),
        "lost_entries": report.lost_entries,
        "phases": {name: round(seconds, 3) for name, seconds in report.phases.items()},
        "checks": [
            {"name": one.name, "passed": one.passed, "detail": one.detail} for one in report.checks
        ],
        "erased": report.erased,
        "replayed": report.replayed,
        "before_replay": None
        if before is None
        else {"keys": before.keys, "references": before.refs, "values": before.values},
        "after_replay": None
        if after is None
        else {"keys": after.keys, "references": after.refs, "values": after.values},
        "log": None
        if log is None
        else {
            "origin": log.origin,
            "sound": log.is_sound,
            "leaves": log.leaves,
            "checkpoint_size": log.size,
            "root": log.root,
            "archived": log.archived,
        },
        "sample": [
            {
                "field_type": one.field_type,
                "tenant": one.tenant,
                "root_version": one.root_version,
                "opened": one.is_open,
                "values": count,
            }
            for one, count in sorted(report.opened.items(), key=lambda item: str(item[0]))
        ],
    }
