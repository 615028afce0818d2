"""What a server's own option file says about how to run it."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from replclus.errors import HostError
from replclus.model.spec import Flavour

# What MySQL calls its binary log when it is told nothing.
_DEFAULT_BINLOG = "binlog"


class _OptionFile(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        """`log-bin` and `log_bin` are one option to the servers."""
        return optionstr.lower().replace("-", "_")


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """`binlog_index` lists the binary log files, oldest first; it may not exist yet."""

    flavour: Flavour
    server_binary: Path
    binlog_index: Path


def read_options(directory: Path) -> ProcessOptions:
    """Read `my.cnf`. HostError names what is missing in it, and where it belongs."""
    path = directory / "my.cnf"
    parser = _OptionFile(allow_no_value=True, interpolation=None, strict=False, delimiters=("=",))
    try:
        parser.read_string(path.read_text())
    except FileNotFoundError as error:
        raise HostError(f"{directory} has no my.cnf, so the server in it cannot be started from here") from error
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise HostError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    try:
        flavour, binary = Flavour(parser["replclus"]["flavour"]), Path(parser["replclus"]["server_binary"])
    except (KeyError, ValueError, TypeError) as error:
        raise HostError(
            f"{path} does not say which program runs the server: add [replclus] with flavour (mysql or mariadb) and server_binary"
        ) from error
    log_bin = parser.get("mysqld", "log_bin", fallback=None) or _DEFAULT_BINLOG
    index = parser.get("mysqld", "log_bin_index", fallback=None) or f"{log_bin}.index"
    return ProcessOptions(flavour, binary, directory / "data" / index)
