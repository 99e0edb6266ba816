"""The exposure report as JSON: docs/exposure.md is the contract. Pure."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from vault.audit.exposure import Exposure, Tally, moment
from vault.model import View

FORMAT = "pdvault-exposure/1"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the entries came from.

    Attributes:
        kind: "service" or "export".
        log: the export's origin; empty for a service.
        begin, end: the export's leaves. size: of the tree under its checkpoint.
        hidden: leaves of other tenants, of which only the hash was there.
    """

    kind: str
    log: str = ""
    begin: int = 0
    end: int = 0
    size: int = 0
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The counts with what a reader must know beside them.

    Attributes:
        listed_tokens: how many different tokens were listed; None if no list was given.
        sensitive: field type to whether it is of the sensitive kind (PIPL art. 28); empty if
            no policy bundle was given.
    """

    exposure: Exposure
    source: Source
    made_at: dt.datetime
    listed_tokens: int | None = None
    sensitive: Mapping[str, bool] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The report, as JSON says it."""
        exposure = self.exposure
        leak = exposure.leak
        return {
            "format": FORMAT,
            "made_at": self.made_at.isoformat(),
            "leak": {
                "callers": None if leak.callers is None else sorted(leak.callers),
                "tokens": self.listed_tokens,
                "since": None if leak.start is None else leak.start.isoformat(),
                "until": None if leak.end is None else leak.end.isoformat(),
            },
            "source": _source(self.source),
            "entries_read": exposure.read,
            "revealed": {
                **_tally(exposure.revealed),
                "consumers": exposure.consumers,
                "data": exposure.data,
                "listed_tokens": None if self.listed_tokens is None else exposure.tokens_revealed,
            },
            "by_view": [
                {
                    "view": view_name(view),
                    "items": sum(t.items for k, t in exposure.kinds.items() if k[1] is view),
                    "consumers": exposure.consumers_of(
                        *(kind for kind in exposure.kinds if kind[1] is view)
                    ),
                }
                for view in sorted({kind[1] for kind in exposure.kinds})
            ],
            "by_field": [
                {
                    "field_type": name,
                    "sensitive": self.sensitive.get(name),
                    "view": view_name(view),
                    "consumers": exposure.consumers_of((name, view)),
                    **_tally(exposure.kinds[name, view]),
                }
                for name, view in sorted(exposure.kinds)
            ],
            "by_caller": [
                {"caller": caller, **_tally(tally)}
                for caller, tally in sorted(exposure.callers.items())
            ],
            "by_purpose": [
                {"purpose": purpose, **_tally(tally)}
                for purpose, tally in sorted(exposure.purposes.items())
            ],
            "by_day": [
                {"day": day.isoformat(), **_tally(tally)}
                for day, tally in sorted(exposure.days.items())
            ],
            "refused": {
                "items": [
                    {
                        "caller": caller,
                        "verdict": verdict,
                        "reason": reason,
                        "field_type": field_type,
                        **_tally(tally),
                    }
                    for (caller, verdict, reason, field_type), tally in sorted(
                        exposure.refused.items()
                    )
                ],
                "calls": [
                    {"caller": caller, "rpc": rpc, "reason": reason, **_tally(tally)}
                    for (caller, rpc, reason), tally in sorted(exposure.refused_calls.items())
                ],
            },
            "consumers": [
                {
                    "subject_id": handle,
                    **_tally(tally),
                    "fields": [
                        {"field_type": name, "view": view_name(view)} for name, view in kinds
                    ],
                }
                for handle, tally, kinds in exposure.by_consumer()
            ],
        }


def view_name(view: View) -> str:
    return view.name.lower()


def _source(source: Source) -> dict[str, object]:
    if source.kind == "service":
        return {"kind": "service"}
    return {
        "kind": source.kind,
        "log": source.log,
        "from": source.begin,
        "until": source.end,
        "checkpoint_size": source.size,
        "hidden": source.hidden,
    }


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "items": tally.items,
        "entries": tally.entries,
        "first": moment(tally.first_us).isoformat() if tally.entries else None,
        "last": moment(tally.last_us).isoformat() if tally.entries else None,
    }
