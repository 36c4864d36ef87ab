"""Where settings come from: the environment, and a file `.env` for those that the environment does not
set."""

from pathlib import Path

from dotenv.parser import Binding, parse_stream
from environs import Env, EnvError

HOW = "`manage.py new_keys` prints fresh keys; .env.example lists every setting."


def environment(file: Path, *, required: tuple[str, ...]) -> Env:
    """Raises EnvError, with a sentence for an operator, if a required setting is missing or a line of the
    file would be read differently from what it says."""
    env = Env()
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            for line in parse_stream(lines):
                _refuse_misread(file, line)
        env.read_env(str(file))
    if missing := [name for name in required if not env.str(name, "")]:
        raise EnvError(f"Set {' and '.join(missing)}, in the environment or in {file}. {HOW}")
    if not env.str("DATABASE_URL").startswith(("postgresql://", "postgres://")):
        raise EnvError("DATABASE_URL must start with postgresql://: no other database is supported.")
    return env


def _refuse_misread(file: Path, line: Binding) -> None:
    """python-dotenv skips what it cannot read, and takes " #" in an unquoted value for a remark."""
    number = line.original.line + line.original.string[: -len(line.original.string.lstrip())].count("\n")
    where = f"Line {number} of {file}"
    if line.error:
        raise EnvError(f"{where} cannot be read: write NAME=value, or NAME='value' if it has quotes in it.")
    written = line.original.string.partition("=")[2].strip()
    is_cut = written[:1] not in {"'", '"'} and written != (line.value or "")
    if line.key and (is_cut or written.startswith("#")):
        raise EnvError(
            f"{where}: the value of {line.key} would end before the #. Put the whole value in single "
            "quotes, or the comment on its own line."
        )
