"""From a folder to a bundle: read, checked through and through, or refused with every fault."""

from pathlib import Path
from types import MappingProxyType

from vault.errors import Violation
from vault.policy import files
from vault.policy.bundle import REVEAL_ACTIONS, Act, Bundle
from vault.policy.compilation import compile_engine
from vault.policy.document import read_document
from vault.policy.engine import Engine
from vault.policy.entities import Graph, build_graph, reference, uid
from vault.policy.exclusion import check_erasers, check_exclusion
from vault.policy.faults import BundleError, Faults
from vault.policy.rules import Rules, read_rules


def load_bundle(directory: Path) -> Bundle:
    """Reads and checks a folder; pure but for reading it.

    Raises:
        BundleError: with every fault found.
    """
    faults = Faults()
    contents = files.read_bundle_files(directory, faults)
    documents = {}
    for name in (files.FIELD_TYPES, files.PURPOSES, files.CALLERS, files.ISSUERS):
        document = read_document(name, contents[name], faults) if name in contents else None
        if document is not None:
            documents[name] = document
    rules = read_rules(documents, faults)
    if rules:
        check_exclusion(rules, documents[files.CALLERS], documents[files.PURPOSES], faults)
    graph = build_graph(rules) if rules and not faults else None
    engine = compile_engine(contents, graph, faults)
    if engine and rules and graph:
        _check_requests(engine, rules, graph, faults)
    faults.check()
    if not (engine and rules and graph):
        raise BundleError([Violation(".:1", "the bundle is not whole")])  # never without faults
    issuers = documents.get(files.ISSUERS)
    bundle = Bundle(
        contents=MappingProxyType(contents),
        rules=rules,
        graph=graph,
        engine=engine,
        issuers_document=issuers.value if issuers else {"issuers": []},
    )
    check_erasers(rules, documents[files.CALLERS], bundle.decide_act, faults)
    faults.check()
    return bundle


def _check_requests(engine: Engine, rules: Rules, graph: Graph, faults: Faults) -> None:
    """The schema takes every request that this version of the vault makes."""
    caller = next(iter(rules.directory.callers), "")
    tenant = uid("Tenant", next(iter(rules.directory.tenants), ""))
    field = uid("Field", next(iter(graph.fields.values()), ""))
    purpose = reference("Purpose", next(iter(rules.purposes), ""))
    reveal = {"purpose": purpose, "consented": True, "by_person": True}
    requests = [(action, field, reveal) for action in REVEAL_ACTIONS.values()]
    requests += [
        (act.value, field if act is Act.TOKENIZE else tenant, {"by_person": True}) for act in Act
    ]
    for action, resource, context in requests:
        problem = engine.request_problem(
            caller=caller, action=action, resource=resource, context=context
        )
        if problem:
            faults.add(files.SCHEMA, 1, f"does not take the request {action}: {problem}")
