"""A full-screen terminal for interviews that leaves no text in scrollback, title, history or redirected output.

An answer on a screen can put a person in danger. The module therefore opens the controlling terminal directly. It reads
single keys, so that one key hides the screen. It clears the screen on every exit that it can notice (docs/security.md).
One key calls for help on every page. It must not print to standard output, nor accept an answer to unseen text.
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
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from types import FrameType, TracebackType
from typing import Self

import click
from rich.cells import cell_len

from server.cli.page_layout import Page, PageView

HIDE_KEY = "!"
MORE_KEY = "+"
STOP_KEY = "."
DANGER_KEY = "*"
MOST_TYPED = 300  # Letters. The longest answer has 200, so a longer line is refused anyway.
IDLE_SECONDS = 300.0  # Long enough to listen to an answer, short enough if the inspector had to put the tablet down.

_ENTER_PRIVATE, _LEAVE_PRIVATE = "\x1b[?1049h", "\x1b[?1049l"
# A line that the terminal finds longer than we do ends at the edge. It must not go on where our own lines begin.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"  # 3J also clears scrollback, in terminals without an alternate screen.
_ARROWS = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]")
_SUSPEND_KEY = "\x1a"  # Ctrl-Z. A stopped process would leave its page on the screen.
_HIDE_KEYS = (HIDE_KEY, "\x1b", _SUSPEND_KEY, "")  # "!", Escape, Ctrl-Z, and the idle timeout (an empty key)
_STOP_KEYS = ("\x03", "\x04")  # Ctrl-C and Ctrl-D
_RESIZED = "resized"  # No key has this name.
_COMMANDS = re.compile(r"[.?/]|<(?:<*|[0-9]{1,3})")  # They answer nothing, so they need no page that was shown.
_HIDING_SIGNALS = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT})
_HARMLESS_SIGNALS = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGXFSZ})
_LOST_SIGNALS = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""No program can catch the first two. After the others, no Python code runs any more."""
_NO_OTHER_USE = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
_ENDING_SIGNALS = signal.valid_signals() - _HIDING_SIGNALS - _HARMLESS_SIGNALS - _LOST_SIGNALS


class PrivateTerminal:
    """The controlling terminal, as a context manager. After `idle` seconds without a key it hides the screen.

    `on_danger` runs when the inspector types DANGER_KEY on any page; afterwards that page is shown again. It may raise.
    """

    idle = IDLE_SECONDS
    on_danger: Callable[[], None] | None = None

    def __init__(self, what: str = "la conversación", instead: str = "--answers") -> None:
        """Open the terminal. Raises UsageError when there is none, or when it cannot clear its screen.

        `what` is shown in it, and the option `instead` works without a terminal; the errors say so.
        """
        if os.environ.get("TERM", "dumb") == "dumb":
            raise click.UsageError(f"Esta terminal no puede borrar su pantalla: {what} quedaría a la vista.")
        try:
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise click.UsageError(f"Hace falta una terminal para {what}; sin ella, use {instead}.") from error
        self._typed: deque[str] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        quiet = termios.tcgetattr(self._fd)
        quiet[0] &= ~(termios.IXON | termios.IXOFF)  # Ctrl-S would freeze the page on the screen.
        quiet[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN | termios.TOSTOP)
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, quiet)
        self._resized, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        # A Python handler runs only between two steps. A signal just before `select` would wait for the next key.
        self._woken_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        ending = (number for number in _ENDING_SIGNALS if signal.getsignal(number) in _NO_OTHER_USE)
        self._handlers = {number: signal.signal(number, _exit_on_signal) for number in ending}
        for number in (signal.SIGWINCH, *_HIDING_SIGNALS):
            self._handlers[number] = signal.signal(number, _wake_only)
        self._write(_ENTER_PRIVATE + _WRAP_OFF + _CLEAR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._handlers:  # A second signal must not end the clearing.
            signal.signal(number, signal.SIG_IGN)
        try:
            self._make_room()
            self._write(_WRAP_ON + _CLEAR + _LEAVE_PRIVATE)
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
        except (EOFError, OSError, termios.error):
            return  # The connection is cut: there is no screen to clear.
        finally:
            signal.set_wakeup_fd(self._woken_before)
            for number, handler in self._handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)
            for opened in (self._fd, self._resized, self._wake):
                os.close(opened)

    def ask(self, page: Page) -> str:
        """Show a page and return the typed line. Paging, hiding and danger are handled here and are not returned.

        Enter shows the next part of a long page. An answer, and the Enter that passes a page, are returned only after
        the end of the page was on the screen. Keys that were typed before the page appeared are ignored.
        """
        view = PageView(page)
        while True:
            line = self._line(view)
            if line is None:
                self._hide()
            elif line == DANGER_KEY and self.on_danger:
                self._call_danger()
            elif line == MORE_KEY:
                view.turn()
            elif _COMMANDS.fullmatch(line) or view.takes(line):
                return line
            else:
                view.turn(hurried=bool(line))

    def _call_danger(self) -> None:
        call, self.on_danger = self.on_danger, None  # On the page that it shows, the key must not call it again.
        try:
            if call:
                call()
        finally:
            self.on_danger = call

    def _hide(self) -> None:
        """Show a calendar until HIDE_KEY is typed again. The page does not mention the key."""
        today = date.today()
        weeks = calendar.monthcalendar(today.year, today.month)
        days = "\n".join(" ".join(f"{day or '':>2}" for day in week) for week in weeks)
        key = _RESIZED
        self._forget_typed()
        while key != HIDE_KEY:
            if key == _RESIZED:
                self._write(f"{_CLEAR}{today:%m/%Y}\nlu ma mi ju vi sá do\n{days}\n")
            key = self._key()

    def _forget_typed(self) -> None:
        with suppress(termios.error):  # The connection is cut; the next read notices it.
            termios.tcflush(self._fd, termios.TCIFLUSH)
        self._typed.clear()

    def _line(self, view: PageView) -> str | None:
        """Show a page's part and read keys up to Enter. Returns None when the screen must be hidden at once."""
        self._forget_typed()
        self._draw(view, [])
        typed: list[str] = []
        while (key := self._key()) not in ("\r", "\n"):
            if key == _RESIZED:
                self._draw(view, typed)
            elif key in _HIDE_KEYS:
                return None
            elif key in _STOP_KEYS:
                return STOP_KEY
            elif key in ("\x7f", "\b"):
                del typed[-1:]
                self._write(f"\r\x1b[K{self._prompt(typed)}")
            elif key.isprintable() and len(typed) < MOST_TYPED:
                typed.append(key)
                self._write(key if self._prompt(typed)[2:] == "".join(typed) else f"\r\x1b[K{self._prompt(typed)}")
        return "".join(typed).strip()

    def _draw(self, view: PageView, typed: list[str]) -> None:
        size = self._size()
        self._write(_CLEAR + "\n".join([*view.lay_out(size.columns, size.lines), self._prompt(typed)]))

    def _prompt(self, typed: list[str]) -> str:
        """Return the prompt with the end of the typed line, as far as it fits: the last line must not scroll."""
        room, first = self._size().columns - 3, 0
        while cell_len("".join(typed[first:])) > room and first < len(typed):
            first += 1
        return "> " + "".join(typed[first:])

    def _key(self) -> str:
        """Return one key, _RESIZED, or "" after `idle` seconds. Skips arrow keys.

        Raises EOFError when the terminal closes.
        """
        while not self._typed:
            ready = select.select([self._fd, self._resized], [], [], self.idle)[0]
            if self._resized in ready:
                return _SUSPEND_KEY if _HIDING_SIGNALS & {*os.read(self._resized, 4096)} else _RESIZED
            if not ready:
                return ""
            if os.tcgetpgrp(self._fd) != os.getpgrp():  # The keys are another program's. To wait for ours is endless.
                raise EOFError
            read = os.read(self._fd, 4096)
            if not read:
                raise EOFError
            self._typed.extend(self._decoder.decode(_ARROWS.sub(b"", read)))
        return self._typed.popleft()

    def _size(self) -> os.terminal_size:
        size = os.get_terminal_size(self._fd)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def _make_room(self) -> None:
        """Drop what a stuck terminal has not taken yet, so that the clearing comes through."""
        self._let_output_go_on()
        if not select.select([], [self._fd], [], 0)[1]:
            with suppress(termios.error):  # The connection is cut.
                termios.tcflush(self._fd, termios.TCOFLUSH)

    def _let_output_go_on(self) -> None:
        with suppress(termios.error):  # The connection is cut; the next write notices it.
            termios.tcflow(self._fd, termios.TCOOFF)  # Linux undoes with TCOON only what TCOOFF did, not a Ctrl-S.
            termios.tcflow(self._fd, termios.TCOON)

    def _write(self, text: str) -> None:
        """Write text, also to a terminal whose output was stopped. Raises EOFError when the terminal is closed."""
        self._let_output_go_on()
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise EOFError from error


def _wake_only(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal's number in the pipe wakes `_key`, which draws the page again or hides it."""


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit, so that `__exit__` clears the screen. A second signal must not come before it."""
    for other in _ENDING_SIGNALS:
        if signal.getsignal(other) is _exit_on_signal:
            signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)
