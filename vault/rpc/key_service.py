"""The methods of KeyService about keys and jobs, each with the procedure behind it.

Those about acts that take two are in `vault.rpc.act_service`.
"""

from typing import Any

from google.protobuf.message import Message

from vault.keys.jobs import Job
from vault.rpc.boundary import Method, Send, StreamMethod
from vault.rpc.convert_keys import (
    control_command,
    job_id,
    job_message,
    page_size,
    rotate_command,
    rotation_message,
    status_message,
    verification_message,
)
from vault.service.call import Call
from vault.service.job_control import JobKeeper
from vault.service.key_status import KeyStatusReader
from vault.service.rotate import Rotator
from vault.service.verify_roots import RootVerifier, RootVersions
from vault.v1 import keys_pb2

KEY_SERVICE = "vault.v1.KeyService"


class KeyService:
    """Each method: message to domain value, procedure, domain value to message."""

    def __init__(
        self,
        *,
        status: KeyStatusReader,
        rotator: Rotator,
        jobs: JobKeeper,
        verifier: RootVerifier,
    ) -> None:
        self._status = status
        self._rotator = rotator
        self._jobs = jobs
        self._verifier = verifier

    def methods(self) -> list[Method[Any] | StreamMethod[Any]]:
        """All RPCs, each with a request type of its own."""
        name = KEY_SERVICE
        return [
            Method(name, "GetKeyStatus", keys_pb2.GetKeyStatusRequest, self._get_key_status),
            Method(name, "RotateKey", keys_pb2.RotateKeyRequest, self._rotate_key),
            StreamMethod(name, "WatchJob", keys_pb2.WatchJobRequest, self._watch_job),
            Method(name, "ListJobs", keys_pb2.ListJobsRequest, self._list_jobs),
            Method(name, "ControlJob", keys_pb2.ControlJobRequest, self._control_job),
            StreamMethod(
                name, "VerifyRootVersions", keys_pb2.VerifyRootVersionsRequest, self._verify
            ),
        ]

    async def _get_key_status(self, call: Call, _: keys_pb2.GetKeyStatusRequest) -> Message:
        keys = await self._status.get_status(call)
        return keys_pb2.GetKeyStatusResponse(
            keys=[status_message(key) for key in keys], call_id=call.account.call_id.hex
        )

    async def _rotate_key(self, call: Call, request: keys_pb2.RotateKeyRequest) -> Message:
        rotation = await self._rotator.rotate(call, rotate_command(request))
        return rotation_message(rotation, call.account.call_id)

    async def _watch_job(self, call: Call, request: keys_pb2.WatchJobRequest, send: Send) -> None:
        call_id = call.account.call_id.hex

        async def send_job(job: Job) -> None:
            nonlocal call_id
            await send(keys_pb2.WatchJobResponse(job=job_message(job), call_id=call_id))
            call_id = ""  # in the first message only

        await self._jobs.watch(call, job_id(request.job_id), send_job)

    async def _list_jobs(self, call: Call, request: keys_pb2.ListJobsRequest) -> Message:
        jobs = await self._jobs.list_jobs(call, page_size(request.page_size))
        return keys_pb2.ListJobsResponse(
            jobs=[job_message(job) for job in jobs], call_id=call.account.call_id.hex
        )

    async def _control_job(self, call: Call, request: keys_pb2.ControlJobRequest) -> Message:
        job = await self._jobs.control(call, control_command(request))
        return keys_pb2.ControlJobResponse(job=job_message(job), call_id=call.account.call_id.hex)

    async def _verify(self, call: Call, _: keys_pb2.VerifyRootVersionsRequest, send: Send) -> None:
        async def send_found(found: RootVersions) -> None:
            await send(verification_message(found, call.account.call_id))

        await self._verifier.verify(call, send_found)
