"""`pdvault policy …`: check and test a folder; show and reload what a vault decides by."""

import argparse

from vault.app.checks import load_rules
from vault.cli.connection import connect
from vault.cli.output import DONE, FAILED, emit, emit_json, printable, say
from vault.cli.tables import show_facts
from vault.client import Bundle as RunningBundle
from vault.client import Reason, VaultCallError
from vault.policy.bundle import Bundle
from vault.policy.faults import BundleError
from vault.policy.tables import CaseFailure, run_tables


def check(args: argparse.Namespace) -> int:
    """Raises BundleError."""
    bundle = _load(args)
    if bundle is None:
        return FAILED
    counts = bundle.counts
    facts = {
        "policies": counts.policies,
        "field_types": counts.field_types,
        "purposes": counts.purposes,
        "callers": counts.callers,
    }
    if args.json:
        emit_json({"sound": True, "digest": bundle.digest.hex(), **facts})
    else:
        numbers = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in facts.items())
        emit(f"{args.directory}: sound: {numbers}; digest {bundle.digest.hex()[:12]}")
    return DONE


def test(args: argparse.Namespace) -> int:
    """Raises BundleError."""
    bundle = _load(args)
    if bundle is None:
        return FAILED
    report = run_tables(bundle, args.directory)
    for failure in report.failures:
        if args.json:
            emit_json(_failure(failure))
        else:
            emit(printable(str(failure)))
    summary = f"{report.tables} tables, {report.cases} cases, {len(report.failures)} failed"
    if args.json:
        emit_json({"tables": report.tables, "cases": report.cases, "failed": len(report.failures)})
    elif report.failures:
        say(summary)
    else:
        emit(f"{args.directory}: {summary}")
    if not report.cases:
        say(f"{args.directory}/tests holds no decision tables, so nothing was tested")
        return FAILED
    return FAILED if report.failures else DONE


def show(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        bundle = vault.get_bundle()
    _show_running(args, bundle)
    return DONE


def reload(args: argparse.Namespace) -> int:
    """Raises CommandError, VaultCallError, CredentialFilesError."""
    with connect(args) as vault:
        try:
            reloaded = vault.reload_bundle()
        except VaultCallError as error:
            if error.reason is Reason.BUNDLE_INVALID and args.json:
                _emit_faults([(each.field, each.text) for each in error.violations])
                return FAILED
            raise
    _show_running(args, reloaded.bundle, changed=reloaded.changed)
    return DONE


def _load(args: argparse.Namespace) -> Bundle | None:
    """The bundle; with --json, None after the faults were written."""
    try:
        return load_rules(args.directory)
    except BundleError as error:
        if not args.json:
            raise
        _emit_faults([(each.field, each.text) for each in error.faults])
        return None


def _emit_faults(faults: list[tuple[str, str]]) -> None:
    emit_json({"sound": False, "faults": [{"at": at, "text": text} for at, text in faults]})


def _failure(failure: CaseFailure) -> dict[str, object]:
    case = failure.case
    return {
        "at": f"{case.file}:{case.line}",
        "case": str(case),
        "expected": case.expected,
        "expected_policies": case.policies,
        "got": failure.got,
        "policies": failure.policies,
    }


def _show_running(
    args: argparse.Namespace, bundle: RunningBundle, *, changed: bool | None = None
) -> None:
    facts: dict[str, object] = {
        "digest": bundle.digest,
        "loaded_at": bundle.loaded_at.isoformat(timespec="seconds"),
        "policies": bundle.policies,
        "field_types": bundle.field_types,
        "purposes": bundle.purposes,
        "callers": bundle.callers,
    }
    if changed is not None:
        facts["changed"] = changed
    if args.json:
        emit_json(facts)
    else:
        show_facts(
            (name.replace("_", " "), {True: "yes", False: "no"}.get(value, str(value)))  # type: ignore[call-overload]  # any object
            for name, value in facts.items()
        )
