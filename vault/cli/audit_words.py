"""An audit entry in a person's words: one line, or part of a story. Pure."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from vault.cli.output import printable
from vault.client import Entry, EntryItem, Reason, Verdict, View

_VIEWS = {
    View.FULL: "in full",
    View.MASKED: "masked",
    View.COARSE: "coarsely",
    View.LAST4: "by its last four",
}
_DEEDS = {
    "Tokenize": ("handed in", "hand in"),
    "Detokenize": ("saw", "see"),
    "ListEntries": ("read the audit log", "read the audit log"),
    "TailEntries": ("followed the audit log", "follow the audit log"),
    "GetStats": ("counted accesses", "count accesses"),
    "GetCheckpoint": ("fetched a checkpoint of the log", "fetch a checkpoint of the log"),
    "ProveInclusion": ("had entries proved", "have entries proved"),
    "ProveConsistency": ("had the log's growth proved", "have the log's growth proved"),
    "ExportEntries": ("exported the log", "export the log"),
    "GetBundle": ("looked up the policy in force", "look up the policy in force"),
    "ReloadBundle": ("had the policies read again", "have the policies read again"),
}


def short_caller(caller: str) -> str:
    """A SPIFFE id without its trust domain: all callers of a vault share that."""
    return "/" + caller.split("/", 3)[3] if caller.count("/") > 2 else caller  # noqa: PLR2004  the path


def short_case(case: str) -> str:
    """A case by its kind and the beginning of its handle."""
    kind, _, handle = case.partition(":")
    return f"{kind} {handle[:8]}"


def verdict_words(verdict: Verdict, reason: Reason) -> str:
    return verdict.name if reason is Reason.NONE else f"{verdict.name} {reason.name}"


def item_words(items: Sequence[EntryItem]) -> list[str]:
    """What was asked for, equal items counted: `phone full`, `bank_card POLICY_DENIED (3)`."""
    words = Counter(
        f"{item.field_type or 'unknown'} "
        + (item.view.name.lower() if item.verdict is Verdict.ALLOWED else item.reason.name)
        for item in items
    )
    return [
        word.removesuffix(" unspecified") + (f" ({count})" if count > 1 else "")
        for word, count in words.items()
    ]


def live_line(entry: Entry) -> str:
    """One line of `audit tail`."""
    parts = [
        entry.time.strftime("%Y-%m-%d %H:%M:%S"),
        verdict_words(entry.verdict, entry.reason),
        short_caller(entry.caller) or "unknown caller",
        entry.rpc.rpartition("/")[2],
        *([f"for {entry.purpose}"] if entry.purpose else []),
        *([f"of {entry.subject_id[:8]}"] if entry.subject_id else []),
        *([f"about {short_case(entry.case)}"] if entry.case else []),
        ", ".join(item_words(entry.items)),
    ]
    return printable("  ".join(part for part in parts if part))


def story(entries: Sequence[Entry], *, names_subject: bool) -> Iterator[str]:
    """Entries, oldest first, as sentences below their day (UTC).

    Args:
        entries: oldest first.
        names_subject: whether each sentence says whom it is about.
    """
    if not entries:
        yield "no entries"
        return
    first, last = entries[0].time, entries[-1].time
    calls = len({entry.call_id for entry in entries})
    yield (
        f"{_count(len(entries), 'entry', 'entries')} of {_count(calls, 'call', 'calls')}, "
        f"the first {first:%Y-%m-%d %H:%M:%S} UTC, the last {last:%Y-%m-%d %H:%M:%S} UTC"
    )
    yield from _summary(entries)
    for day, group in itertools.groupby(entries, lambda entry: entry.time.date()):
        yield ""
        yield day.strftime("%A, %Y-%m-%d")
        for entry in group:
            yield f"  {entry.time:%H:%M:%S}  {sentence(entry, names_subject=names_subject)}"


def sentence(entry: Entry, *, names_subject: bool) -> str:
    """What one entry says."""
    roles = f" (role {', '.join(entry.roles)})" if entry.roles else ""
    who = (short_caller(entry.caller) or "an unknown caller") + roles
    whom = f" of consumer {entry.subject_id[:8]}" if names_subject and entry.subject_id else ""
    why = f", for {entry.purpose}" if entry.purpose else ""
    why += f", about {short_case(entry.case)}" if entry.case else ""
    method = entry.rpc.rpartition("/")[2]
    did, do = _DEEDS.get(method, (f"called {method}", f"call {method}"))
    if not entry.items:
        if entry.verdict is Verdict.ALLOWED:
            return printable(f"{who} {did}{why}")
        return printable(f"{who} {_failure(entry.verdict)} to {do}{why}: {_reason(entry.reason)}")
    parts = []
    granted = [item for item in entry.items if item.verdict is Verdict.ALLOWED]
    if granted:
        rules = sorted({policy for item in granted for policy in item.policies})
        rule = f" (rule {', '.join(rules)})" if rules else ""
        parts.append(f"{did} {_listed(granted)}{whom}{rule}")
    for (verdict, reason), names in _denied(entry.items).items():
        parts.append(f"{_failure(verdict)} to {do} {', '.join(names)}{whom}: {_reason(reason)}")
    return printable(f"{who} {'; '.join(parts)}{why}")


def _summary(entries: Sequence[Entry]) -> Iterator[str]:
    """Which fields were revealed to whom, most often first."""
    seen: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        for item in entry.items:
            if item.view is not View.UNSPECIFIED and item.verdict is Verdict.ALLOWED:
                seen[entry.caller, f"{item.field_type} {_VIEWS[item.view]}"] += 1
    for (caller, what), count in seen.most_common():
        times = "once" if count == 1 else f"{count} times"
        yield printable(f"  {short_caller(caller)} saw {what} {times}")


def _listed(items: Sequence[EntryItem]) -> str:
    words = Counter(f"{item.field_type} {_VIEWS.get(item.view, '')}".rstrip() for item in items)
    return ", ".join(f"{word} ({count})" if count > 1 else word for word, count in words.items())


def _denied(items: Sequence[EntryItem]) -> dict[tuple[Verdict, Reason], list[str]]:
    groups: dict[tuple[Verdict, Reason], list[str]] = {}
    for item in items:
        if item.verdict is not Verdict.ALLOWED:
            names = groups.setdefault((item.verdict, item.reason), [])
            name = item.field_type or "an unknown token"
            if name not in names:
                names.append(name)
    return groups


def _failure(verdict: Verdict) -> str:
    return {
        Verdict.REFUSED: "was not allowed",
        Verdict.INVALID: "asked wrongly",
        Verdict.FAILED: "failed, by a fault,",
    }.get(verdict, "was not able")


def _reason(reason: Reason) -> str:
    return reason.name.lower().replace("_", " ")


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
