"""The auditors' commands, as data."""

from pathlib import Path

from vault.cli import values
from vault.cli.command import Audience, Command, Option
from vault.cli.options import (
    CASE,
    CASE_ID,
    JSON,
    REMOTE,
    SINCE,
    SUBJECT_ID,
    SUBJECT_REF,
    SUBJECT_REF_FILE,
    UNTIL,
    WITNESSES,
)

_ABOUT = ("--case", "--case-id")
_WHO = ("--subject-ref", "--subject-ref-file", "--subject-id")
_FILTERS = (
    SUBJECT_REF,
    SUBJECT_REF_FILE,
    SUBJECT_ID,
    Option(flags=("--caller",), value="ID", help="Who called, whole: spiffe://…"),
    Option(flags=("--purpose",), value="NAME", help="For which purpose."),
    Option(
        flags=("--verdict",),
        choices=("allowed", "refused", "invalid", "failed"),
        help="With an item, or a call, of this verdict.",
    ),
    Option(flags=("--field-type",), value="NAME", help="With an item of this field type."),
    Option(
        flags=("--view",),
        choices=("full", "masked", "coarse", "last4"),
        help="With an item that was revealed in this view.",
    ),
    CASE,
    CASE_ID,
    Option(flags=("--policy",), value="ID", help="Decided by the policy of this @id."),
    Option(flags=("--bundle-digest",), value="HEX", help="Decided by this policy bundle."),
    Option(flags=("--trace-id",), value="HEX", help="Of this trace."),
)
_LIMIT = Option(
    flags=("--limit",), value="N", read=values.count, default=50, help="At most so many entries."
)
_KEY_HELP = (
    "The log's public key, as you were given it: a verifier key (NAME+ID+KEY), or a file with one "
    "a line, such as state/audit.vkey."
)
_KEY = Option(flags=("--key",), value="FILE|VKEY", help=_KEY_HELP)
_NEEDED_KEY = Option(flags=("--key",), value="FILE|VKEY", help=_KEY_HELP, is_required=True)
AUDIT_COMMANDS: tuple[Command, ...] = (
    Command(
        words=("audit", "list"),
        audience=Audience.AUDITOR,
        summary="who saw what of whom, when, why, under which policy; newest first",
        details=(
            "Filters that are given must all hold. Entries are of the caller's own tenant and hold "
            "no personal data. The reading is itself recorded.\n\n"
            "With --json each entry has its bytes (entry, base64) and leaf_hash (hex), as "
            "docs/formats.md describes them."
        ),
        options=(*_FILTERS, SINCE, UNTIL, _LIMIT, *REMOTE),
        one_of=(_WHO, _ABOUT),
        example=(
            "pdvault audit list --client state/certs/auditor --purpose delivery --since 2h\n"
            "echo m-1 | pdvault audit list --subject-ref-file - --json"
        ),
        run="vault.cli.audit:list_entries",
    ),
    Command(
        words=("audit", "show"),
        audience=Audience.AUDITOR,
        summary="one entry, or all of one trace, in full, with its span tree",
        details=(
            "The span tree shows where the call's time went, and is no evidence: the entry is. It "
            "is read from a trace store if one is named (Jaeger from 2.0, Tempo), or else from the "
            "vault's span file (telemetry.span_file) on this machine."
        ),
        options=(
            Option(flags=("id",), help="An entry id or a trace id, 32 hex digits."),
            Option(
                flags=("--spans",),
                value="FILE",
                read=Path,
                help="The vault's span file. Without it: $PDVAULT_SPANS, or no tree.",
            ),
            Option(
                flags=("--trace-store",),
                value="URL",
                help=(
                    "A trace store's query address, such as http://jaeger:16686 or "
                    "http://tempo:3200. Without it: $PDVAULT_TRACE_STORE."
                ),
            ),
            Option(
                flags=("--trace-store-ca",),
                value="FILE",
                read=Path,
                help=(
                    "The CA of an https:// trace store, PEM. Without it: $PDVAULT_TRACE_STORE_CA, "
                    "or the CAs of the system."
                ),
            ),
            *REMOTE,
        ),
        example=(
            "pdvault audit show --client state/certs/auditor --spans state/spans.jsonl ID\n"
            "pdvault audit show --trace-store https://tempo.example:3200 --trace-store-ca ca.crt ID"
        ),
        run="vault.cli.audit:show",
    ),
    Command(
        words=("audit", "tail"),
        audience=Audience.AUDITOR,
        summary="the log live: one line for each entry that matches, until Ctrl-C",
        details=(
            "Entries come when they have their place in the log, below a second after their call. "
            "Ctrl-C ends it with exit code 0; a connection that breaks, with 1."
        ),
        options=(*_FILTERS, *REMOTE),
        one_of=(_WHO, _ABOUT),
        example="pdvault audit tail --client state/certs/auditor --verdict refused",
        run="vault.cli.audit_tail:tail",
    ),
    Command(
        words=("audit", "subject"),
        audience=Audience.AUDITOR,
        summary="the story of one consumer: who saw which fields, when, why, by which rule",
        details=(
            "In plain words, by day, refusals included.\n\n"
            "--proofs writes an access record that can be handed out: the consumer's entries, each "
            "with the proof that it stands in the signed log, and nothing of anybody else. Whoever "
            "has the log's public key checks it with pdvault audit verify-record."
        ),
        options=(
            SUBJECT_REF,
            SUBJECT_REF_FILE,
            SUBJECT_ID,
            SINCE,
            UNTIL,
            Option(
                flags=("--proofs",), value="FILE", read=Path, help="Write an access record there."
            ),
            _KEY,
            *WITNESSES,
            *REMOTE,
        ),
        one_of=(_WHO,),
        example=(
            "echo m-1 | pdvault audit subject --client state/certs/auditor --subject-ref-file -\n"
            "pdvault audit subject --subject-id HEX --proofs record.json --key state/audit.vkey"
        ),
        run="vault.cli.audit_story:subject",
    ),
    Command(
        words=("audit", "caller"),
        audience=Audience.AUDITOR,
        summary="what one caller did: which fields of which consumers, when, why",
        options=(
            Option(flags=("id",), help="The caller's identity, whole: spiffe://…"),
            SINCE,
            UNTIL,
            Option(
                flags=("--limit",),
                value="N",
                read=values.count,
                default=1000,
                help="At most so many entries, the newest.",
            ),
            *REMOTE,
        ),
        example=(
            "pdvault audit caller --client state/certs/auditor --since 1d "
            "spiffe://pdvault.example/shop/support"
        ),
        run="vault.cli.audit_story:caller",
    ),
    Command(
        words=("audit", "stats"),
        audience=Audience.AUDITOR,
        summary="how many accesses, by caller, purpose, verdict or hour, as bars",
        details=(
            "Counts entries of every method, the auditors' own reading included. Each bar is "
            "divided by verdict, the most severe in an entry. Archived months are counted too, by "
            "whole hours, but not with --case."
        ),
        options=(
            Option(
                flags=("--by",),
                choices=("caller", "purpose", "verdict", "hour"),
                default="caller",
                help="What a bar stands for.",
            ),
            CASE,
            CASE_ID,
            SINCE,
            UNTIL,
            Option(
                flags=("--svg",), value="FILE", read=Path, help="Draw the bars into an SVG file."
            ),
            *REMOTE,
        ),
        one_of=(_ABOUT,),
        example=(
            "pdvault audit stats --client state/certs/auditor --by hour --since 1d --svg day.svg"
        ),
        run="vault.cli.audit_stats:stats",
    ),
    Command(
        words=("audit", "checkpoint"),
        audience=Audience.AUDITOR,
        summary="the newest signed checkpoint of the log",
        details=(
            "Prints the signed note. Keep it: pdvault audit verify --since-checkpoint proves "
            "later that the log still continues it. With --key the signature is checked first."
        ),
        options=(_KEY, *WITNESSES, *REMOTE),
        example=(
            "pdvault audit checkpoint --client state/certs/auditor --key state/audit.vkey > today\n"
            "pdvault audit checkpoint --key audit.vkey --witness-key witnesses.vkey "
            "--witness-quorum 2"
        ),
        run="vault.cli.audit_proofs:checkpoint",
    ),
    Command(
        words=("audit", "prove"),
        audience=Audience.AUDITOR,
        summary="prove that an entry stands in the log, or that the log only grew",
        details=(
            "The vault sends the proof, this machine verifies it: the entry's bytes, the hashes up "
            "to the root, the root's signature. Without --key the signature is checked with the "
            "key that the vault names itself, which shows nothing about who signed."
        ),
        options=(
            Option(
                flags=("what",),
                repeats="+",
                help=(
                    "An entry id. With --consistency FIRST and SECOND, each the size of a "
                    "checkpoint or a file that holds one; without SECOND, the newest."
                ),
            ),
            Option(
                flags=("--consistency",),
                help="Prove that the tree of FIRST is the beginning of that of SECOND.",
            ),
            _KEY,
            *WITNESSES,
            *REMOTE,
        ),
        example=(
            "pdvault audit prove --client state/certs/auditor --key state/audit.vkey ENTRY\n"
            "pdvault audit prove --key state/audit.vkey --consistency yesterday"
        ),
        run="vault.cli.audit_proofs:prove",
    ),
    Command(
        words=("audit", "export"),
        audience=Audience.AUDITOR,
        summary="the log in a file: JSON Lines, CSV, OCSF or a folder of tiles",
        details=(
            "jsonl can be verified without the vault (pdvault audit verify). Entries of other "
            "tenants are in it as hashes only.\n\n"
            "csv (a row for each item) and ocsf (API Activity, JSON Lines) hold the entries that "
            "this reader may see; FILE.manifest.json beside them has the signed checkpoint, the "
            "range and the file's SHA-256. tiles is a folder in the layout of C2SP tlog-tiles.\n\n"
            "With --key everything is verified while it is written. --resume goes on with an "
            "export that was cut; of a folder of tiles, it also fetches what the log has grown by."
        ),
        options=(
            Option(flags=("file",), read=Path, help="Where to; with tiles, a folder."),
            Option(
                flags=("--format",),
                choices=("jsonl", "csv", "ocsf", "tiles"),
                default="jsonl",
                help="As what.",
            ),
            Option(
                flags=("--from-index",),
                value="N",
                read=values.index,
                help="The first leaf. Without it: 0.",
            ),
            Option(
                flags=("--until-index",),
                value="N",
                read=values.index,
                help="One past the last leaf. Without it: the end of the checkpoint.",
            ),
            Option(flags=("--resume",), help="Go on with what is there."),
            _KEY,
            *WITNESSES,
            *REMOTE,
        ),
        example=(
            "pdvault audit export --client state/certs/auditor log.jsonl\n"
            "pdvault audit verify log.jsonl --key state/audit.vkey"
        ),
        run="vault.cli.audit_export:export",
    ),
    Command(
        words=("audit", "verify"),
        audience=Audience.AUDITOR,
        summary="verify an export, offline: no vault, no database, only the public key",
        details=(
            "Proves that nothing was removed, changed, reordered or forked, or names the first "
            "index that fails and the kind of damage. Exit code 0: sound. 1: damaged. 2: could not "
            "be verified, as a file or a key can't be read."
        ),
        options=(
            Option(flags=("file",), read=Path, help="An export of the format jsonl."),
            _NEEDED_KEY,
            *WITNESSES,
            Option(
                flags=("--origin",),
                value="NAME",
                help="The log's name. Without it: the name of the key.",
            ),
            Option(
                flags=("--since-checkpoint",),
                value="FILE",
                read=Path,
                help="A checkpoint that you kept; the log must continue it.",
            ),
            Option(
                flags=("--part",),
                help="A part of the log will do, as --from-index and --until-index give it.",
            ),
            JSON,
        ),
        example=(
            "pdvault audit verify log.jsonl --key state/audit.vkey --since-checkpoint yesterday"
        ),
        run="vault.cli.audit_verify:verify",
    ),
    Command(
        words=("audit", "verify-record"),
        audience=Audience.AUDITOR,
        summary="verify a consumer's access record, offline, and tell what it says",
        details=(
            "Proves that each entry stands in the signed log as it is. It can't prove that there "
            "are no others. Exit code 0: sound. 1: damaged. 2: could not be verified."
        ),
        options=(
            Option(flags=("file",), read=Path, help="As pdvault audit subject --proofs wrote it."),
            _NEEDED_KEY,
            *WITNESSES,
            JSON,
        ),
        example="pdvault audit verify-record record.json --key state/audit.vkey",
        run="vault.cli.audit_record:verify_record",
    ),
)
