"""The verifiable log's calls through both clients, against a scripted vault that has a real log."""

import asyncio
import datetime as dt
import functools

import grpc
import pytest

from tests.support.small_log import SmallLog
from tests.unit.client_server import Authority, ScriptedVault, answers, fails, fails_bare
from vault.audit.export_format import steps
from vault.audit.merkle import build_proof, inclusion_plan, verify_inclusion
from vault.audit.tiles import Tile, edge_tiles, tile_source
from vault.client import (
    AsyncVaultClient,
    ExportHead,
    ExportLeaves,
    ExportTile,
    InvalidRequestError,
    RetryPolicy,
    UnavailableError,
    VaultCallError,
    VaultClient,
    Verdict,
    View,
)
from vault.v1 import audit_pb2

QUICK = RetryPolicy(attempts=3, first_ceiling=0.01, highest_ceiling=0.02)
LOG = SmallLog.of(600)
HASHES = LOG.hashes()
tiles_of = functools.cache(LOG.tiles)
NOW = dt.datetime(2026, 11, 21, 20, tzinfo=dt.UTC)
BROKEN = fails_bare(grpc.StatusCode.UNAVAILABLE, "connection reset")


class Both:
    """One of the two clients; streams as lists, with the error that ended them."""

    def __init__(self, client) -> None:
        self.client = client

    async def call(self, name, *args, **options):
        if isinstance(self.client, AsyncVaultClient):
            return await getattr(self.client, name)(*args, **options)
        return await asyncio.to_thread(getattr(self.client, name), *args, **options)

    async def stream(self, name, *args, limit=10**9, **options):
        found = []
        if isinstance(self.client, AsyncVaultClient):
            pieces = getattr(self.client, name)(*args, **options)
            try:
                async for piece in pieces:
                    found.append(piece)
                    if len(found) == limit:
                        break
            except VaultCallError as error:
                return found, error
            finally:
                await pieces.aclose()
            return found, None

        def run():
            pieces = getattr(self.client, name)(*args, **options)
            try:
                for piece in pieces:
                    found.append(piece)
                    if len(found) == limit:
                        break
            except VaultCallError as error:
                return found, error
            finally:
                pieces.close()
            return found, None

        return await asyncio.to_thread(run)


@pytest.fixture(scope="module")
def authority():
    return Authority("the shop's own")


@pytest.fixture
async def vault(authority, tmp_path):
    vault = ScriptedVault()
    await vault.start(authority.issue_server(tmp_path / "server"))
    yield vault
    await vault.stop()


@pytest.fixture(params=[VaultClient, AsyncVaultClient], ids=["sync", "async"])
async def client(request, vault, authority, tmp_path):
    folder = authority.issue_client(tmp_path / "auditor", "vault/auditor")
    both = Both(request.param.from_directory(folder, vault.address, retry=QUICK))
    yield both
    await both.call("close")


def checkpoint(size=600):
    return audit_pb2.Checkpoint(
        note=bytes(LOG.note(size)).decode(),
        size=size,
        root=LOG.checkpoint(size).root,
        verifier_key=str(LOG.signer.key),
    )


def export(begin=0, end=600, size=600):
    """The messages of an export, as the vault sends them."""
    tiles = tiles_of(size)
    edge = [tiles[tile] for tile in edge_tiles(size)]
    messages = [audit_pb2.ExportEntriesResponse(checkpoint=checkpoint(size), edge=edge)]
    for step in steps(begin, end, size):
        if isinstance(step, Tile):
            tile = audit_pb2.ExportedTile(level=step.level, index=step.index, hashes=tiles[step])
            messages.append(audit_pb2.ExportEntriesResponse(tile=tile))
            continue
        leaves = [audit_pb2.ExportedLeaf(entry=LOG.entries[i], leaf_hash=HASHES[i]) for i in step]
        messages.append(audit_pb2.ExportEntriesResponse(first_index=step.start, leaves=leaves))
    return messages


def shape(pieces):
    """What an export gave, in short."""
    words = []
    for piece in pieces:
        match piece:
            case ExportHead(begin=begin, end=end, checkpoint=one):
                words.append(("head", begin, end, one.size))
            case ExportTile(level=level, index=index):
                words.append(("tile", level, index))
            case ExportLeaves(leaves=leaves):
                words.append(("leaves", leaves[0].index, leaves[-1].index))
    return words


WHOLE = [
    ("head", 0, 600, 600),
    ("tile", 0, 0),
    ("leaves", 0, 255),
    ("tile", 0, 1),
    ("leaves", 256, 511),
    ("leaves", 512, 599),
]


async def test_an_export_comes_piece_by_piece(client, vault):
    vault.scripts["ExportEntries"].append(answers(export()))
    pieces, error = await client.stream("export_entries")
    assert (WHOLE, None) == (shape(pieces), error)
    leaf = pieces[2].leaves[7]
    assert (7, LOG.entries[7], HASHES[7]) == (leaf.index, leaf.entry, leaf.leaf_hash)
    asked = vault.received["ExportEntries"][0]
    assert (0, 0, 0) == (
        asked.request.from_index,
        asked.request.until_index,
        asked.request.checkpoint_size,
    )


@pytest.mark.parametrize("cut", range(6))
async def test_a_broken_export_goes_on_where_it_was(client, vault, cut):
    """Under the same checkpoint, without a piece twice, wherever it broke."""
    due = 0 if cut < 3 else 256 if cut < 5 else 512
    vault.scripts["ExportEntries"] += [
        answers([*export()[:cut], BROKEN]),
        BROKEN,
        answers(export(due)),
    ]
    pieces, error = await client.stream("export_entries")
    assert (WHOLE, None) == (shape(pieces), error)
    first, *_, last = (each.request for each in vault.received["ExportEntries"])
    assert 3 == len(vault.received["ExportEntries"])
    expected = (due, 600, 600) if cut else (0, 0, 0)
    assert expected == (last.from_index, last.until_index, last.checkpoint_size)
    assert 0 == first.from_index


async def test_a_break_after_the_last_leaf_is_none(client, vault):
    vault.scripts["ExportEntries"].append(answers([*export(), BROKEN]))
    pieces, error = await client.stream("export_entries")
    assert (WHOLE, None) == (shape(pieces), error)


async def test_a_vault_that_stays_away_ends_it(client, vault):
    vault.scripts["ExportEntries"] += [answers([*export()[:3], BROKEN]), BROKEN, BROKEN, BROKEN]
    pieces, error = await client.stream("export_entries")
    assert WHOLE[:3] == shape(pieces)
    assert isinstance(error, UnavailableError)


async def test_a_refusal_is_not_tried_again(client, vault):
    vault.scripts["ExportEntries"].append(
        fails(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", violation=("until_index", "no"))
    )
    pieces, error = await client.stream("export_entries", 5, 3)
    assert [] == pieces
    assert isinstance(error, InvalidRequestError)


def _other_size():
    return [*export(256, 512, 512)]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        export()[:3],
        export()[1:],
        [export()[0], *export()[3:]],
        [export()[0], export()[2], export()[2]],
        [export()[0], audit_pb2.ExportEntriesResponse(first_index=0)],
        [export()[0], audit_pb2.ExportEntriesResponse(leaves=[audit_pb2.ExportedLeaf()])],
        [
            export()[0],
            audit_pb2.ExportEntriesResponse(tile=audit_pb2.ExportedTile(hashes=b"short")),
        ],
    ],
    ids=["empty", "cut", "no head", "gap", "twice", "no leaves", "no hash", "short tile"],
)
async def test_an_export_that_is_not_what_was_asked_for_is_refused(client, vault, messages):
    vault.scripts["ExportEntries"].append(answers(messages))
    _, error = await client.stream("export_entries")
    assert isinstance(error, VaultCallError)
    assert "INTERNAL" in str(error)


async def test_an_export_does_not_go_on_under_another_checkpoint(client, vault):
    vault.scripts["ExportEntries"] += [
        answers([*export()[:3], BROKEN]),
        answers(_other_size()),
    ]
    _, error = await client.stream("export_entries")
    assert "another checkpoint" in str(error)


async def test_tail_gives_entries_until_it_is_left(client, vault):
    async def forever(request, context):
        await asyncio.sleep(30)

    entries = [
        audit_pb2.TailEntriesResponse(entry=audit_pb2.AuditEntry(entry_id=str(i), verdict=1))
        for i in range(2)
    ]
    vault.scripts["TailEntries"].append(answers([*entries, forever]))
    found, error = await client.stream(
        "tail_entries",
        limit=2,
        field_type="phone",
        view=View.MASKED,
        policy="reveal-masked",
        bundle_digest="d" * 64,
    )
    assert (["0", "1"], None) == ([entry.entry_id for entry in found], error)
    received = vault.received["TailEntries"][0]
    asked = received.request.filter
    assert ("phone", 2, "reveal-masked", "d" * 64) == (
        asked.field_type,
        asked.view,
        asked.policy,
        asked.bundle_digest,
    )
    assert received.timeout is None


async def test_a_tail_that_breaks_is_not_begun_again(client, vault):
    vault.scripts["TailEntries"] += [answers([audit_pb2.TailEntriesResponse(), BROKEN])]
    found, error = await client.stream("tail_entries")
    assert (1, UnavailableError) == (len(found), type(error))
    assert 1 == len(vault.received["TailEntries"])


async def test_stats(client, vault):
    count = audit_pb2.AccessCount(rpc="r", caller="c", purpose="p", verdict=2, entries=7)
    count.hour.FromDatetime(NOW)
    vault.scripts["GetStats"] += [
        fails(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
        answers(audit_pb2.GetStatsResponse(counts=[count])),
    ]
    (got,) = await client.call("get_stats", NOW, NOW + dt.timedelta(hours=1))
    assert (NOW, "r", "c", "p", Verdict.REFUSED, 7) == (
        got.hour,
        got.rpc,
        got.caller,
        got.purpose,
        got.verdict,
        got.entries,
    )
    request = vault.received["GetStats"][1].request
    assert NOW == getattr(request, "from").ToDatetime(tzinfo=dt.UTC)
    with pytest.raises(InvalidRequestError):
        await client.call("get_stats", NOW.replace(tzinfo=None), NOW)


async def test_checkpoint(client, vault):
    vault.scripts["GetCheckpoint"] += [
        answers(audit_pb2.GetCheckpointResponse(checkpoint=checkpoint())),
        answers(audit_pb2.GetCheckpointResponse(checkpoint=checkpoint(9))),
        answers(audit_pb2.GetCheckpointResponse()),
    ]
    got = await client.call("get_checkpoint", 600)
    assert (600, LOG.checkpoint().root) == (got.size, got.root)
    for asked in (10, 0):
        with pytest.raises(VaultCallError, match="checkpoint"):
            await client.call("get_checkpoint", asked)


def inclusion(ids, size=600):
    source = tile_source(tiles_of(size).__getitem__, size)
    proofs = [
        audit_pb2.InclusionProof(
            entry_id=f"{i:032x}",
            is_included=True,
            leaf_index=i,
            leaf_hash=HASHES[i],
            path=build_proof(inclusion_plan(i, size), source),
        )
        if i < size
        else audit_pb2.InclusionProof(entry_id=f"{i:032x}")
        for i in ids
    ]
    return audit_pb2.ProveInclusionResponse(proofs=proofs, checkpoint=checkpoint(size))


async def test_proofs_of_many_entries_are_against_one_tree(client, vault):
    async def prove(request, context):
        size = request.tree_size or 599
        return inclusion([int(each, 16) for each in request.entry_ids], size)

    vault.scripts["ProveInclusion"] += [prove, prove]
    got = await client.call("prove_inclusion", [f"{i:032x}" for i in range(600)])
    assert [0, 599] == [each.request.tree_size for each in vault.received["ProveInclusion"]]
    assert [i < 599 for i in range(600)] == [proof.is_included for proof in got.proofs]
    for proof in got.proofs[:-1]:
        verify_inclusion(
            proof.leaf_hash, proof.leaf_index, 599, proof.path, LOG.checkpoint(599).root
        )


@pytest.mark.parametrize("ids", [[1], [2, 1], [1, 2, 3]])
async def test_proofs_of_other_entries_are_refused(client, vault, ids):
    vault.scripts["ProveInclusion"].append(answers(inclusion(ids)))
    with pytest.raises(VaultCallError, match="does not fit"):
        await client.call("prove_inclusion", [f"{i:032x}" for i in (1, 2)])


async def test_one_id_is_no_collection(client):
    with pytest.raises(InvalidRequestError):
        await client.call("prove_inclusion", "0" * 32)


async def test_consistency(client, vault):
    answer = audit_pb2.ProveConsistencyResponse(
        first_size=9, second_size=600, path=[bytes(32)], checkpoint=checkpoint()
    )
    vault.scripts["ProveConsistency"] += [answers(answer)] * 3
    got = await client.call("prove_consistency", 9)
    assert (9, 600, (bytes(32),)) == (got.first_size, got.second_size, got.path)
    for sizes in ((8, 0), (9, 599)):
        with pytest.raises(VaultCallError, match="does not fit"):
            await client.call("prove_consistency", *sizes)
