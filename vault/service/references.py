"""From a shop's own reference to a subject, for those who erase."""

from vault.model import SubjectId
from vault.service.call import Call
from vault.service.index_keys import IndexKeys
from vault.service.subjects import Lookup, Subjects
from vault.store.erasures import Repeat

_MARK = "erase "
"""No idempotency key holds a space, so the digests of the two never meet."""


class SubjectReferences:
    """Looks references up; holds none."""

    def __init__(self, *, index_keys: IndexKeys, subjects: Subjects) -> None:
        self._index_keys = index_keys
        self._subjects = subjects

    async def find(self, call: Call, subject_ref: str) -> SubjectId | None:
        """The subject behind a reference of the caller's tenant.

        Raises:
            VaultError: the key store or the database failed.
        """
        index = await self._index_keys.get(call.tenant)
        ref = index.subject_ref(subject_ref)
        known = await self._subjects.find(Lookup(call.tenant, [ref]), call.trace)
        return known.subjects[ref][0] if ref in known.subjects else None

    async def repeat(self, call: Call, subject_ref: str) -> Repeat:
        """What leads this caller's repetition to the same erasure.

        Raises:
            VaultError: as `find`.
        """
        index = await self._index_keys.get(call.tenant)
        return Repeat(index.idempotency(call.principal.id, _MARK + subject_ref))
