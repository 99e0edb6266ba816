"""Both clients against a scripted vault: every scenario is run through each of them."""

import asyncio
import datetime as dt
import logging
import textwrap

import grpc
import pytest
from grpc_health.v1 import health_pb2
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider

from tests.unit.client_server import (
    CALL_ID,
    Authority,
    ScriptedVault,
    answers,
    fails,
    fails_bare,
    issue_all,
    reveal_all,
)
from vault import client as vault_client
from vault.client import (
    AsyncVaultClient,
    CredentialFilesError,
    Health,
    InvalidRequestError,
    Issued,
    NotPermittedError,
    Reason,
    Refused,
    RetryPolicy,
    Revealed,
    Subject,
    UnavailableError,
    VaultCallError,
    VaultClient,
    Verdict,
    View,
    Violation,
    Wanted,
)
from vault.v1 import tokens_pb2

QUICK = RetryPolicy(first_ceiling=0.01, highest_ceiling=0.02)
ORDER = [("member-1", {"person_name": "张伟", "phone": "13812345678"})]
KEY = "a-key-of-the-caller"
CANARIES = ("member-1", "张伟", "13812345678", "tok_")


class Both:
    """One of the two clients behind one face, so that a test is written once."""

    def __init__(self, client: VaultClient | AsyncVaultClient) -> None:
        self.client = client

    async def call(self, name: str, *args, **options):
        if isinstance(self.client, AsyncVaultClient):
            return await getattr(self.client, name)(*args, **options)
        return await asyncio.to_thread(getattr(self.client, name), *args, **options)

    async def entries(self, **filters):
        if isinstance(self.client, AsyncVaultClient):
            return [entry async for entry in self.client.list_entries(**filters)]
        return await asyncio.to_thread(lambda: list(self.client.list_entries(**filters)))

    async def close(self) -> None:
        await self.call("close")


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
def kind(request):
    return request.param


@pytest.fixture
async def connect(kind, vault, authority, tmp_path):
    """Connects a client; closes all of them afterwards."""
    opened = []
    order = authority.issue_client(tmp_path / "order")

    def connect(folder=order, address=None, **options):
        options.setdefault("retry", QUICK)
        client = Both(kind.from_directory(folder, address or vault.address, **options))
        opened.append(client)
        return client

    yield connect
    for client in opened:
        await client.close()


async def test_tokenize_gives_a_token_or_a_cause_for_each_field(connect, vault):
    vault.scripts["Tokenize"].append(
        answers(
            tokens_pb2.TokenizeResponse(
                subjects=[
                    tokens_pb2.SubjectTokens(
                        fields=[
                            tokens_pb2.TokenResult(verdict=1, token="pn_demo_1"),
                            tokens_pb2.TokenResult(verdict=3, reason=19, detail="length"),
                        ]
                    )
                ],
                call_id=CALL_ID,
            )
        )
    )
    outcome = await connect().call("tokenize", ORDER, idempotency_key=KEY)
    (subject,) = outcome.subjects
    assert {
        "person_name": Issued("person_name", "pn_demo_1"),
        "phone": Refused(Verdict.INVALID, Reason.VALUE_INVALID, "length"),
    } == dict(subject.items)
    assert subject.tokens == {"person_name": "pn_demo_1"}
    assert list(subject.refused) == ["phone"]
    assert not outcome.is_complete
    assert (outcome.idempotency_key, outcome.call_ids) == (KEY, (CALL_ID,))
    (received,) = vault.received["Tokenize"]
    assert (
        tokens_pb2.TokenizeRequest(
            idempotency_key=KEY,
            subjects=[
                tokens_pb2.SubjectFields(
                    subject_ref="member-1",
                    fields=[
                        tokens_pb2.FieldValue(field_type="person_name", value="张伟"),
                        tokens_pb2.FieldValue(field_type="phone", value="13812345678"),
                    ],
                )
            ],
        )
        == received.request
    )


async def test_detokenize_gives_a_value_or_a_cause_for_each_token(connect, vault):
    vault.scripts["Detokenize"].append(
        answers(
            tokens_pb2.DetokenizeResponse(
                items=[
                    tokens_pb2.DetokenizeResult(
                        verdict=1, value="138****5678", view=2, field_type="phone"
                    ),
                    tokens_pb2.DetokenizeResult(verdict=2, reason=44),
                    tokens_pb2.DetokenizeResult(verdict=2, reason=9999),
                ],
                call_id=CALL_ID,
            )
        )
    )
    outcome = await connect().call(
        "detokenize", "delivery", ["t1", Wanted("t2", View.FULL), "t3"], view=View.MASKED
    )
    assert (
        Revealed(View.MASKED, "phone", "138****5678"),
        Refused(Verdict.REFUSED, Reason.FIELD_NOT_IN_PURPOSE),
        Refused(Verdict.REFUSED, Reason.NONE),
    ) == outcome.items
    (received,) = vault.received["Detokenize"]
    assert [(item.token, item.view) for item in received.request.items] == [
        ("t1", 2),
        ("t2", 1),
        ("t3", 2),
    ]
    assert received.request.purpose == "delivery"


async def test_entries_come_page_by_page(connect, vault):
    until = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    client = connect()
    entries = await client.entries(
        purpose="delivery", verdict=Verdict.REFUSED, since=until - dt.timedelta(1), until=until
    )
    assert [entry.entry_id for entry in entries] == ["00", "01", "10", "11", "20", "21"]
    assert {Verdict.REFUSED} == {entry.verdict for entry in entries}
    pages = [each.request for each in vault.received["ListEntries"]]
    assert [page.page_token for page in pages] == ["", "1", "2"]
    assert {("delivery", 2, until)} == {
        (page.purpose, page.verdict, page.until.ToDatetime(tzinfo=dt.UTC)) for page in pages
    }
    with pytest.raises(InvalidRequestError, match="until: a time without a zone"):
        await client.entries(until=dt.datetime(2026, 5, 1))  # noqa: DTZ001


async def test_bundle_and_health(connect, vault):
    client = connect()
    assert (
        (bundle := await client.call("get_bundle")).digest,
        bundle.policies,
    ) == ("d" * 64, 9)
    assert (await client.call("reload_bundle")).changed
    assert Health.SERVING is await client.call("check_health")
    await vault.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert Health.NOT_SERVING is await client.call("check_health")


PASSING = [
    (grpc.StatusCode.UNAVAILABLE, "KEY_STORE_SEALED"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (grpc.StatusCode.ABORTED, "OUTCOME_UNKNOWN"),
]


@pytest.mark.parametrize(("code", "reason"), PASSING)
async def test_what_passes_is_tried_again_with_the_same_key(connect, vault, code, reason, caplog):
    told = []
    vault.scripts["Tokenize"] += [fails(code, reason), fails(code, reason)]
    client = connect(on_retry=told.append)
    with caplog.at_level(logging.DEBUG):
        outcome = await client.call("tokenize", ORDER)
    assert outcome.is_complete
    received = vault.received["Tokenize"]
    assert len(received) == 3
    assert {outcome.idempotency_key} == {each.request.idempotency_key for each in received}
    assert [received[0].request] * 3 == [each.request for each in received]
    assert [(1, Reason[reason], code, CALL_ID), (2, Reason[reason], code, CALL_ID)] == [
        (each.attempt, each.reason, each.status, each.call_id) for each in told
    ]
    assert caplog.text.count(reason) == 2
    assert not [canary for canary in CANARIES if canary in caplog.text + repr(told)]


async def test_four_attempts_then_the_error_with_the_key(connect, vault):
    vault.scripts["Tokenize"] += [fails(grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")] * 9
    with pytest.raises(UnavailableError) as caught:
        await connect().call("tokenize", ORDER)
    received = vault.received["Tokenize"]
    assert len(received) == 4
    assert received[0].request.idempotency_key == caught.value.idempotency_key
    assert Reason.AUDIT_UNAVAILABLE is caught.value.reason


ENDING = [
    (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_MISSING", InvalidRequestError),
    (grpc.StatusCode.PERMISSION_DENIED, "SERVICE_NOT_PERMITTED", NotPermittedError),
    (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED", NotPermittedError),
    (grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_INVALID", VaultCallError),
    (grpc.StatusCode.INTERNAL, "INTERNAL", VaultCallError),
    (grpc.StatusCode.DATA_LOSS, "DATA_CORRUPT", VaultCallError),
]


@pytest.mark.parametrize(("code", "reason", "error"), ENDING)
async def test_what_does_not_pass_is_not_tried_again(connect, vault, code, reason, error):
    vault.scripts["Detokenize"].append(fails(code, reason, violation=("purpose", "empty")))
    with pytest.raises(VaultCallError) as caught:
        await connect().call("detokenize", "", ["t1"])
    assert len(vault.received["Detokenize"]) == 1
    assert (error, Reason[reason], code, CALL_ID, "said the vault") == (
        type(caught.value),
        caught.value.reason,
        caught.value.status,
        caught.value.call_id,
        caught.value.text,
    )
    assert (Violation("purpose", "empty"),) == caught.value.violations
    assert f"{reason}: said the vault (call {CALL_ID})" == str(caught.value)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_the_vaults_wait_is_kept(connect, vault):
    vault.scripts["Tokenize"].append(
        fails(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.3)
    )
    told = []
    client = connect(on_retry=told.append)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await client.call("tokenize", ORDER)
    assert loop.time() - start >= 0.3
    assert 0.3 <= told[0].wait <= 0.31


async def test_a_wait_beyond_the_deadline_is_not_begun(connect, vault):
    vault.scripts["Tokenize"].append(
        fails(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=60)
    )
    with pytest.raises(UnavailableError) as caught:
        await connect().call("tokenize", ORDER, timeout=2)
    assert (caught.value.retry_after, len(vault.received["Tokenize"])) == (60.0, 1)


async def test_the_deadline_holds_over_all_attempts(connect, vault):
    async def never(request, context):
        await asyncio.sleep(30)

    vault.scripts["Tokenize"] += [
        fails(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.2),
        never,
    ]
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(UnavailableError) as caught:
        await connect().call("tokenize", ORDER, timeout=0.5)
    assert loop.time() - start < 2
    assert Reason.SHUTTING_DOWN is caught.value.reason
    first, second = vault.received["Tokenize"]
    assert first.timeout <= 0.51
    assert second.timeout <= 0.31


async def test_words_of_strangers_do_not_reach_the_error(connect, vault):
    vault.scripts["Tokenize"].append(fails_bare(grpc.StatusCode.UNKNOWN, "phone 13812345678"))
    with pytest.raises(VaultCallError) as caught:
        await connect().call("tokenize", ORDER)
    assert str(caught.value) == "UNKNOWN: the server gave no reason"
    assert "13812345678" not in repr(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        tokens_pb2.DetokenizeResponse(),
        reveal_all(tokens_pb2.DetokenizeRequest(items=[{"token": "t1", "view": 1}] * 2)),
        reveal_all(tokens_pb2.DetokenizeRequest(items=[{"token": "t1", "view": 1}])),
        tokens_pb2.DetokenizeResponse(items=[{"verdict": 1, "value": "v"}]),
        tokens_pb2.DetokenizeResponse(items=[{"value": "v", "view": 2}]),
    ],
    ids=["too few", "too many", "more than was wanted", "no view", "no verdict"],
)
async def test_an_answer_that_does_not_fit_is_not_used(connect, vault, answer):
    vault.scripts["Detokenize"].append(answers(answer))
    with pytest.raises(VaultCallError) as caught:
        await connect().call("detokenize", "delivery", ["t1"], view=View.MASKED)
    assert Reason.INTERNAL is caught.value.reason


async def test_more_than_one_call_holds_is_split_with_keys_of_its_own(connect, vault):
    many = [(f"m{i}", {"phone": f"{i}"}) for i in range(1001)]
    outcome = await connect().call("tokenize", many, idempotency_key=KEY)
    assert [f"tok_m{i}_{i}" for i in range(1001)] == [
        subject.tokens["phone"] for subject in outcome.subjects
    ]
    assert (outcome.idempotency_key, len(outcome.call_ids)) == (KEY, 3)
    assert [(f"{KEY}.1", 500), (f"{KEY}.2", 500), (f"{KEY}.3", 1)] == [
        (each.request.idempotency_key, len(each.request.subjects))
        for each in vault.received["Tokenize"]
    ]
    outcome = await connect().call("detokenize", "delivery", (f"t{i}" for i in range(1500)))
    assert [f"value of t{i}" for i in range(1500)] == [item.value for item in outcome.items]


async def test_a_fault_in_a_later_part_is_named_by_its_place_in_the_whole(connect, vault):
    async def plain(request, context):
        return issue_all(request)

    field = "subjects[3].fields[0].value"
    vault.scripts["Tokenize"] += [
        plain,
        fails(
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_TOO_LONG",
            f"{field}: x",
            violation=(field, "x"),
        ),
    ]
    with pytest.raises(InvalidRequestError) as caught:
        await connect().call(
            "tokenize", [(f"m{i}", {"phone": "1"}) for i in range(600)], idempotency_key=KEY
        )
    assert (Violation("subjects[503].fields[0].value", "x"),) == caught.value.violations
    assert caught.value.text == "subjects[503].fields[0].value: x"
    assert caught.value.idempotency_key == KEY


async def test_all_or_nothing_is_never_split(connect, vault):
    client = connect()
    for call in (
        client.call("tokenize", ORDER * 501, all_or_nothing=True),
        client.call("detokenize", "delivery", ["t"] * 1001, all_or_nothing=True),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            await call
        assert Reason.TOO_MANY_ITEMS is caught.value.reason
    await client.call("tokenize", ORDER * 500, all_or_nothing=True)
    assert {rpc: len(each) for rpc, each in vault.received.items()} == {"Tokenize": 1}


async def test_the_current_span_goes_along_and_baggage_stays(connect, vault):
    client = connect()
    provider = TracerProvider()
    token = context.attach(baggage.set_baggage("member", "13812345678"))
    with provider.get_tracer("test").start_as_current_span("order") as span:
        await client.call("tokenize", ORDER)
        await client.call("tokenize", ORDER, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    context.detach(token)
    await client.call("get_bundle")
    first, second = (each.metadata for each in vault.received["Tokenize"])
    assert trace.format_trace_id(span.get_span_context().trace_id) == first["traceparent"][3:35]
    assert f"00-{'a' * 32}-{'b' * 16}-01" == second["traceparent"]
    assert "baggage" not in first
    assert "traceparent" not in vault.received["GetBundle"][0].metadata
    with pytest.raises(InvalidRequestError, match="W3C"):
        await client.call("tokenize", ORDER, traceparent="13812345678\n")
    provider.shutdown()


@pytest.mark.parametrize(
    ("subjects", "field"),
    [
        ([("member-1", {"phone": 13812345678})], "subjects[0].fields[0].value"),
        ([Subject("member-1", {"phone": "13812345678\ud800"})], "subjects[0].fields[0].value"),
        ([("member-1", "13812345678")], "subjects[0]"),
        (("member-1", {"phone": "13812345678"}), "subjects[0]"),
    ],
)
async def test_what_the_wire_cannot_carry_is_refused_without_its_value(
    connect, vault, subjects, field
):
    with pytest.raises(InvalidRequestError) as caught:
        await connect().call("tokenize", subjects)
    assert [field] == [violation.field for violation in caught.value.violations]
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert not [canary for canary in CANARIES if canary in shown]
    assert vault.received["Tokenize"] == []


async def test_one_token_in_place_of_a_collection_is_refused(connect):
    with pytest.raises(InvalidRequestError, match="a collection belongs here"):
        await connect().call("detokenize", "delivery", "ph_demo_x")


async def test_foreign_authority_on_either_side_ends_in_the_handshake(
    connect, vault, authority, tmp_path
):
    stranger = Authority("somebody else").issue_client(tmp_path / "stranger")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("tls.crt", "tls.key"):
        (mixed / name).write_bytes((stranger / name).read_bytes())
    (mixed / "ca.crt").write_bytes((tmp_path / "order" / "ca.crt").read_bytes())
    for folder in (stranger, mixed):
        with pytest.raises(UnavailableError) as caught:
            await connect(folder).call("tokenize", ORDER)
        assert str(caught.value) == "UNAVAILABLE: TLS handshake refused or server unreachable"
        assert Reason.NONE is caught.value.reason
    assert vault.received == {}


async def test_the_servers_name_is_checked(connect):
    await connect(server_name="vault.example").call("get_bundle")
    with pytest.raises(UnavailableError):
        await connect(server_name="other.example").call("get_bundle")


async def test_a_vault_that_comes_back_is_found_again(connect, vault, tmp_path):
    client = connect()
    await client.call("get_bundle")
    await vault.stop()
    with pytest.raises(UnavailableError):
        await client.call("get_bundle")
    await vault.start(tmp_path / "server", vault.address)
    patient = connect(retry=RetryPolicy(attempts=20, first_ceiling=0.5))
    assert (await patient.call("get_bundle")).digest == "d" * 64
    for _ in range(50):
        try:
            await client.call("get_bundle")
            break
        except UnavailableError:
            await asyncio.sleep(0.1)
    else:
        pytest.fail("not found again within 5 s")


async def test_rotated_files_are_used_without_losing_calls(connect, vault, authority, tmp_path):
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(request, context):
        under_way.set()
        await go_on.wait()
        return issue_all(request)

    vault.scripts["Tokenize"].append(slowly)
    folder = authority.issue_client(tmp_path / "before")
    client = connect(folder)
    slow = asyncio.create_task(client.call("tokenize", ORDER))
    await under_way.wait()
    after = authority.issue_client(tmp_path / "after")
    (folder / "tls.crt").write_bytes((after / "tls.crt").read_bytes())
    await client.call("tokenize", ORDER)  # half rotated: the old pair stays in use
    (folder / "tls.key").write_bytes((after / "tls.key").read_bytes())
    await client.call("tokenize", ORDER)
    go_on.set()
    assert (await slow).is_complete
    assert [each.peer for each in vault.received["Tokenize"]] == ["before", "before", "after"]
    assert len([client.client._channels._lease]) == 1
    assert set() == client.client._channels._ending


async def test_a_closed_client_says_so(connect):
    client = connect()
    await client.call("get_bundle")
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.call("get_bundle")


def test_broken_files_stop_the_client_at_once(kind, authority, tmp_path):
    one = authority.issue_client(tmp_path / "one")
    two = authority.issue_client(tmp_path / "two")
    cases = [
        (one / "tls.crt", two / "tls.key", one / "ca.crt", "not the key of"),
        (one / "tls.crt", one / "ca.crt", one / "ca.crt", "not an unencrypted PEM private key"),
        (one / "tls.crt", one / "tls.key", one / "tls.key", "no PEM certificate"),
        (one / "tls.crt", one / "missing", one / "ca.crt", "No such file"),
    ]
    for cert, key, ca, text in cases:
        with pytest.raises(CredentialFilesError, match=text):
            kind.connect("127.0.0.1:1", cert=cert, key=key, ca=ca)
    with pytest.raises(ValueError, match="timeout"):
        kind.from_directory(one, "127.0.0.1:1", timeout=0)


async def test_the_example_of_the_package_runs(vault, authority, tmp_path, monkeypatch, capsys):
    certs = tmp_path / "state" / "certs"
    certs.mkdir(parents=True)
    for name in ("order", "shipping"):
        authority.issue_client(certs / name)
    monkeypatch.chdir(tmp_path)
    lines = (vault_client.__doc__ or "").splitlines()
    example = "\n".join(line for line in lines if line.startswith("    ") or not line)
    code = textwrap.dedent(example).replace("127.0.0.1:7443", vault.address)
    await asyncio.to_thread(exec, code, {})
    assert capsys.readouterr().out.splitlines() == [
        "MASKED value of tok_member-1001_张伟",
        "MASKED value of tok_member-1001_13812345678",
    ]
    assert [vault.received[rpc][0].peer for rpc in ("Tokenize", "Detokenize")] == [
        "order",
        "shipping",
    ]


async def test_a_person_s_token_goes_along_fresh_each_time_and_is_never_shown(connect, vault):
    tokens = iter(["header.one.sig", "header.two.sig"])
    client = connect(bearer=lambda: next(tokens))
    await client.call("get_bundle")
    await client.call("get_bundle")
    sent = [each.metadata["authorization"] for each in vault.received["GetBundle"]]
    assert ["Bearer header.one.sig", "Bearer header.two.sig"] == sent
    assert "header" not in repr(client.client)
    await connect().call("get_bundle")
    assert "authorization" not in vault.received["GetBundle"][2].metadata
