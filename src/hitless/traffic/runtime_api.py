"""HAProxy's Runtime API over its unix socket: one command in, one answer out, with a bound on time."""

import socket
from dataclasses import dataclass
from pathlib import Path

from hitless.kit.errors import HitlessError

ANSWER_BYTES = 16 << 20


class Unreachable(Exception):
    """HAProxy is not there, or went away while it was asked; asking again may help."""


@dataclass(frozen=True, slots=True)
class RuntimeApi:
    """The socket of one HAProxy. It blocks: call it in a thread."""

    path: Path
    timeout_s: float = 2.0

    def ask(self, *commands: str) -> list[str]:
        """Send commands in one connection; returns their answers. Raises Unreachable.

        A command must be one line without `;`; whoever builds it has checked its words.
        """
        if any(set(command) & set(";\n\r") for command in commands):
            raise ValueError(f"{commands!r} are not one command each")
        try:
            return [self._one(command) for command in commands]
        except OSError as error:
            raise Unreachable(f"{self.path}: {error}") from None

    def set(self, *commands: str) -> None:
        """Send commands that answer nothing, or a remark, when they succeed. Raises HitlessError `gateway-refused`."""
        answers = self.ask(*commands)
        for command, answer in zip(commands, answers, strict=True):
            if answer and not answer.startswith(_REMARKS):
                raise HitlessError("gateway-refused", f"HAProxy answered {command!r} with {answer!r}", "hitless doctor")

    def _one(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout_s)
            connection.connect(str(self.path))
            connection.sendall(command.encode() + b"\n")
            parts, size = [], 0
            while part := connection.recv(1 << 16):
                parts.append(part)
                size += len(part)
                if size > ANSWER_BYTES:
                    raise Unreachable(f"{command!r} was answered with more than {ANSWER_BYTES} bytes")
        if not parts:
            raise Unreachable(f"{command!r} was not answered")
        return b"".join(parts).decode("utf-8", "replace").strip()


_REMARKS = ("IP changed", "no need to change", "port changed", "nothing changed")
