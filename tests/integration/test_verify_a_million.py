"""An auditor verifies 1,000,000 leaves offline in at most 60 s, in bounded memory."""

import resource
import time

import pytest

from tests.support.small_log import ORIGIN, Signer, entry_bytes
from tests.support.whole_export import write_export
from vault.audit.checkpoint import Checkpoint
from vault.audit.entry import leaf_hash
from vault.audit.export_format import Manifest
from vault.audit.note import Note
from vault.audit.tiles import TileBuilder, edge_tiles
from vault.audit.verify import verify_export

COUNT = 1_000_000
SECONDS = 60
MEGABYTES = 64
TEMPLATE = entry_bytes(0)


def entry(number: int) -> bytes:
    """The template under another entry id."""
    return TEMPLATE[:9] + number.to_bytes(8) + TEMPLATE[17:]


@pytest.mark.soak
def test_a_million_leaves():
    """In processor time, the making of the export included."""
    signer = Signer()
    builder = TileBuilder()
    tiles = {}
    for number in range(COUNT):
        tiles.update(builder.append(leaf_hash(entry(number))))
    tiles.update(builder.edge())
    body = Checkpoint(ORIGIN, COUNT, builder.root()).body()
    note = bytes(Note(body, (signer.sign(body),))).decode()
    edge = tuple(tiles[tile] for tile in edge_tiles(COUNT))
    manifest = Manifest(ORIGIN, 0, COUNT, note, edge, {})
    lines = write_export(manifest, COUNT, tiles.__getitem__, entry)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    report = verify_export(lines, [signer.key])
    taken = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{COUNT} leaves: {taken:.1f} s, {grown:.0f} MB more")
    assert ((), COUNT) == (report.findings, report.checked)
    assert taken <= SECONDS
    assert grown <= MEGABYTES
