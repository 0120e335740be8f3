"""A full-screen terminal for interviews that leaves no text in scrollback, title, history or redirected output.

An answer on a screen can put a person in danger. The module therefore opens the controlling terminal directly. It reads
single keys, so that one key hides the screen. It clears the screen on every exit; only SIGKILL leaves the last page.
It must not print to standard output.
"""

from __future__ import annotations

import calendar
import codecs
import os
import re
import select
import signal
import termios
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from types import FrameType, TracebackType
from typing import Self

import click
from rich.console import Console, Group, RenderableType

HIDE_KEY = "!"
MORE_KEY = "+"
STOP_KEY = "."
IDLE_SECONDS = 300.0  # Long enough to listen to an answer, short enough if the inspector had to put the tablet down.

_ENTER_PRIVATE, _LEAVE_PRIVATE = "\x1b[?1049h", "\x1b[?1049l"
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"  # 3J also clears scrollback, in terminals without an alternate screen.
_ARROWS = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]")
_HIDE_KEYS = (HIDE_KEY, "\x1b", "\x1a", "")  # "!", Escape, Ctrl-Z, and the idle timeout (an empty key)
_STOP_KEYS = ("\x03", "\x04")  # Ctrl-C and Ctrl-D


@dataclass(frozen=True)
class Page:
    """One screen: a body that may be longer than the screen, and a footer that is always visible."""

    body: Sequence[RenderableType]
    footer: Sequence[RenderableType]


class PrivateTerminal:
    """The controlling terminal, as a context manager. After `idle` seconds without a key it hides the screen."""

    idle = IDLE_SECONDS

    def __init__(self) -> None:
        """Open the terminal. Raises UsageError when there is none, or when it cannot clear its screen."""
        if os.environ.get("TERM", "dumb") == "dumb":
            raise click.UsageError("Esta terminal no puede borrar su pantalla: la conversación quedaría a la vista.")
        try:
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise click.UsageError("La conversación necesita una terminal; sin ella, use --answers.") from error
        self._typed: deque[str] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        quiet = termios.tcgetattr(self._fd)
        quiet[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, quiet)
        self._handlers = {number: signal.signal(number, _exit_on_signal) for number in (signal.SIGTERM, signal.SIGHUP)}
        self._write(_ENTER_PRIVATE + _CLEAR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write(_CLEAR + _LEAVE_PRIVATE)
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
        except OSError:
            return  # The connection is cut: there is no screen to clear.
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            os.close(self._fd)

    def ask(self, page: Page) -> str:
        """Show a page and return the typed line. Paging and hiding are handled here and are not returned."""
        first = 0
        while True:
            body, footer, height = self._lines(page.body), self._lines(page.footer), self._size().lines
            room = max(height - len(footer) - 2, 4)
            room -= len(body) > room  # One line for the hint that there is more.
            shown = body[first : first + room]
            rest = [f"({MORE_KEY} muestra lo demás)"] if len(body) > room else []
            self._write(_CLEAR + "\n".join([*shown, *rest, "", *footer, "> "]))
            line = self._line()
            if line is None:
                self._hide()
            elif line == MORE_KEY:
                first = first + room if first + room < len(body) else 0
            else:
                return line

    def _hide(self) -> None:
        """Show a calendar until HIDE_KEY is typed again. The page does not mention the key."""
        termios.tcflush(self._fd, termios.TCIFLUSH)
        self._typed.clear()
        today = date.today()
        weeks = calendar.monthcalendar(today.year, today.month)
        days = "\n".join(" ".join(f"{day or '':>2}" for day in week) for week in weeks)
        self._write(f"{_CLEAR}{today:%m/%Y}\nlu ma mi ju vi sá do\n{days}\n")
        while self._key() != HIDE_KEY:
            continue

    def _line(self) -> str | None:
        """Read keys up to Enter. Returns None when the screen must be hidden at once."""
        typed: list[str] = []
        while (key := self._key()) not in ("\r", "\n"):
            if key in _HIDE_KEYS:
                return None
            if key in _STOP_KEYS:
                return STOP_KEY
            if key in ("\x7f", "\b"):
                self._write("\b \b" if typed else "")
                del typed[-1:]
            elif key.isprintable():
                typed.append(key)
                self._write(key)
        return "".join(typed).strip()

    def _key(self) -> str:
        """Return one key, or "" after `idle` seconds. Skips arrow keys. Raises EOFError when the terminal closes."""
        while not self._typed:
            if not select.select([self._fd], [], [], self.idle)[0]:
                return ""
            read = os.read(self._fd, 4096)
            if not read:
                raise EOFError
            self._typed.extend(self._decoder.decode(_ARROWS.sub(b"", read)))
        return self._typed.popleft()

    def _lines(self, parts: Sequence[RenderableType]) -> list[str]:
        console = Console(file=StringIO(), width=self._size().columns, force_terminal=True, highlight=False)
        with console.capture() as captured:
            console.print(Group(*parts))
        return captured.get().rstrip("\n").split("\n")

    def _size(self) -> os.terminal_size:
        size = os.get_terminal_size(self._fd)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._fd, data) :]


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit, so that `__exit__` clears the screen."""
    raise SystemExit(128 + number)
