"""The commands of custodians and of those who erase, as data."""

from vault.cli import values
from vault.cli.command import Audience, Command, Option
from vault.cli.options import REMOTE, SUBJECT_REF, SUBJECT_REF_FILE

_JOB = Option(flags=("job_id",), help="The job's id, as `keys jobs` lists it.")
_REQUEST = Option(flags=("id",), help="The request's id, as `keys requests` lists it.")
_RATE = Option(
    flags=("--rows-per-second",),
    value="N",
    read=values.count,
    help="At most this many rows a second. Without it: as the vault is configured.",
)
_LIMIT = Option(
    flags=("--limit",), value="N", read=values.count, default=20, help="Show at most so many."
)
_DRY = Option(flags=("--dry-run",), help="Tell what would be done, and do nothing.")
_TWO = (
    "Retiring and trimming root versions, destroying a root key and widening the policy take two: "
    "one custodian asks, a different one approves exactly that, then it is carried out once."
)

KEY_COMMANDS: tuple[Command, ...] = (
    Command(
        words=("keys", "status"),
        audience=Audience.CUSTODIAN,
        summary="every key at a glance: age, versions in use, uses, what is due",
        options=(
            Option(flags=("--check",), help="Exit code 1 if something is to be done."),
            *REMOTE,
        ),
        example="pdvault keys status --client state/certs/custodian-1",
        run="vault.cli.keys:status",
    ),
    Command(
        words=("keys", "rotate"),
        audience=Audience.CUSTODIAN,
        summary="make a new version of a key and move everything onto it, online",
        details=(
            "Values and tokens stay as they are. The work is done by the vault: Ctrl-C leaves it "
            "running, `keys watch` follows it again. `subject` seals values anew under new data "
            "keys, for when an old one may be known to somebody."
        ),
        options=(
            Option(
                flags=("kind",),
                choices=("root", "index", "signing", "subject"),
                help="Which key: root, index, signing or subject.",
            ),
            Option(
                flags=("--cause",),
                choices=("scheduled", "compromise", "custodian_change"),
                default="scheduled",
                help="Why, for the log.",
            ),
            SUBJECT_REF,
            SUBJECT_REF_FILE,
            Option(flags=("--all-subjects",), help="With subject: the keys of all consumers."),
            _RATE,
            Option(flags=("--no-wait",), help="Start it and don't follow."),
            _DRY,
            *REMOTE,
        ),
        one_of=(("--subject-ref", "--subject-ref-file", "--all-subjects"),),
        example=(
            "pdvault keys rotate root --dry-run --client state/certs/custodian-1\n"
            "pdvault keys rotate root --client state/certs/custodian-1"
        ),
        run="vault.cli.keys:rotate",
    ),
    Command(
        words=("keys", "jobs"),
        audience=Audience.CUSTODIAN,
        summary="rotations under way and over",
        options=(_LIMIT, *REMOTE),
        example="pdvault keys jobs --client state/certs/custodian-1",
        run="vault.cli.keys:jobs",
    ),
    Command(
        words=("keys", "watch"),
        audience=Audience.CUSTODIAN,
        summary="follow a rotation until it ends",
        details="Exit code 1 if it ends with rows that can't be moved. Ctrl-C leaves it running.",
        options=(_JOB, *REMOTE),
        example="pdvault keys watch JOB --client state/certs/custodian-1",
        run="vault.cli.keys:watch",
    ),
    Command(
        words=("keys", "control"),
        audience=Audience.CUSTODIAN,
        summary="pause, resume or throttle a rotation",
        options=(
            Option(flags=("what",), choices=("pause", "resume", "throttle"), help="What to do."),
            _JOB,
            _RATE,
            *REMOTE,
        ),
        example="pdvault keys control throttle JOB --rows-per-second 500",
        run="vault.cli.keys:control",
    ),
    Command(
        words=("keys", "verify"),
        audience=Audience.CUSTODIAN,
        summary="read every wrapped key; which root versions are needed",
        details=(
            "Exit code 1 if one can't be read or, with --min, needs an older version. The rows "
            "themselves are read, not what the vault noted about them."
        ),
        options=(
            Option(
                flags=("--min",),
                value="VERSION",
                read=values.count,
                help="None may need a version below this one.",
            ),
            *REMOTE,
        ),
        example="pdvault keys verify --min 2 --client state/certs/custodian-1",
        run="vault.cli.keys:verify",
    ),
    Command(
        words=("keys", "request"),
        audience=Audience.CUSTODIAN,
        summary="ask for what takes two custodians",
        details=_TWO,
        options=(
            Option(
                flags=("act",),
                choices=("retire", "trim", "destroy", "widen-policy"),
                help=(
                    "retire: refuse root versions below ARGUMENT. trim: delete them for good. "
                    "destroy: delete the root key of the tenant ARGUMENT, and with it every value. "
                    "widen-policy: let the bundle of digest ARGUMENT come into force."
                ),
            ),
            Option(flags=("argument",), help="A version, the tenant, or a digest."),
            Option(
                flags=("--cause",),
                choices=("rotation", "compromise", "offboarding", "policy_change"),
                default="rotation",
                help="Why, for the log.",
            ),
            Option(
                flags=("--idempotency-key",),
                value="KEY",
                help="The same key again finds the same request. Without it: a fresh one.",
            ),
            *REMOTE,
        ),
        example="pdvault keys request retire 2 --client state/certs/custodian-1",
        run="vault.cli.acts:request",
    ),
    Command(
        words=("keys", "requests"),
        audience=Audience.CUSTODIAN,
        summary="what was asked for, by whom, and how it stands",
        options=(
            Option(flags=("--open",), help="Only what can still be approved or carried out."),
            _LIMIT,
            *REMOTE,
        ),
        example="pdvault keys requests --open --client state/certs/custodian-2",
        run="vault.cli.acts:requests",
    ),
    Command(
        words=("keys", "approve"),
        audience=Audience.CUSTODIAN,
        summary="approve exactly what another custodian asked for",
        details=_TWO,
        options=(
            _REQUEST,
            Option(
                flags=("--digest",),
                value="HEX",
                is_required=True,
                help="The digest of the request, as you read it: nothing else is approved.",
            ),
            Option(flags=("--dry-run",), help="Show the request and compare the digest only."),
            *REMOTE,
        ),
        example="pdvault keys approve REQUEST --digest HEX --client state/certs/custodian-2",
        run="vault.cli.acts:approve",
    ),
    Command(
        words=("keys", "withdraw"),
        audience=Audience.CUSTODIAN,
        summary="take a request back",
        options=(_REQUEST, *REMOTE),
        example="pdvault keys withdraw REQUEST --client state/certs/custodian-1",
        run="vault.cli.acts:withdraw",
    ),
    Command(
        words=("keys", "carry-out"),
        audience=Audience.CUSTODIAN,
        summary="carry an approved request out, once",
        details="With --dry-run: what would be done; exit code 1 if something stands against it.",
        options=(_REQUEST, _DRY, *REMOTE),
        example="pdvault keys carry-out REQUEST --dry-run --client state/certs/custodian-1",
        run="vault.cli.acts:carry_out",
    ),
    Command(
        words=("erase",),
        audience=Audience.SHOP,
        summary="erase a consumer for good, and get the certificate",
        details=(
            "Destroys the consumer's keys. Every token answers ERASED from then on, in backups as "
            "well by the date of the certificate. Asks before it does so, unless --yes. The same "
            "again gives the same certificate."
        ),
        options=(
            SUBJECT_REF,
            SUBJECT_REF_FILE,
            Option(flags=("--token",), value="TOKEN", help="The consumer, by any token of theirs."),
            Option(
                flags=("--cause",),
                choices=("consumer_request", "consent_withdrawn", "retention_over", "legal_order"),
                default="consumer_request",
                help="Why, for the certificate.",
            ),
            Option(flags=("--dry-run",), help="Count what would be erased, and erase nothing."),
            Option(flags=("--yes",), help="Don't ask."),
            *REMOTE,
        ),
        one_of=(("--subject-ref", "--subject-ref-file", "--token"),),
        example="pdvault erase --subject-ref m-1 --dry-run --client state/certs/privacy",
        run="vault.cli.acts:erase",
    ),
    Command(
        words=("erasure",),
        audience=Audience.SHOP,
        summary="the certificate of an erasure",
        options=(Option(flags=("id",), help="The certificate's id."), *REMOTE),
        example="pdvault erasure ID --client state/certs/privacy",
        run="vault.cli.acts:erasure",
    ),
)
