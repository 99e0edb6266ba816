"""A whole small log in memory: entries, tree, signed checkpoints and exports."""

import uuid
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.whole_export import write_export
from vault.audit.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from vault.audit.entry import Entry, EntryItem, encode, leaf_hash
from vault.audit.export_format import Manifest
from vault.audit.merkle import build_proof, consistency_plan, root_of
from vault.audit.note import (
    KeyType,
    Note,
    SignatureLine,
    VerifierKey,
    signature_line,
    signed_bytes,
)
from vault.audit.succession import Succession
from vault.audit.tiles import Tile, TileBuilder, edge_tiles, tile_source
from vault.errors import Reason
from vault.model import Authentication, SubjectId, Verdict, View

ORIGIN = "pdvault.example/audit"


def entry_bytes(number: int, purpose: str = "delivery") -> bytes:
    """The entry of a Detokenize call, different for each number."""
    return encode(
        Entry(
            entry_id=uuid.UUID(int=(0x019A << 112) | (7 << 76) | (2 << 62) | number),
            time_us=1_700_000_000_000_000 + number,
            call_id=uuid.UUID(int=(4 << 76) | (2 << 62) | number),
            trace_id=number.to_bytes(16),
            span_id=number.to_bytes(8),
            bundle_digest=bytes(range(32)),
            authentication=Authentication.MTLS,
            verdict=Verdict.ALLOWED,
            reason=Reason.NONE,
            subject_id=SubjectId(uuid.UUID(int=number)),
            tenant="demo-shop",
            rpc="vault.v1.TokenService/Detokenize",
            caller="spiffe://pdvault.example/shop/shipping",
            roles=("shipping",),
            purpose=purpose,
            case="",
            field="",
            items=(
                EntryItem(
                    bytes(32),
                    "phone",
                    View.UNSPECIFIED,
                    View.FULL,
                    Verdict.ALLOWED,
                    Reason.NONE,
                    ("reveal-full",),
                ),
            ),
        )
    )


@dataclass
class Signer:
    """A log's or a witness's key pair; the same seed gives the same keys."""

    name: str = ORIGIN
    type: KeyType = KeyType.ED25519
    seed: int = 1

    def __post_init__(self):
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed.to_bytes(32))
        public = self.private.public_key().public_bytes_raw()
        self.key = VerifierKey(self.name, self.type, public)

    def sign(self, text: str, timestamp: int | None = None) -> SignatureLine:
        raw = self.private.sign(signed_bytes(text, timestamp))
        return signature_line(self.key, raw, timestamp)


@dataclass
class SmallLog:
    """A log that can be appended to, signed and exported."""

    entries: list[bytes] = field(default_factory=list)
    signer: Signer = field(default_factory=Signer)
    origin: str = ORIGIN
    successions: tuple[str, ...] = ()

    @classmethod
    def of(cls, count: int, purpose: str = "delivery") -> "SmallLog":
        return cls([entry_bytes(number, purpose) for number in range(count)])

    def succeed(self, signer: Signer) -> None:
        """Another key signs from now on, and the present one vouches for it."""
        text = Succession(self.signer.key, signer.key).text()
        note = bytes(Note(text, (self.signer.sign(text),))).decode()
        self.signer, self.successions = signer, (*self.successions, note)

    @property
    def keys(self) -> list[VerifierKey]:
        return [self.signer.key]

    def hashes(self, size: int | None = None) -> list[bytes]:
        return [leaf_hash(one) for one in self.entries[:size]]

    def tiles(self, size: int | None = None) -> dict[Tile, bytes]:
        """The full tiles and the edge of the tree of this size."""
        builder = TileBuilder()
        full = [pair for one in self.hashes(size) for pair in builder.append(one)]
        return dict(full + builder.edge())

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        hashes = self.hashes(size)
        return Checkpoint(self.origin, len(hashes), root_of(hashes))

    def note(self, size: int | None = None, cosigners=()) -> Note:
        """A signed checkpoint; `cosigners` are pairs of signer and time."""
        body = self.checkpoint(size).body()
        lines = [self.signer.sign(body)]
        lines += [signer.sign(body, time) for signer, time in cosigners]
        return Note(body, tuple(lines))

    def opened(self, size: int | None = None) -> SignedCheckpoint:
        return open_checkpoint(bytes(self.note(size)), self.keys)

    def export(
        self,
        begin: int = 0,
        end: int | None = None,
        *,
        size: int | None = None,
        note: Note | None = None,
        older: tuple[int, ...] = (),
    ) -> list[bytes]:
        """The lines of an export of [begin, end) under the checkpoint of `size`."""
        size = len(self.entries) if size is None else size
        tiles = self.tiles(size)
        source = tile_source(tiles.__getitem__, size)
        manifest = Manifest(
            origin=self.origin,
            begin=begin,
            end=size if end is None else end,
            checkpoint=bytes(note or self.note(size)).decode(),
            edge=tuple(tiles[tile] for tile in edge_tiles(size)),
            consistency={
                one: tuple(build_proof(consistency_plan(one, size), source)) for one in older
            },
            successions=self.successions,
        )
        return list(write_export(manifest, size, tiles.__getitem__, self.entries.__getitem__))
