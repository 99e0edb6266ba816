"""`pdvault audit archive` and `pdvault audit verify-archive`."""

import argparse
import asyncio
import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

from vault.audit.archive import Plan, RefusedError, make_plan, write_archive
from vault.audit.archive_files import ArchiveError, ArchiveReader, ArchiveWriter
from vault.audit.archive_verify import ArchiveReport, verify_archive
from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.note import NoteError, VerifierKey
from vault.audit.succession import follow
from vault.cli.log_keys import read_keys, read_quorum
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, say
from vault.cli.progress import Progress
from vault.config_files import FileError, read_database_url, read_secret
from vault.store.archives import ArchiveStore


def archive(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultError, OSError."""
    if args.keep and not args.execute:
        raise CommandError("--keep goes with --execute", code=USAGE)
    keys = read_keys(args.key)
    path = args.owner_url_file
    try:
        read_database_url(path)
        url = read_secret(path)
    except FileError as error:
        raise CommandError(f"{path}: {error}") from error
    try:
        return asyncio.run(_archive(args, url, keys))
    except RefusedError as error:
        raise CommandError("nothing was archived", details=error.faults) from error
    except ArchiveError as error:
        where = f"{args.to}/{error}" if error.path else str(error)
        raise CommandError(
            f"nothing was dropped: {where}", hint="is it the folder of this log's archive?"
        ) from error


def verify(args: argparse.Namespace) -> int:
    """Raises CommandError."""
    keys, quorum = read_keys(args.key), read_quorum(args)
    progress = Progress("verified")
    began = time.monotonic()
    if not args.folder.is_dir():
        raise CommandError(f"{args.folder}: no such folder", code=USAGE)
    try:
        report = verify_archive(
            args.folder,
            keys,
            origin=args.origin,
            witnesses=quorum.keys,
            quorum=quorum.count,
            part=args.part,
            progress=progress,
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"{args.folder}: can't be verified: {error}", code=USAGE) from error
    finally:
        progress.end()
    if args.json:
        emit_json(_report(report))
    elif report.checkpoint is not None and report.is_sound:
        tree = report.checkpoint.checkpoint
        emit(
            f"sound: log {tree.origin}, {tree.size} leaves, {report.entries} entries, "
            f"{report.indexed} of them indexed"
        )
        if report.missing_bundles:
            emit(f"{report.missing_bundles} bundles of entries are not there: hashes only")
    else:
        for line in _fault_lines(args.folder, report):
            emit(line)
    if report.later:
        say(f"{report.later} files of leaves behind the checkpoint: nothing vouches for these")
    for stranger in report.strangers:
        say(f"not looked into: {stranger}")
    say(f"{time.monotonic() - began:.1f} s")
    return DONE if report.is_sound else FAILED


async def _archive(args: argparse.Namespace, url: str, keys: Sequence[VerifierKey]) -> int:
    log = await ArchiveStore.connect(url)
    try:
        if not await log.lock():
            raise CommandError("another pdvault audit archive is at work on this database")
        old = _old_checkpoint(args.to, keys)
        plan = await make_plan(log, args.before, dt.datetime.now(dt.UTC).date(), old)
        if plan is None:
            if args.json:
                emit_json({"executed": args.execute, "months": []})
            say("no month to archive")
            return DONE
        try:
            keys = follow(keys, plan.checkpoint.successions)
            open_checkpoint(plan.checkpoint.note.encode(), keys, origin=keys[0].name)
        except (NoteError, ValueError) as error:
            raise CommandError(
                f"the database's checkpoint is not to be trusted: {error}",
                hint="is it the right --key?",
            ) from error
        if args.execute:
            await _execute(args, log, plan, keys)
        _tell(args, plan)
        return DONE
    finally:
        await log.close()


async def _execute(
    args: argparse.Namespace, log: ArchiveStore, plan: Plan, keys: Sequence[VerifierKey]
) -> None:
    began = time.monotonic()
    writer = ArchiveWriter(args.to)
    progress = Progress("written")
    try:
        digests = await write_archive(log, writer, plan, progress)
    finally:
        progress.end()
        await asyncio.to_thread(writer.close)
    written = time.monotonic()
    say(f"{writer.written} files written in {written - began:.1f} s")
    progress = Progress("verified")
    report = await asyncio.to_thread(
        verify_archive, args.to, keys, begin=plan.begin, progress=progress
    )
    progress.end()
    if not report.is_sound:
        raise CommandError(
            "what was written is not sound; nothing was dropped",
            details=_fault_lines(args.to, report),
        )
    say(f"{report.entries} entries read back and verified in {time.monotonic() - written:.1f} s")
    if args.keep:
        return
    for month, facts in plan.months:
        size, digest = plan.checkpoint.size, digests[month.name]
        if not await log.drop(month, facts, size=size, index_digest=digest):
            raise CommandError(
                f"{month.name} has changed since it was archived; it was not dropped",
                hint="run it again",
            )
        say(f"dropped {month.name}")


def _old_checkpoint(folder: Path, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    reader = ArchiveReader(folder)
    note = reader.checkpoint()
    if note is None:
        return None
    try:
        keys = follow(keys, reader.successions())
        return open_checkpoint(note, keys, origin=keys[0].name).checkpoint
    except (NoteError, ValueError) as error:
        raise CommandError(
            f"{folder}/checkpoint: {error}", hint="is it the right --key, and this log's folder?"
        ) from error


def _tell(args: argparse.Namespace, plan: Plan) -> None:
    tree = plan.checkpoint.size
    if args.json:
        months = [
            {
                "partition": month.name,
                "entries": facts.entries,
                "first_index": facts.first,
                "last_index": facts.last,
            }
            for month, facts in plan.months
        ]
        emit_json(
            {
                "executed": args.execute,
                "dropped": args.execute and not args.keep,
                "months": months,
                "archived_before": plan.size,
                "checkpoint_size": tree,
            }
        )
        return
    for month, facts in plan.months:
        leaves = "" if facts.first is None else f", leaves {facts.first} to {facts.last}"
        emit(f"{month.name}: {facts.entries} entries{leaves}")
    if not args.execute:
        emit(f"{args.to}: would grow from {plan.size} to {tree} leaves; nothing was done")
        say("--execute does it")


def _report(report: ArchiveReport) -> dict[str, object]:
    tree = None if report.checkpoint is None else report.checkpoint.checkpoint
    return {
        "sound": report.is_sound,
        "origin": None if tree is None else tree.origin,
        "size": None if tree is None else tree.size,
        "root": None if tree is None else tree.root.hex(),
        "entries": report.entries,
        "indexed": report.indexed,
        "missing_bundles": report.missing_bundles,
        "files_behind_checkpoint": report.later,
        "not_looked_into": list(report.strangers),
        "faults": [
            {"path": fault.path, "detail": fault.detail, "first_index": fault.first_index}
            for fault in report.faults
        ],
    }


def _fault_lines(folder: Path, report: ArchiveReport) -> list[str]:
    return [
        f"{folder}/{fault.path}: {fault.detail}"
        + ("" if fault.first_index is None else f" (leaf {fault.first_index})")
        for fault in report.faults
    ]
