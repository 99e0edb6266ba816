"""What every procedure of custodians begins with: may they."""

import uuid

from vault.audit.account import Case
from vault.errors import Reason, VaultError
from vault.keys.jobs import Job
from vault.policy.bundle import Act
from vault.service.call import Call
from vault.telemetry import names

CAUSES = {
    "scheduled": "scheduled",
    "compromise": "compromise",
    "custodian_change": "custodianchange",
}
"""Why a key is rotated -> the kind of case that the log shows it as; the handle is the job's id."""


def require(call: Call, act: Act) -> None:
    """Lets pass whom policy permits an act.

    Raises:
        VaultError: POLICY_DENIED and its like.
    """
    call.trace.mark(names.STAGE_POLICY)
    decision = call.bundle.decide_act(call.principal, act)
    if not decision.is_allowed:
        raise VaultError(decision.reason, "the caller may not")


def concern(call: Call, job: Job) -> None:
    """Lets the call's entry say which job it is about."""
    call.account.case = case_of(job.cause, job.job_id)
    call.account.subject_id = job.subject_id


def case_of(cause: str, job_id: uuid.UUID) -> Case:
    """A job as a case in the log."""
    return Case(CAUSES[cause], job_id)


def job_unknown() -> VaultError:
    return VaultError(Reason.JOB_UNKNOWN, "the tenant has no such job")
