"""Writes vault/v1 from protos/vault/v1, or checks that it is what the protos say.

python .ci/generate.py           write
python .ci/generate.py --check   exit 1 and name each file that differs
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "vault" / "v1"


def generate(out: Path) -> None:
    protos = sorted(str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos").rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'protos'}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *protos,
        ]
    )
    if code:
        sys.exit(code)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        made = {p.name: p.read_bytes() for p in (Path(scratch) / "vault" / "v1").iterdir()}
    kept = {p.name: p.read_bytes() for p in TARGET.glob("*_pb2*")}
    differing = sorted(n for n in made.keys() | kept.keys() if made.get(n) != kept.get(n))
    if "--check" in sys.argv[1:]:
        for name in differing:
            print(f"vault/v1/{name} is not what protos/ says; run: make generate")
        sys.exit(bool(differing))
    for name in differing:
        if name in made:
            (TARGET / name).write_bytes(made[name])
        else:
            (TARGET / name).unlink()
        print(f"vault/v1/{name} written")


if __name__ == "__main__":
    main()
