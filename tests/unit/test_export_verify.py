"""Every damage to a small log's export is found, with its kind and its first index."""

import base64
import hashlib
import io
import random
import re

import pytest

from tests.support.small_log import ORIGIN, Signer, SmallLog, entry_bytes
from vault.audit.checkpoint import Checkpoint
from vault.audit.damage import Damage
from vault.audit.entry import leaf_hash
from vault.audit.export_format import (
    MAX_LINE,
    EndLine,
    ExportWriter,
    Hidden,
    Manifest,
    bounded_lines,
)
from vault.audit.merkle import root_of
from vault.audit.note import KeyType, Note
from vault.audit.tiles import Tile, TileBuilder, edge_tiles
from vault.audit.verify import verify_export

COUNT = 9
LOG = SmallLog.of(COUNT)
OTHER = SmallLog.of(COUNT, purpose="after_sales")
LINES = LOG.export()
HEAD, LEAVES, END = LINES[0], LINES[1:-1], LINES[-1]
BIG = SmallLog.of(600)
BIG_LINES = BIG.export()


def verify(lines, **options):
    return verify_export(lines, LOG.keys, **options)


def told(lines, **options):
    """Kind and first index of the gravest finding."""
    report = verify(lines, **options)
    return report.damage, report.first_index


def resealed(lines):
    """With indexes counted anew and a last line that fits: what a careful forger hands over."""
    numbered = [lines[0]]
    index = 0
    for line in lines[1:-1]:
        if line.startswith(b'{"i"'):
            numbered.append(re.sub(rb'"i":\d+', b'"i":%d' % index, line, count=1))
            index += 1
        else:
            numbered.append(line)
    digest = hashlib.sha256(b"".join(numbered)).hexdigest()
    return [*numbered, EndLine(index, digest).line()]


def leaf_places(lines):
    """Where each leaf's line stands."""
    return [at for at, line in enumerate(lines) if line.startswith(b'{"i"')]


@pytest.mark.parametrize("count", [0, 1, 2, 9, 255, 256, 257, 600])
def test_sound(count):
    log = SmallLog.of(count)
    seen = []
    report = verify(log.export(), progress=lambda done, total: seen.append((done, total)))
    assert () == report.findings
    assert (0, count, count, 0) == (report.begin, report.end, report.checked, report.hidden)
    assert log.checkpoint() == report.checkpoint.checkpoint
    assert (count, count) == seen[-1]


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_every_flipped_byte(mask):
    """In a leaf's line at its index, anywhere else at none of a single leaf."""
    data = b"".join(LINES)
    owner = [at for at, line in enumerate(LINES) for _ in line]
    for at, line in enumerate(owner):
        flipped = bytearray(data)
        flipped[at] ^= mask
        report = verify(io.BytesIO(flipped))
        assert not report.is_sound, at
        finding = report.findings[0]
        if line == 0:
            kinds = {Damage.MALFORMED, Damage.BAD_SIGNATURE, Damage.EDITED, Damage.CUT_TAIL}
            # From and until have one digit each here; the edge stands for all leaves.
            assert finding.damage in kinds | {Damage.DROPPED}, at
        elif line == len(LINES) - 1:
            expected = (Damage.CUT_TAIL, COUNT) if at == len(data) - 1 else (Damage.MALFORMED, None)
            assert expected == (finding.damage, finding.first_index), at
        else:
            assert finding.damage in {Damage.EDITED, Damage.MALFORMED}, at
            assert (line - 1, line - 1) == (finding.first_index, finding.last_index), at


def test_every_flipped_byte_of_the_signed_note():
    start = HEAD.index(ORIGIN.encode() + b"\\n")
    stop = HEAD.index(b'","edge"')
    for at in range(start, stop):
        flipped = bytearray(HEAD)
        flipped[at] ^= 1
        damage, index = told([bytes(flipped), *LEAVES, END])
        assert damage in {Damage.BAD_SIGNATURE, Damage.MALFORMED}, at
        assert index is None


@pytest.mark.parametrize("reseal", [False, True])
@pytest.mark.parametrize("lines", [LINES, BIG_LINES], ids=["small", "blocks"])
def test_every_drop(lines, reseal):
    places = leaf_places(lines)
    edges = {0, 1, 254, 255, 256, 257, 400, 510, 511, 512, 598, 599}
    for index, at in enumerate(places):
        if len(places) > COUNT and index not in edges:
            continue
        damaged = lines[:at] + lines[at + 1 :]
        expected = Damage.DROPPED
        if reseal:
            damaged = resealed(damaged)
            # A last line that agrees with the shorter list: the tail is missing.
            expected = Damage.CUT_TAIL if index == len(places) - 1 else Damage.DROPPED
        assert (expected, index) == told(damaged), index


@pytest.mark.parametrize("reseal", [False, True])
def test_every_swap(reseal):
    for first in range(COUNT):
        for second in range(first + 1, COUNT):
            leaves = [*LEAVES]
            leaves[first], leaves[second] = leaves[second], leaves[first]
            damaged = [HEAD, *leaves, END]
            assert (Damage.REORDERED, first) == told(resealed(damaged) if reseal else damaged)


@pytest.mark.parametrize("reseal", [False, True])
def test_swaps_across_blocks(reseal):
    places = leaf_places(BIG_LINES)
    for first, second in [(0, 599), (255, 256), (254, 511), (511, 512), (300, 301), (10, 256)]:
        lines = [*BIG_LINES]
        one, two = places[first], places[second]
        lines[one], lines[two] = lines[two], lines[one]
        assert (Damage.REORDERED, first) == told(resealed(lines) if reseal else lines)


@pytest.mark.parametrize("reseal", [False, True])
def test_every_duplicate(reseal):
    """A second copy of every leaf at every place."""
    for copied in range(COUNT):
        for place in range(COUNT + 1):
            leaves = [*LEAVES[:place], LEAVES[copied], *LEAVES[place:]]
            damaged = [HEAD, *leaves, END]
            expected = place + 1 if copied == place else place
            found = told(resealed(damaged) if reseal else damaged)
            assert (Damage.INSERTED, expected) == found, (copied, place)


@pytest.mark.parametrize("copied", [0, 255, 256, 599])
@pytest.mark.parametrize("place", [0, 200, 256, 512, 600])
def test_duplicates_across_blocks(copied, place):
    lines = [*BIG_LINES]
    at = [*leaf_places(lines), len(lines) - 1][place]
    lines.insert(at, BIG_LINES[leaf_places(BIG_LINES)[copied]])
    expected = place + 1 if copied == place else place
    assert (Damage.INSERTED, expected) == told(lines)


@pytest.mark.parametrize("reseal", [False, True])
def test_every_edit(reseal):
    """Another well-formed entry in the place of each."""
    for index in range(COUNT):
        foreign = b'{"i":%d,' % index + OTHER.export()[index + 1].partition(b",")[2]
        damaged = [HEAD, *LEAVES[:index], foreign, *LEAVES[index + 1 :], END]
        assert (Damage.EDITED, index) == told(resealed(damaged) if reseal else damaged)


def test_every_truncation():
    """After every byte: the leaf whose line is missing or cut, or the manifest is not whole."""
    data = b"".join(LINES)
    whole = 0
    for length in range(len(data)):
        whole = data[:length].count(b"\n")
        expected = (Damage.MALFORMED, None) if whole == 0 else (Damage.CUT_TAIL, whole - 1)
        assert expected == told(io.BytesIO(data[:length])), length


def test_every_cut_tail_under_a_good_last_line():
    for index in range(COUNT):
        assert (Damage.CUT_TAIL, index) == told(resealed([HEAD, *LEAVES[:index], END]))


def test_an_export_that_claims_less_than_its_checkpoint():
    """The manifest rewritten, everything else fitting: only the range gives it away."""
    for end in range(COUNT):
        assert (Damage.CUT_TAIL, end) == told(LOG.export(0, end))
    for begin in range(1, COUNT):
        assert (Damage.DROPPED, 0) == told(LOG.export(begin))


@pytest.mark.parametrize("at", range(COUNT))
def test_every_splice_with_another_log(at):
    """The head of one, the tail of the other."""
    foreign = OTHER.export()
    assert (Damage.EDITED, at) == told([*LINES[: at + 1], *foreign[at + 1 :]])
    assert (Damage.EDITED, at) == told(resealed([*LINES[: at + 1], *foreign[at + 1 :]]))


def test_splices_of_one_log_at_two_sizes():
    older = LOG.export(size=5)
    assert (Damage.CUT_TAIL, 5) == told([HEAD, *older[1:]])
    assert (Damage.INSERTED, 5) == told([older[0], *LINES[1:]])


def test_hash_lines():
    """One that is missing, doubled or elsewhere: at the first leaf of its block."""
    first, second = (at for at, line in enumerate(BIG_LINES) if line.startswith(b'{"t"'))
    for at, index in ((first, 0), (second, 256)):
        assert (Damage.DROPPED, index) == told(BIG_LINES[:at] + BIG_LINES[at + 1 :])
    assert (Damage.INSERTED, 0) == told(BIG_LINES[: first + 1] + BIG_LINES[first:])
    swapped = [*BIG_LINES]
    swapped[first], swapped[second] = swapped[second], swapped[first]
    assert (Damage.REORDERED, 0) == told(swapped)


def flipped_at(lines, line, at):
    data = bytearray(lines[line])
    data[at] ^= 1
    return [*lines[:line], bytes(data), *lines[line + 1 :]]


@pytest.mark.parametrize("at", range(0, 10_000, 333))
def test_a_flipped_byte_in_a_hash_line_accuses_no_leaf(at):
    """The leaves themselves give the signed hash; what comes after is checked as ever."""
    _, second = (at for at, line in enumerate(BIG_LINES) if line.startswith(b'{"t"'))
    lines = flipped_at(BIG_LINES, second, at)
    report = verify(lines, older=[BIG.checkpoint(300)])
    assert {(Damage.MALFORMED, None)} == {(one.damage, one.first_index) for one in report.findings}
    assert 600 == report.checked
    places = leaf_places(lines)
    for index in (100, 550):
        assert (Damage.DROPPED, index) == told(lines[: places[index]] + lines[places[index] + 1 :])
    report = verify(lines[: places[300]] + lines[places[300] + 1 :])
    assert report.findings[0].first_index == 256


def test_a_flipped_hash_of_the_edge_accuses_no_leaf():
    for lines in (LINES, BIG_LINES):
        at = lines[0].index(b'"edge":["') + 20
        (finding,) = verify(flipped_at(lines, 0, at)).findings
        assert (Damage.MALFORMED, None) == (finding.damage, finding.first_index)


def test_a_tree_of_three_levels():
    """Beyond 65,536 leaves hash lines stand under hash lines."""
    hashes = [leaf_hash(number.to_bytes(4)) for number in range(66_000)]
    builder = TileBuilder()
    tiles = dict(pair for one in hashes for pair in builder.append(one)) | dict(builder.edge())
    checkpoint = Checkpoint(ORIGIN, len(hashes), builder.root())
    note = Note(checkpoint.body(), (LOG.signer.sign(checkpoint.body()),))
    edge = tuple(tiles[tile] for tile in edge_tiles(len(hashes)))
    writer = ExportWriter(
        Manifest(ORIGIN, 0, len(hashes), bytes(note).decode(), edge, {}), len(hashes)
    )
    lines = [writer.manifest_line]
    while (due := writer.due) is not None:
        lines.append(
            writer.tile(due, tiles[due])
            if isinstance(due, Tile)
            else writer.hidden(due, hashes[due], Hidden.TENANT)
        )
    lines.append(writer.finish())
    older = [Checkpoint(ORIGIN, size, root_of(hashes[:size])) for size in (300, 65_536, 65_700)]
    report = verify(lines, older=older)
    assert ((), 66_000, 66_000) == (report.findings, report.checked, report.hidden)
    places = leaf_places(lines)
    for index in (65_535, 65_536, 65_800):
        at = places[index]
        assert (Damage.DROPPED, index) == told(lines[:at] + lines[at + 1 :])
    high = next(at for at, line in enumerate(lines) if line.startswith(b'{"t":[1,0]'))
    (finding,) = verify(flipped_at(lines, high, 4000)).findings
    assert (0, 65_535) == (finding.first_index, finding.last_index)


def test_lines_of_any_length_are_read_in_bounded_pieces():
    data = b"".join(LINES)
    assert verify(bounded_lines(io.BytesIO(data).readline)).is_sound
    long = b"".join([HEAD, *LEAVES[:3], b"x" * (3 * MAX_LINE), b"\n", *LEAVES[3:], END])
    assert (Damage.MALFORMED, 3) == told(bounded_lines(io.BytesIO(long).readline))


def test_a_block_that_is_missing():
    places = leaf_places(BIG_LINES)
    lines = BIG_LINES[: places[256] - 1] + BIG_LINES[places[512] :]
    assert (Damage.DROPPED, 256) == told(lines)


def test_a_forgery_with_its_hash_line():
    """An entry and its hash changed together: the block is named, and no more is claimed."""
    forged = SmallLog([*BIG.entries])
    forged.entries[300] = entry_bytes(300, "after_sales")
    lines = [BIG_LINES[0], *forged.export()[1:]]
    (finding,) = verify(lines).findings
    assert (Damage.EDITED, 256, 511) == (finding.damage, finding.first_index, finding.last_index)


def test_a_forgery_up_to_the_edge():
    """All hashes of the export rewritten under the old note: only the root is left to differ."""
    forged = SmallLog([*BIG.entries])
    forged.entries[300] = entry_bytes(300, "after_sales")
    (finding,) = verify(resealed(forged.export(note=BIG.note()))).findings
    assert (Damage.EDITED, 0, 599) == (finding.damage, finding.first_index, finding.last_index)


def test_a_signed_leaf_that_is_no_entry():
    """The tree is in order; the bytes are not an entry."""
    log = SmallLog([*LOG.entries[:4], b"not an entry", *LOG.entries[4:]])
    assert (Damage.MALFORMED, 4) == told(log.export())


def test_random_damage_is_never_sound_and_never_an_exception():
    random_ = random.Random(7)
    data = b"".join(LINES)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(random_.randint(1, 4)):
            start = random_.randrange(len(damaged))
            stop = min(len(damaged), start + random_.choice([1, 2, 50, 700]))
            damaged[start:stop] = random_.choice(
                [b"", random_.randbytes(stop - start), damaged[start:stop] * 2]
            )
        if damaged != data:
            assert not verify(io.BytesIO(damaged)).is_sound


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 0), (0, 1), (3, 300), (255, 257), (256, 512), (590, 600), (599, 599)]
)
def test_parts(begin, end):
    """A part verifies against the root of the whole, and its damage is found as well."""
    lines = BIG.export(begin, end)
    report = verify(lines, part=True)
    assert () == report.findings
    assert (begin, end, end - begin) == (report.begin, report.end, report.checked)
    for index, at in enumerate(leaf_places(lines)):
        expected = (Damage.DROPPED, begin + index)
        assert expected == told(lines[:at] + lines[at + 1 :], part=True)


def test_hidden_leaves_are_counted():
    hidden = SmallLog.of(COUNT)
    leaf = LOG.hashes()[4]
    line = b'{"i":4,"h":"%b"}\n'
    lines = resealed([HEAD, *LEAVES[:4], line % base64.b64encode(leaf), *LEAVES[5:], END])
    report = verify(lines)
    assert (True, 1, COUNT) == (report.is_sound, report.hidden, report.checked)
    bad = resealed([HEAD, *LEAVES[:4], line % base64.b64encode(bytes(32)), *LEAVES[5:], END])
    assert (Damage.EDITED, 4) == told(bad)
    assert COUNT == len(hidden.entries)


# Signatures and history


def test_other_keys():
    stranger = Signer(seed=9).key
    assert (Damage.BAD_SIGNATURE, None) == (
        verify_export(LINES, [stranger]).damage,
        verify_export(LINES, [stranger]).first_index,
    )
    assert verify_export(LINES, [stranger, *LOG.keys]).is_sound


def test_another_logs_export():
    other = SmallLog.of(COUNT)
    other.origin = "other.example/audit"
    assert not verify(other.export()).is_sound
    assert verify(other.export(), origin="other.example/audit").is_sound


def test_quorum():
    witness = Signer("witness.example", KeyType.COSIGNATURE, seed=3)
    lines = LOG.export(note=LOG.note(cosigners=[(witness, 1_700_000_000)]))
    report = verify(lines, witnesses=[witness.key], quorum=1)
    assert report.is_sound
    assert [1_700_000_000] == [one.timestamp for one in report.checkpoint.witnesses]
    assert Damage.BAD_SIGNATURE == verify(LINES, witnesses=[witness.key], quorum=1).damage


def test_older_checkpoints_of_every_size():
    lines = BIG.export()
    older = [BIG.checkpoint(size) for size in range(601)]
    assert verify(lines, older=older).is_sound


@pytest.mark.parametrize("size", [1, 5, 8, 9])
def test_fork(size):
    """Two signed histories: named from the last common checkpoint to the first that differs."""
    old = OTHER.checkpoint(size)
    (finding,) = verify(LINES, older=[old]).findings
    assert (Damage.FORKED, 0, size - 1) == (
        finding.damage,
        finding.first_index,
        finding.last_index,
    )


def test_a_fork_is_bracketed_by_older_checkpoints():
    forged = SmallLog([*BIG.entries])
    forged.entries[300] = entry_bytes(300, "after_sales")
    older = [BIG.checkpoint(size) for size in (100, 256, 300, 310, 500)]
    (finding,) = verify(forged.export(), older=older).findings
    assert (Damage.FORKED, 300, 309) == (finding.damage, finding.first_index, finding.last_index)


def test_rollback():
    """The signed tree is smaller than one that was signed before."""
    assert (Damage.ROLLED_BACK, 5) == told(LOG.export(size=5), older=[LOG.checkpoint()])
    assert verify(LOG.export(), older=[LOG.checkpoint(5)]).is_sound


def test_history_comes_before_damage():
    report = verify([HEAD, *LEAVES[1:], END], older=[OTHER.checkpoint(COUNT)])
    assert [Damage.FORKED, Damage.DROPPED] == [one.damage for one in report.findings]


def test_a_part_and_an_older_checkpoint_that_it_does_not_show():
    """Then a consistency proof in the manifest connects them; without one that is said."""
    old = BIG.checkpoint(100)
    assert verify(BIG.export(300, 310, older=(100,)), older=[old], part=True).is_sound
    assert (Damage.MALFORMED, None) == told(BIG.export(300, 310), older=[old], part=True)
    fork = SmallLog.of(100, "after_sales").checkpoint()
    lines = BIG.export(300, 310, older=(100,))
    assert (Damage.FORKED, 0) == told(lines, older=[fork], part=True)
    assert verify(BIG.export(90, 110), older=[old], part=True).is_sound


def test_an_older_checkpoint_of_another_log_is_the_callers_fault():
    with pytest.raises(ValueError, match="another log"):
        verify(LINES, older=[Checkpoint("other.example", 5, bytes(32))])


def test_lines_after_the_end():
    assert (Damage.INSERTED, COUNT) == told([*LINES, END])
    assert (Damage.INSERTED, COUNT) == told([*LINES, b" "])
