"""How often one AES-GCM key may seal under random nonces (NIST SP 800-38D, 8.3).

With 96-bit random nonces a key seals at most 2^32 times, so that two nonces are equal with a
chance below 2^-32.
"""

MOST_USES = 1 << 32
ALARM_USES = 1 << 31


def is_near_limit(uses: int) -> bool:
    """Whether a key wants to be replaced soon."""
    return uses >= ALARM_USES


def is_exhausted(uses: int) -> bool:
    """Whether a key must not seal any more."""
    return uses >= MOST_USES
