"""What a bundle lets happen, in a form that can be kept and compared (pure).

docs/custody.md, "Policy that widens", is the contract. Guarantees: the reach of a bundle has every
caller with its tenant, services and acts, and every (purpose, field type, view) that it may
see, with and without the subject's consent, as the bundle itself decides; `widened` names
everything that the second bundle lets happen and the first does not. Callers that no policy
can tell apart are asked about once. Leaves to others: what follows from a wider bundle.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vault.errors import Violation
from vault.policy import files
from vault.policy.bundle import Act, Bundle
from vault.policy.callers import CallerEntry
from vault.policy.compilation import named_callers
from vault.policy.document import read_document
from vault.policy.exclusion import principal_of
from vault.policy.faults import Faults
from vault.policy.purposes import VIEW_NAMES

MAX_SHOWN = 20
"""Widenings that are named; the rest is counted. They travel in a response's trailers."""
MAX_REACH_BYTES = 64 * 1024 * 1024
_FORMAT = 1
_MAX_NAME = 100
_UNCONSENTED = 8
"""Bits of a mask: 1 << view with the subject's consent, shifted by this much without."""


class ReachFormatError(ValueError):
    """The bytes are not a reach."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What callers of one kind may do.

    Attributes:
        reveals: `PURPOSE/FIELD TYPE` -> mask of views.
        acts: names; `tokenize:FIELD TYPE` for each type.
    """

    reveals: Mapping[str, int]
    acts: frozenset[str]


_NOTHING = Profile({}, frozenset())


@dataclass(frozen=True, slots=True)
class CallerReach:
    """One caller; `profile` is a position in `Reach.profiles`."""

    tenant: str
    profile: int
    services: frozenset[str]
    may_carry_people: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """All of a bundle.

    Attributes:
        views: `FIELD TYPE/VIEW` -> digest of how it is drawn.
        vouchers: one text for each key of each issuer of bearer tokens, and for its settings.
    """

    callers: Mapping[str, CallerReach]
    profiles: tuple[Profile, ...]
    views: Mapping[str, str]
    vouchers: frozenset[str]


def reach_of(bundle: Bundle) -> Reach:
    """Asks the bundle. For a big one this takes seconds, so call it from a thread."""
    contents = {name: bundle.read_file(name) for name in bundle.file_names}
    named = named_callers(contents)
    services: dict[str, set[str]] = {}
    for service, ids in bundle.services.items():
        for caller in ids:
            services.setdefault(caller, set()).add(service)
    places: dict[object, int] = {}
    profiles: list[Profile] = []
    callers: dict[str, CallerReach] = {}
    for caller, entry in bundle.callers.items():
        # Cedar knows of a caller its tenant, its roles, and its id where a policy names it.
        kind = (entry.tenant, entry.roles, entry.is_person, caller if caller in named else "")
        if kind not in places:
            places[kind] = len(profiles)
            profiles.append(_profile(bundle, entry))
        callers[caller] = CallerReach(
            entry.tenant,
            places[kind],
            frozenset(services.get(caller, ())),
            entry.may_carry_people,
        )
    return Reach(callers, tuple(profiles), _drawings(contents), frozenset(_vouchers(bundle)))


def _profile(bundle: Bundle, entry: CallerEntry) -> Profile:
    principal = principal_of(entry)
    reveals: dict[str, int] = {}
    for name, purpose in bundle.purposes.items():
        # Any other purpose or field type is refused before Cedar is asked (`Bundle`).
        if not set(purpose.roles) & set(entry.roles):
            continue
        for field_type in purpose.reveals:
            mask = 0
            for view in bundle.field_types[field_type].views:
                for shift, consented in ((0, True), (_UNCONSENTED, False)):
                    decision = bundle.decide_reveal(
                        principal, name, field_type, view, tenant=entry.tenant, consented=consented
                    )
                    mask |= decision.is_allowed << (view + shift)
            if mask:
                reveals[f"{name}/{field_type}"] = mask
    acts = {
        act.value
        for act in Act
        if act is not Act.TOKENIZE and bundle.decide_act(principal, act).is_allowed
    }
    acts |= {
        f"{Act.TOKENIZE.value}:{name}"
        for name in bundle.field_types
        if bundle.decide_act(principal, Act.TOKENIZE, field_type=name).is_allowed
    }
    return Profile(reveals, frozenset(acts))


def _drawings(contents: Mapping[str, bytes]) -> dict[str, str]:
    document = read_document(files.FIELD_TYPES, contents[files.FIELD_TYPES], Faults())
    value: Any = document.value if document else {}
    return {
        f"{name}/{view}": _digest(drawing)
        for name, field_type in value["field_types"].items()
        for view, drawing in field_type["views"].items()
    }


def _vouchers(bundle: Bundle) -> Iterator[str]:
    document: Any = bundle.issuers_document
    for issuer in document.get("issuers") or ():
        settings = {name: value for name, value in issuer.items() if name != "jwks"}
        yield f"{issuer['issuer']} settings {_digest(settings)}"
        for key in json.loads(bundle.read_file(issuer["jwks"]))["keys"]:
            yield f"{issuer['issuer']} key {_digest(key)}"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- Kept ---------------------------------------------------------------------------------


def encode_reach(reach: Reach) -> bytes:
    """The same reach always gives the same bytes."""
    document = {
        "reach": _FORMAT,
        "callers": {
            caller: [each.tenant, each.profile, sorted(each.services), each.may_carry_people]
            for caller, each in reach.callers.items()
        },
        "profiles": [[dict(each.reveals), sorted(each.acts)] for each in reach.profiles],
        "views": dict(reach.views),
        "vouchers": sorted(reach.vouchers),
    }
    return zlib.compress(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def decode_reach(data: bytes) -> Reach:
    """Reads what `encode_reach` writes.

    Raises:
        ReachFormatError: it is anything else.
    """
    try:
        inflater = zlib.decompressobj()
        document: Any = json.loads(inflater.decompress(data, MAX_REACH_BYTES))
        if document["reach"] != _FORMAT or not inflater.eof:
            raise ReachFormatError("not a reach of a known format")
        profiles = tuple(
            Profile({str(k): int(v) for k, v in reveals.items()}, frozenset(map(str, acts)))
            for reveals, acts in document["profiles"]
        )
        callers = {
            str(caller): CallerReach(
                str(tenant), range(len(profiles))[profile], frozenset(services), bool(carries)
            )
            for caller, (tenant, profile, services, carries) in document["callers"].items()
        }
        views = {str(name): str(drawing) for name, drawing in document["views"].items()}
        return Reach(callers, profiles, views, frozenset(map(str, document["vouchers"])))
    except (zlib.error, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ReachFormatError("not a reach") from error


# --- Compared -----------------------------------------------------------------------------


def widened(old: Reach, new: Reach) -> tuple[Violation, ...]:
    """What `new` lets happen and `old` does not; at most `MAX_SHOWN`, then how many more.

    Each names the file to look at, who gains it (one of them, and how many more), and what.
    """
    gains: dict[tuple[str, str], list[str]] = {}
    known: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for caller, after in new.callers.items():
        before = old.callers.get(caller)
        if before is not None and before.tenant != after.tenant:
            before = None  # what it may see is another tenant's
        pair = (-1 if before is None else before.profile, after.profile)
        if pair not in known:
            base = _NOTHING if before is None else old.profiles[before.profile]
            known[pair] = list(_gains(base, new.profiles[after.profile]))
        for gain in known[pair]:
            gains.setdefault(gain, []).append(caller)
        had = frozenset() if before is None else before.services
        for service in sorted(after.services - had):
            gains.setdefault(("callers.yaml", f"may call {service}"), []).append(caller)
        if after.may_carry_people and not (before and before.may_carry_people):
            gains.setdefault(("callers.yaml", "may carry people"), []).append(caller)
    found = [Violation(file, f"{_who(callers)} {what}") for (file, what), callers in gains.items()]
    found += [
        Violation("field_types.yaml", f"{name} is drawn in another way")
        for name, drawing in sorted(new.views.items())
        if old.views.get(name, drawing) != drawing
    ]
    found += [
        Violation("issuers.yaml", f"{_short(voucher)} is new")
        for voucher in sorted(new.vouchers - old.vouchers)
    ]
    if len(found) > MAX_SHOWN:
        rest = Violation("bundle", f"and {len(found) - MAX_SHOWN} more")
        return (*found[:MAX_SHOWN], rest)
    return tuple(found)


def _gains(old: Profile, new: Profile) -> Iterator[tuple[str, str]]:
    for place, mask in sorted(new.reveals.items()):
        more = mask & ~old.reveals.get(place, 0)
        purpose, _, field_type = place.partition("/")
        for name, view in VIEW_NAMES.items():
            is_free = bool(more >> _UNCONSENTED & 1 << view)
            if is_free or more & 1 << view:
                manner = "" if is_free else " with consent"
                yield "purposes.yaml", f"may see {field_type} {name} for {purpose}{manner}"
    for act in sorted(new.acts - old.acts):
        yield "acts.cedar", f"may {act}"


def _who(callers: list[str]) -> str:
    first = _short(min(callers))
    return first if len(callers) == 1 else f"{first} and {len(callers) - 1} more"


def _short(text: str) -> str:
    return ascii(text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "...")[1:-1]
