"""A small vault for the client's tests: real gRPC, real mutual TLS, scripted answers."""

import datetime as dt
import ipaddress
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    policy_pb2,
    policy_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)

CALL_ID = "c" * 32
Answer = Callable[[Message, grpc.aio.ServicerContext], Awaitable[Message]]


class Authority:
    """Issues certificates into folders, as `pdvault up` lays them out."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key())
        self._cert = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(self._key, hashes.SHA256())

    def issue(self, folder: Path, *names: x509.GeneralName) -> Path:
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        cert = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / "tls.crt").write_bytes(cert.public_bytes(pem))
        (folder / "tls.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (folder / "ca.crt").write_bytes(self._cert.public_bytes(pem))
        return folder

    def issue_client(self, folder: Path, name: str = "shop/order") -> Path:
        return self.issue(
            folder, x509.UniformResourceIdentifier(f"spiffe://pdvault.example/{name}")
        )

    def issue_server(self, folder: Path) -> Path:
        return self.issue(
            folder,
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("vault.example"),
        )

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


@dataclass(frozen=True)
class Received:
    request: Message
    metadata: dict[str, str | bytes]
    timeout: float
    peer: str


class ScriptedVault:
    """Answers each RPC by the next step of its script, then by its plain answer."""

    def __init__(self) -> None:
        self.received: dict[str, list[Received]] = defaultdict(list)
        self.scripts: dict[str, deque[Answer]] = defaultdict(deque)
        self.address = ""
        self.health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self, folder: Path, address: str = "127.0.0.1:0") -> None:
        ca, key, cert = ((folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
        self._server = grpc.aio.server()
        tokens_pb2_grpc.add_TokenServiceServicer_to_server(self, self._server)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(self, self._server)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        port = self._server.add_secure_port(address, credentials)
        await self._server.start()
        self.address = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def _answer(self, rpc: str, request: Message, context, plain: Message) -> Message:
        peer = context.auth_context().get("x509_common_name", [b""])[0].decode()
        self.received[rpc].append(
            Received(request, dict(context.invocation_metadata()), context.time_remaining(), peer)
        )
        if self.scripts[rpc]:
            return await self.scripts[rpc].popleft()(request, context)
        return plain

    async def Tokenize(self, request, context):  # noqa: N802
        return await self._answer("Tokenize", request, context, issue_all(request))

    async def Detokenize(self, request, context):  # noqa: N802
        return await self._answer("Detokenize", request, context, reveal_all(request))

    async def ListEntries(self, request, context):  # noqa: N802
        number = int(request.page_token or 0)
        plain = audit_pb2.ListEntriesResponse(
            entries=[audit_pb2.AuditEntry(entry_id=f"{number}{i}", verdict=2) for i in range(2)],
            next_page_token=str(number + 1) if number < 2 else "",
        )
        return await self._answer("ListEntries", request, context, plain)

    async def _stream(self, rpc: str, request: Message, context) -> AsyncIterator[Message]:
        """Each message of the script's next step; a step that is no message ends or fails it."""
        plain: Message = audit_pb2.TailEntriesResponse()
        script = await self._answer(rpc, request, context, plain)
        for step in script if isinstance(script, list) else []:
            if isinstance(step, Message):
                yield step
            else:
                await step(request, context)

    async def TailEntries(self, request, context):  # noqa: N802
        async for message in self._stream("TailEntries", request, context):
            yield message

    async def ExportEntries(self, request, context):  # noqa: N802
        async for message in self._stream("ExportEntries", request, context):
            yield message

    async def GetStats(self, request, context):  # noqa: N802
        return await self._answer("GetStats", request, context, audit_pb2.GetStatsResponse())

    async def GetCheckpoint(self, request, context):  # noqa: N802
        plain = audit_pb2.GetCheckpointResponse()
        return await self._answer("GetCheckpoint", request, context, plain)

    async def ProveInclusion(self, request, context):  # noqa: N802
        plain = audit_pb2.ProveInclusionResponse()
        return await self._answer("ProveInclusion", request, context, plain)

    async def ProveConsistency(self, request, context):  # noqa: N802
        plain = audit_pb2.ProveConsistencyResponse()
        return await self._answer("ProveConsistency", request, context, plain)

    async def GetBundle(self, request, context):  # noqa: N802
        plain = policy_pb2.GetBundleResponse(bundle=policy_pb2.Bundle(digest="d" * 64, policies=9))
        return await self._answer("GetBundle", request, context, plain)

    async def ReloadBundle(self, request, context):  # noqa: N802
        plain = policy_pb2.ReloadBundleResponse(
            bundle=policy_pb2.Bundle(digest="e" * 64), changed=True
        )
        return await self._answer("ReloadBundle", request, context, plain)


def issue_all(request: tokens_pb2.TokenizeRequest) -> tokens_pb2.TokenizeResponse:
    return tokens_pb2.TokenizeResponse(
        subjects=[
            tokens_pb2.SubjectTokens(
                fields=[
                    tokens_pb2.TokenResult(
                        verdict=1, token=f"tok_{subject.subject_ref}_{field.value}"
                    )
                    for field in subject.fields
                ]
            )
            for subject in request.subjects
        ],
        call_id=CALL_ID,
    )


def reveal_all(request: tokens_pb2.DetokenizeRequest) -> tokens_pb2.DetokenizeResponse:
    return tokens_pb2.DetokenizeResponse(
        items=[
            tokens_pb2.DetokenizeResult(
                verdict=1, value=f"value of {item.token}", view=item.view or 2, field_type="phone"
            )
            for item in request.items
        ],
        call_id=CALL_ID,
    )


def answers(message: Message) -> Answer:
    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
        return message

    return answer


def fails(
    code: grpc.StatusCode,
    reason: str,
    text: str = "said the vault",
    *,
    violation: tuple[str, str] | None = None,
    retry_after: float | None = None,
) -> Answer:
    """An error as the vault sends it, with its details."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain="pdvault", metadata={"call_id": CALL_ID})
    ]
    if violation:
        field, what = violation
        fault = error_details_pb2.BadRequest.FieldViolation(field=field, description=what)
        details.append(error_details_pb2.BadRequest(field_violations=[fault]))
    if retry_after is not None:
        delay = duration_pb2.Duration(
            seconds=int(retry_after), nanos=round(retry_after % 1 * 1_000_000_000)
        )
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
        metadata = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(code, text, metadata)

    return answer


def fails_bare(code: grpc.StatusCode, text: str) -> Answer:
    """An error that is not the vault's own."""

    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
        await context.abort(code, text)

    return answer
