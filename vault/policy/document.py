"""Strict YAML: plain values with the line of each, or faults.

Guarantees: text, whole numbers, true/false, dates, lists and mappings with text keys, nothing
else; no key twice; no anchors, aliases or tags; bounded depth. Which keys and
values a file may hold is left to its reader.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from vault.policy.faults import Faults, quoted

MAX_DEPTH = 12

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

_TAGS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:timestamp",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file.

    Attributes:
        file: its name within the bundle.
        value: str, int, bool, date, list and dict, nested.
        lines: where each value begins, counted from 1.
    """

    file: str
    value: object
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(file: str, content: bytes, faults: Faults) -> Document | None:
    """Reads one file of UTF-8 text; None when it has faults."""
    text = content.decode("utf-8")
    try:
        if not _check_events(file, text, faults):
            return None
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            builder = _Builder(file, loader, faults)
            value = builder.build(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.add(file, mark.line + 1 if mark else 1, f"not YAML: {error.problem}")
        return None
    except yaml.YAMLError:
        faults.add(file, 1, "not YAML")
        return None
    return None if builder.is_faulty else Document(file, value, builder.lines)


def _check_events(file: str, text: str, faults: Faults) -> bool:
    """Refuses what could be deep, shared or typed by its author, before anything is built."""
    depth, documents, is_good = 0, 0, True
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        problem = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors and aliases are not allowed"
        elif isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            problem = "tags are not allowed"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            problem = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else ""
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            problem = "more than one document" if documents > 1 else ""
        if problem:
            faults.add(file, event.start_mark.line + 1 if event.start_mark else 1, problem)
            is_good = False
            if depth > MAX_DEPTH:
                return False
    return is_good


class _Builder:
    def __init__(self, file: str, loader: yaml.SafeLoader, faults: Faults) -> None:
        self.lines: dict[Path, int] = {}
        self.is_faulty = False
        self._file, self._loader, self._faults = file, loader, faults

    def build(self, node: yaml.Node | None, path: Path) -> object:
        if node is None:
            self._fault(1, "the file holds nothing")
            return None
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        if node.tag not in _TAGS:
            self._fault(line, "a value is missing or of a kind that no file here takes")
            return None
        try:
            value: object = self._loader.construct_object(node)
        except ValueError:
            self._fault(line, "not a number or date that exists")
            return None
        if isinstance(value, dt.datetime):
            self._fault(line, "a date is written YYYY-MM-DD")
            return None
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        built: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                self._fault(line, "a key must be text (quote it)")
                continue
            key = str(key_node.value)
            if key in built:
                self._fault(line, f"the key {quoted(key)} stands twice")
                continue
            self.lines[(*path, key)] = line
            built[key] = self.build(value_node, (*path, key))
        return built

    def _fault(self, line: int, text: str) -> None:
        self.is_faulty = True
        self._faults.add(self._file, line, text)
