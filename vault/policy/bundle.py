"""A bundle: everything that decides, loaded as one, immutable, named by its digest.

Guarantees: an allow only ever comes from Cedar. What is checked before Cedar is asked (does
the purpose exist, does a role of the caller serve it, does it need the field type) can
only refuse, and gives the refusal its reason. What a Principal says about its tenant and roles
must be what this bundle says; if not, the answer is no.
"""

import datetime as dt
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vault.errors import Reason
from vault.fields import FieldType
from vault.model import Authentication, Decision, Principal, TenantId, View
from vault.policy import files
from vault.policy.callers import CallerEntry
from vault.policy.engine import Engine, Ruling
from vault.policy.entities import Graph, Uid, caller_entity, reference, uid
from vault.policy.purposes import VIEW_NAMES, Purpose
from vault.policy.rules import Rules

MEMO_ENTRIES = 65_536
"""At most this many decisions are kept; then the memo is emptied and fills anew."""

REVEAL_ACTIONS = {view: f"reveal_{name}" for name, view in VIEW_NAMES.items()}

# When no view may be had, the reason that says most.
_RANK = (Reason.CONSENT_MISSING, Reason.POLICY_FORBIDDEN, Reason.POLICY_DENIED)


class Act(enum.Enum):
    """What a caller may do that reveals no value; each is a Cedar action of the same name."""

    TOKENIZE = "tokenize"
    LIST_ENTRIES = "list_entries"
    GET_BUNDLE = "get_bundle"
    RELOAD_BUNDLE = "reload_bundle"
    READ_KEYS = "read_keys"
    ROTATE_KEY = "rotate_key"
    CONTROL_JOB = "control_job"
    REQUEST_ACT = "request_act"
    APPROVE_ACT = "approve_act"
    CARRY_OUT_ACT = "carry_out_act"
    ERASE_SUBJECT = "erase_subject"
    GET_ERASURE = "get_erasure"


@dataclass(frozen=True, slots=True)
class BundleCounts:
    """How much a bundle holds."""

    policies: int
    field_types: int
    purposes: int
    callers: int


class Bundle:
    """Rules and the engine that decides by them. Made by `load_bundle`."""

    def __init__(
        self,
        *,
        contents: Mapping[str, bytes],
        rules: Rules,
        graph: Graph,
        engine: Engine,
        issuers_document: object,
    ) -> None:
        """Takes what `load_bundle` has read and checked.

        Args:
            contents: the bundle's files by name.
            rules: what the YAML files say.
            graph: the same as entities.
            engine: Cedar over that graph.
            issuers_document: `issuers.yaml`, parsed strictly but not checked further.
        """
        self.digest = files.bundle_digest(contents)
        self.field_types: Mapping[str, FieldType] = MappingProxyType(dict(rules.field_types))
        self.purposes: Mapping[str, Purpose] = MappingProxyType(dict(rules.purposes))
        self.issuers_document = issuers_document
        self._contents, self._rules, self._graph, self._engine = contents, rules, graph, engine
        self._memo: dict[tuple[object, ...], Decision] = {}

    def __repr__(self) -> str:
        return f"Bundle({self.digest.hex()[:16]})"

    @property
    def counts(self) -> BundleCounts:
        directory = self._rules.directory
        return BundleCounts(
            policies=len(self._engine),
            field_types=len(self.field_types),
            purposes=len(self.purposes),
            callers=len(directory.callers),
        )

    @property
    def callers(self) -> Mapping[str, CallerEntry]:
        return self._rules.directory.callers

    @property
    def tenants(self) -> tuple[str, ...]:
        return self._rules.directory.tenants

    @property
    def roles(self) -> Mapping[str, str]:
        """Role -> description."""
        return self._rules.directory.roles

    @property
    def services(self) -> Mapping[str, frozenset[str]]:
        """Who may call which: name of the gRPC service -> the ids that it takes."""
        return self._rules.directory.services

    @property
    def file_names(self) -> tuple[str, ...]:
        """Of the files that `read_file` gives, sorted."""
        return tuple(sorted(self._contents))

    @property
    def case_kinds(self) -> Mapping[str, str]:
        """What a call may be about: kind -> description."""
        return self._rules.case_kinds

    def caller(self, principal_id: str) -> CallerEntry | None:
        """What the bundle says about an identity; None when it does not know it."""
        return self._rules.directory.callers.get(principal_id)

    def permits_service(self, principal_id: str, service: str) -> bool:
        """Whether a gRPC service (such as `vault.v1.TokenService`) takes this caller."""
        return principal_id in self._rules.directory.services.get(service, frozenset())

    def read_file(self, name: str) -> bytes:
        """A file of the bundle as it was when the bundle was loaded.

        Raises:
            FileNotFoundError: the bundle has no such file.
        """
        if name not in self._contents:
            raise FileNotFoundError(name)
        return self._contents[name]

    def overdue(self, today: dt.date) -> tuple[str, ...]:
        """Purposes whose review date has passed. They still serve; their owners must be told."""
        return tuple(sorted(name for name, each in self.purposes.items() if each.review_by < today))

    def decide_reveal(
        self,
        principal: Principal,
        purpose: str,
        field_type: str,
        wanted: View,
        *,
        tenant: TenantId,
        consented: bool,
    ) -> Decision:
        """Whether, and in which view, one value may be revealed.

        Args:
            principal: who asks.
            purpose: what for.
            field_type: of the value.
            wanted: exactly this view; UNSPECIFIED for the most that is allowed.
            tenant: whose value it is.
            consented: whether the subject's consent to this purpose stands.
        """
        consented = consented is True
        # The principal's parts: a frozen dataclass hashes itself in Python, a tuple does not.
        key = (
            principal.id,
            principal.authentication,
            principal.tenant,
            principal.roles,
            purpose,
            field_type,
            wanted,
            tenant,
            consented,
        )
        known = self._memo.get(key)
        if known is not None:
            return known
        refusal = self._refuse_early(principal, purpose, field_type, tenant)
        if refusal is not Reason.NONE:
            # Not kept: its parts may be anything that a caller made up.
            return Decision(View.UNSPECIFIED, refusal, ())
        context = {
            "purpose": reference("Purpose", purpose),
            "consented": consented,
            "by_person": _is_by_person(principal),
        }
        resource = self._field(tenant, field_type)
        views = self.field_types[field_type].views
        tried = views if wanted is View.UNSPECIFIED else (wanted,)
        if any(view not in REVEAL_ACTIONS for view in tried):
            return Decision(View.UNSPECIFIED, Reason.VIEW_UNAVAILABLE, ())
        rulings: list[Ruling] = []
        for view in tried:
            ruling = self._engine.decide(
                caller=principal.id,
                action=REVEAL_ACTIONS[view],
                resource=resource,
                context=context,
            )
            if ruling.reason is Reason.POLICY_ERROR:
                return Decision(View.UNSPECIFIED, ruling.reason, ruling.policies)
            if ruling.reason is Reason.NONE and view in views:
                return self._keep(key, Decision(view, Reason.NONE, ruling.policies))
            rulings.append(ruling)
        reason = self._reveal_reason(rulings, purpose, field_type, wanted)
        names = {
            name
            for ruling in rulings
            if ruling.reason is not Reason.NONE
            for name in ruling.policies
        }
        return self._keep(key, Decision(View.UNSPECIFIED, reason, tuple(sorted(names))))

    def decide_act(
        self, principal: Principal, act: Act, *, field_type: str | None = None
    ) -> Decision:
        """Whether a caller may do something that reveals no value, within its own tenant.

        Args:
            principal: who asks.
            act: what it would do.
            field_type: what is tokenised; None for the other acts. Anything else is refused
                with POLICY_ERROR.
        """
        key = (principal, act, field_type)
        known = self._memo.get(key)
        if known is not None:
            return known
        if not self._is_current(principal):
            return Decision(View.UNSPECIFIED, Reason.POLICY_DENIED, ())
        if (field_type is not None) != (act is Act.TOKENIZE):
            return Decision(View.UNSPECIFIED, Reason.POLICY_ERROR, ())
        if field_type is None:
            resource = uid("Tenant", principal.tenant)
        elif field_type in self.field_types:
            resource = self._field(principal.tenant, field_type)
        else:
            return Decision(View.UNSPECIFIED, Reason.FIELD_TYPE_UNKNOWN, ())
        ruling = self._engine.decide(
            caller=principal.id,
            action=act.value,
            resource=resource,
            context={"by_person": _is_by_person(principal)},
        )
        decision = Decision(View.UNSPECIFIED, ruling.reason, ruling.policies)
        return decision if ruling.reason is Reason.POLICY_ERROR else self._keep(key, decision)

    def with_callers(self, entries: Iterable[CallerEntry]) -> "Bundle":
        """The same bundle with more callers, for asking what they could do. It serves nobody.

        Raises:
            CedarError: a caller is there already.
        """
        entries = tuple(entries)
        directory = self._rules.directory
        callers = {**directory.callers, **{entry.id: entry for entry in entries}}
        return Bundle(
            contents=self._contents,
            rules=replace(self._rules, directory=replace(directory, callers=callers)),
            graph=self._graph,
            engine=self._engine.with_entities(caller_entity(entry) for entry in entries),
            issuers_document=self.issuers_document,
        )

    def _refuse_early(
        self, principal: Principal, purpose: str, field_type: str, tenant: str
    ) -> Reason:
        entry = self.purposes.get(purpose)
        if not self._is_current(principal) or tenant not in self.tenants:
            return Reason.POLICY_DENIED
        if entry is None:
            return Reason.PURPOSE_UNKNOWN
        if not set(entry.roles) & set(principal.roles):
            return Reason.PURPOSE_NOT_PERMITTED
        if field_type not in entry.reveals or field_type not in self.field_types:
            return Reason.FIELD_NOT_IN_PURPOSE
        return Reason.NONE

    def _is_current(self, principal: Principal) -> bool:
        entry = self.caller(principal.id)
        proof = Authentication.JWT if entry and entry.is_person else Authentication.MTLS
        return (
            entry is not None
            and principal.authentication is proof
            and principal.tenant == entry.tenant
            and principal.roles == entry.roles
        )

    def _reveal_reason(
        self, rulings: list[Ruling], purpose: str, field_type: str, wanted: View
    ) -> Reason:
        reasons = {ruling.reason for ruling in rulings}
        reason = next((each for each in _RANK if each in reasons), Reason.POLICY_DENIED)
        if reason is not Reason.POLICY_DENIED or wanted is View.UNSPECIFIED:
            return reason
        entry, views = self.purposes[purpose], self.field_types[field_type].views
        if wanted not in views:
            return Reason.VIEW_UNAVAILABLE
        if views.index(wanted) < views.index(entry.reveals[field_type]):
            return Reason.VIEW_NOT_PERMITTED
        return Reason.POLICY_DENIED

    def _field(self, tenant: str, field_type: str) -> Uid:
        return uid("Field", self._graph.fields[(tenant, field_type)])

    def _keep(self, key: tuple[object, ...], decision: Decision) -> Decision:
        if len(self._memo) >= MEMO_ENTRIES:
            self._memo.clear()
        self._memo[key] = decision
        return decision


def _is_by_person(principal: Principal) -> bool:
    return principal.authentication is not Authentication.MTLS
