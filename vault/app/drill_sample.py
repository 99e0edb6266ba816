"""Values of a restored database, opened through Transit to see that they open. Counts come out."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vault.app.parts import transit_settings
from vault.clock import Clock
from vault.config import Config
from vault.crypto.aead import DecryptError, SubjectKey
from vault.crypto.binding import field_aad, key_context
from vault.crypto.transit import Transit, UnwrapItem, Unwrapped
from vault.errors import VaultError
from vault.store.restored import SampledValue


@dataclass(frozen=True, slots=True)
class Opened:
    """A kind of value, and whether it opened."""

    field_type: str
    tenant: str
    root_version: int
    is_open: bool


async def open_sample(
    config: Config, values: Sequence[SampledValue], clock: Clock
) -> Counter[Opened]:
    """Opens values with the service's login to Transit.

    Raises:
        VaultError: KEY_STORE_*: Transit does not answer.
    """
    first = {(value.subject_id, value.key_version): value for value in values}
    transit = Transit(transit_settings(config), clock=clock)
    try:
        await transit.open([])
        answers = await transit.unwrap(
            [
                UnwrapItem(
                    value.tenant,
                    value.wrapped,
                    key_context(
                        tenant=value.tenant,
                        subject_id=value.subject_id,
                        key_version=value.key_version,
                    ),
                )
                for value in first.values()
            ]
        )
    finally:
        await transit.close()
    keys: dict[tuple[object, int], SubjectKey] = {}
    for (place, value), answer in zip(first.items(), answers, strict=True):
        if isinstance(answer, VaultError):
            raise answer
        if isinstance(answer, Unwrapped):
            with contextlib.suppress(DecryptError):
                keys[place] = SubjectKey.check(
                    answer.secret, key_salt=value.key_salt, commitment=value.commitment
                )
    found: Counter[Opened] = Counter()
    for value in values:
        key = keys.get((value.subject_id, value.key_version))
        is_open = key is not None and _opens(key, value)
        found[Opened(value.field_type, value.tenant, value.root_version, is_open)] += 1
    return found


def _opens(key: SubjectKey, value: SampledValue) -> bool:
    aad = field_aad(
        tenant=value.tenant,
        subject_id=value.subject_id,
        field_type=value.field_type,
        token=value.token,
    )
    try:
        key.open(value.envelope, aad)
    except DecryptError:
        return False
    return True
