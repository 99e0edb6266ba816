"""`pdvault keys …`: status, rotation, jobs and verification."""

import argparse
import contextlib
import dataclasses
import datetime as dt
import enum
from collections.abc import Iterator

from vault.cli.connection import connect, subject_ref
from vault.cli.key_picture import job_line, key_lines, version_lines
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, printable, say
from vault.cli.progress import Progress
from vault.client import Control, Job, JobState, KeyKind, VaultClient

KINDS = {"root": KeyKind.ROOT, "index": KeyKind.INDEX, "signing": KeyKind.SIGNING}
KINDS["subject"] = KeyKind.SUBJECT


def status(args: argparse.Namespace) -> int:
    """Exit code 1 if something is to be done. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        keys = vault.keys.status()
    for key in keys:
        if args.json:
            emit_json(document(key))
        else:
            emit("\n".join(printable(line) for line in key_lines(key, dt.datetime.now(dt.UTC))))
            emit("")
    return FAILED if args.check and any(key.advice for key in keys) else DONE


def rotate(args: argparse.Namespace) -> int:
    """Starts and follows a rotation. Raises CommandError, VaultCallError, CredentialFilesError."""
    kind = KINDS[args.kind]
    ref = subject_ref(args) or ""
    if ref and kind is not KeyKind.SUBJECT:
        raise CommandError("--subject-ref is for `keys rotate subject`", code=USAGE)
    if kind is KeyKind.SUBJECT and not ref and not args.all_subjects:
        raise CommandError(
            "whose key? give --subject-ref or --subject-ref-file, or --all-subjects", code=USAGE
        )
    with connect(args) as vault:
        made = vault.keys.rotate(
            kind,
            cause=args.cause,
            subject_ref=ref,
            rows_per_second=args.rows_per_second or 0,
            dry_run=args.dry_run,
        )
        if args.dry_run:
            if args.json:
                emit_json({"dry_run": True, "version": made.version, "rows": made.rows})
            else:
                emit(f"would make version {made.version} and move {made.rows:,} rows")
            return DONE
        if made.job is None:
            if args.json:
                emit_json({"version": made.version, "job": None})
            else:
                emit(f"version {made.version} is in use")
            return DONE
        if not made.is_started:
            say("a rotation of this key is under way already; following it")
        if args.no_wait:
            _show(args, made.job)
            return DONE
        return _follow(args, vault, made.job.job_id)


def watch(args: argparse.Namespace) -> int:
    """Follows a job. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        return _follow(args, vault, args.job_id)


def jobs(args: argparse.Namespace) -> int:
    """The newest jobs. Raises VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        found = vault.keys.jobs(args.limit)
    for job in found:
        _show(args, job)
    if not found and not args.json:
        emit("no rotation was ever started")
    return DONE


def control(args: argparse.Namespace) -> int:
    """Pauses, resumes or throttles. Raises CommandError, VaultCallError, CredentialFilesError."""
    what = Control[args.what.upper()]
    if (what is Control.THROTTLE) != (args.rows_per_second is not None):
        raise CommandError("--rows-per-second goes with throttle, and only with it", code=USAGE)
    with connect(args) as vault:
        _show(
            args, vault.keys.control(args.job_id, what, rows_per_second=args.rows_per_second or 0)
        )
    return DONE


def verify(args: argparse.Namespace) -> int:
    """Reads every wrapped key. Exit code 1 if one can't be read, or needs a version below `--min`.

    Raises:
        VaultCallError, CredentialFilesError.
    """
    progress = Progress("read")
    last = None
    with connect(args) as vault, contextlib.closing(vault.keys.verify()) as steps:
        for last in steps:
            progress(last.rows_read, last.rows_total)
    progress.end()
    if last is None or not last.is_last:
        raise CommandError("the verification ended early; run it again")
    old = sum(version.rows for version in last.versions if version.version < (args.min or 0))
    is_clean = not last.unreadable and not old
    if args.json:
        emit_json({**document(last), "clean": is_clean})
    else:
        emit("\n".join(version_lines(last.versions)))
        emit(f"{last.rows_read:,} wrapped keys read, {last.unreadable:,} can't be read")
        if args.min is not None:
            emit(
                f"none needs a version below {args.min}"
                if is_clean
                else f"{old:,} need a version below {args.min}"
            )
    return DONE if is_clean else FAILED


def document(value: object) -> dict[str, object]:
    """A client's result as JSON."""
    found = _plain(value)
    return found if isinstance(found, dict) else {"value": found}


def _plain(value: object) -> object:
    match value:
        case enum.Enum():
            return value.name
        case dt.datetime():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case tuple() | list():
            return [_plain(each) for each in value]
        case _ if dataclasses.is_dataclass(value):
            return {
                each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)
            }
        case _:
            return value


def _follow(args: argparse.Namespace, vault: VaultClient, job_id: str) -> int:
    job: Job | None = None
    progress = Progress("moved")
    try:
        for job in _states(vault, job_id):
            if args.json:
                emit_json(document(job))
            else:
                progress(job.rows_done, job.rows_total)
    except KeyboardInterrupt:
        progress.end()
        say(f"the rotation goes on; follow it again with: pdvault keys watch {job_id}")
        raise
    progress.end()
    if job is None or not job.state.has_ended:
        raise CommandError(f"the stream ended; the rotation goes on: pdvault keys watch {job_id}")
    if not args.json:
        emit(job_line(job))
    return DONE if job.state is JobState.DONE else FAILED


def _states(vault: VaultClient, job_id: str) -> Iterator[Job]:
    with contextlib.closing(vault.keys.watch(job_id)) as states:
        yield from states


def _show(args: argparse.Namespace, job: Job) -> None:
    if args.json:
        emit_json(document(job))
    else:
        emit(printable(f"{job.job_id}  {job_line(job)}"))
