"""A whole export at once, where tiles and entries are at hand without waiting."""

from collections.abc import Callable, Iterator

from vault.audit.export_format import ExportWriter, Manifest
from vault.audit.tiles import Tile


def write_export(
    manifest: Manifest,
    size: int,
    tiles: Callable[[Tile], bytes],
    entry: Callable[[int], bytes],
) -> Iterator[bytes]:
    """A whole export where tiles and entries are at hand without waiting."""
    writer = ExportWriter(manifest, size)
    yield writer.manifest_line
    while (due := writer.due) is not None:
        yield (
            writer.tile(due, tiles(due)) if isinstance(due, Tile) else writer.entry(due, entry(due))
        )
    yield writer.finish()
