"""Every command, as data. What they do is in the module that `run` names."""

from pathlib import Path

from vault.cli import values
from vault.cli.archive_commands import ARCHIVE_COMMANDS
from vault.cli.audit_commands import AUDIT_COMMANDS
from vault.cli.backup_commands import BACKUP_COMMANDS
from vault.cli.command import Audience, Command, Option
from vault.cli.erasure_commands import ERASURE_COMMANDS
from vault.cli.exposure_command import EXPOSURE
from vault.cli.key_commands import KEY_COMMANDS
from vault.cli.options import CASE, JSON, REMOTE, SUBJECT_REF, SUBJECT_REF_FILE

_POLICIES = Option(
    flags=("directory",),
    repeats="?",
    read=Path,
    default="policies",
    help="The folder of the policy bundle.",
)

COMMANDS: tuple[Command, ...] = (
    Command(
        words=("demo",),
        audience=Audience.EVERYBODY,
        summary="play one order, end to end, on real servers of its own",
        details=(
            "Starts `pdvault up` in a folder that goes afterwards, and plays an order with "
            "separate client processes: tokens in, views out, refusals, the audit trail, a sealed "
            "key store."
        ),
        options=(
            Option(
                flags=("--keep",),
                value="DIR",
                read=Path,
                help="Keep the state there, for pdvault up --state DIR.",
            ),
            Option(flags=("--plain",), help="No colours and no boxes."),
        ),
        example="pdvault demo --keep /tmp/demo",
        run="vault.cli.demo:run",
    ),
    Command(
        words=("up",),
        audience=Audience.EVERYBODY,
        summary="a whole vault on this machine, with PostgreSQL and OpenBao, until Ctrl-C",
        details=(
            "For trying out, developing and testing. Everything lives in the state folder and "
            "survives restarts: databases, keys, certificates, addresses where their ports are "
            "still free. When ready it prints addresses, where the client certificates lie, and "
            "what "
            "to try next.\n\n"
            "The first start copies the shipped policies to DIR/policies. Edit them there and "
            "send SIGHUP (or pdvault policy reload): a sound bundle takes over at once; of a "
            "broken one every fault is named, and the old one keeps deciding.\n\n"
            "Ctrl-C or SIGTERM ends everything (exit 0; 130 if it was not ready yet). If "
            "PostgreSQL or OpenBao dies it says so and ends with 1; so does a second start."
        ),
        options=(
            Option(
                flags=("--state",),
                value="DIR",
                read=Path,
                default="state",
                help="The state folder, made if missing.",
            ),
            Option(
                flags=("--port",),
                value="N",
                read=values.port,
                help="The vault's port. Without it: that of the last start, or a free one.",
            ),
            Option(
                flags=("--policies",),
                value="DIR",
                read=Path,
                help="Use this bundle in place of DIR/policies of the state folder.",
            ),
            Option(flags=("--json",), help="When ready, write one line of JSON in place of text."),
        ),
        example="pdvault up\nkill -HUP $(cat state/lock)   # after a change of state/policies",
        run="vault.cli.up:run",
    ),
    Command(
        words=("tokenize",),
        audience=Audience.SHOP,
        summary="store values of one consumer, get tokens back",
        details=(
            "For trying out: values on a command line stay in the shell's history, so take "
            "invented ones. Services use vault.client. Exit code 1 if any value was refused."
        ),
        options=(
            Option(
                flags=("fields",),
                repeats="+",
                read=values.field,
                help="FIELD_TYPE=VALUE, such as phone=13812345678.",
            ),
            SUBJECT_REF,
            SUBJECT_REF_FILE,
            CASE,
            *REMOTE,
        ),
        one_of=(("--subject-ref", "--subject-ref-file"),),
        example=(
            "pdvault tokenize --client state/certs/order --subject-ref m-1 phone=13812345678\n"
            "echo m-1 | pdvault tokenize --subject-ref-file - person_name=张伟 phone=13812345678"
        ),
        run="vault.cli.tokens:tokenize",
    ),
    Command(
        words=("detokenize",),
        audience=Audience.SHOP,
        summary="get values for tokens, as far as policy allows for a purpose",
        details=(
            "Each token gets its own answer: the value and the view it is in, or the reason of "
            "the refusal. Exit code 1 if any was refused. Every call is in the audit log."
        ),
        options=(
            Option(flags=("tokens",), repeats="+", help="One or more tokens."),
            Option(
                flags=("--purpose",),
                value="NAME",
                is_required=True,
                help="Why: a purpose of the policy bundle, such as delivery.",
            ),
            Option(
                flags=("--view",),
                choices=("full", "masked", "coarse", "last4"),
                help="Ask for exactly this view. Without it: the most that policy allows.",
            ),
            CASE,
            *REMOTE,
        ),
        example="pdvault detokenize --client state/certs/support --purpose after_sales TOKEN TOKEN",
        run="vault.cli.tokens:detokenize",
    ),
    Command(
        words=("health",),
        audience=Audience.CUSTODIAN,
        summary="whether the vault serves: database, root keys (Transit) and audit log",
        details="Exit code 0 if it does, 1 if it does not or does not answer.",
        options=REMOTE,
        example="pdvault health --client state/certs/custodian-1",
        run="vault.cli.health:run",
    ),
    *KEY_COMMANDS,
    *AUDIT_COMMANDS,
    EXPOSURE,
    Command(
        words=("policy", "check"),
        audience=Audience.POLICY_OWNER,
        summary="whether a policy bundle is sound; if not, every fault with file and line",
        options=(_POLICIES, JSON),
        example="pdvault policy check policies",
        run="vault.cli.policy:check",
    ),
    Command(
        words=("policy", "test"),
        audience=Audience.POLICY_OWNER,
        summary="run the decision tables beside the policies",
        details=(
            "The tables are DIR/tests/*.yaml. Each row that is decided otherwise is named with "
            "file and line, what was expected, what came, and the policies that decided."
        ),
        options=(_POLICIES, JSON),
        example="pdvault policy test policies",
        run="vault.cli.policy:test",
    ),
    Command(
        words=("policy", "show"),
        audience=Audience.POLICY_OWNER,
        summary="which policy bundle a running vault decides by",
        options=REMOTE,
        example="pdvault policy show --client state/certs/policy-owner",
        run="vault.cli.policy:show",
    ),
    Command(
        words=("policy", "reload"),
        audience=Audience.POLICY_OWNER,
        summary="have a running vault read its policies again",
        details=(
            "A broken bundle is refused: every fault is named with file and line, the exit code is "
            "1, and the old bundle keeps deciding."
        ),
        options=REMOTE,
        example="pdvault policy reload --client state/certs/policy-owner",
        run="vault.cli.policy:reload",
    ),
    Command(
        words=("migrate",),
        audience=Audience.OPERATOR,
        summary="bring the database to this release",
        details=(
            "Applies the missing migrations in order, each in a transaction of its own, under a "
            "lock. What was applied before must be unchanged."
        ),
        options=(
            Option(
                flags=("--owner-url-file",),
                value="FILE",
                read=Path,
                is_required=True,
                help="A file (mode 600) with the URL of the owner's login: not the service's.",
            ),
            Option(flags=("--dry-run",), help="Name what is missing and change nothing."),
            JSON,
        ),
        example="pdvault migrate --owner-url-file /etc/pdvault/owner.url --dry-run",
        run="vault.cli.migrate:run",
    ),
    *ARCHIVE_COMMANDS,
    *ERASURE_COMMANDS,
    *BACKUP_COMMANDS,
    Command(
        words=("serve",),
        audience=Audience.OPERATOR,
        summary="the vault on your own PostgreSQL and Vault or OpenBao",
        details=(
            "Refuses to start on any unsafe or inconsistent setting and names all of them. Logs "
            "are JSON on stderr. SIGHUP reads the policies again; SIGTERM or Ctrl-C takes no more "
            "calls, lets those at work end, and exits with 0.\n\n"
            "With server.workers above 1 it supervises that many processes on one port: one that "
            "dies is started again; SIGUSR2 replaces each in turn, without a failed call, for "
            "instance after a change of the configuration.\n\n"
            "docs/configuration.md explains each setting, deploy/pdvault.example.toml is a start."
        ),
        options=(
            Option(
                flags=("--config",),
                value="FILE",
                read=Path,
                is_required=True,
                help="The configuration, TOML.",
            ),
            Option(
                flags=("--check",),
                help="Only check the settings, their files and the policies; connect to nothing.",
            ),
        ),
        example="pdvault serve --config /etc/pdvault/pdvault.toml --check",
        run="vault.cli.serve:run",
    ),
)
