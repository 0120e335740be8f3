"""Tests of `chaski desk open` at a real terminal: what a coordinator reads first, and that no answer stays behind."""

from __future__ import annotations

import re
import shutil
import signal
import termios
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import pytest
from click.testing import CliRunner

from conftest import World
from screening_forms.engine.evaluator import Engine
from server.cli.desk.reading import print_screenings
from server.cli.main import main
from server.cli.private_terminal import PrivateTerminal
from server.cli.safe_console import SafeConsole
from support.clients import FORM, STORY, Office, answers, open_office
from support.greedy_terminal import rows
from support.terminal import CLEAR, ESCAPES, MORE, Commands, Inspector
from support.waiting import wait_until
from sync.desk.client import VerifiedScreening
from sync.desk.opened_screening import Difference

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
VERDICT = "Recalculado aquí: el mismo resultado."


@dataclass(frozen=True)
class DeskTerminal:
    """A desk with one delivered screening, its referral, and what the screening shows."""

    office: Office
    referral: str
    opened: VerifiedScreening
    commands: Commands

    def words(self, *options: object) -> list[str]:
        """The command line that opens the screening."""
        phrase = self.office.field.world.people / "proteccion-17" / "passphrase.txt"
        account = ("--login", "proteccion-17", "--passphrase-file", phrase, "--server", self.office.people_url)
        return [str(word) for word in ("desk", "open", self.referral, "--pin", self.office.pin, *account, *options)]

    def begin(self, *options: object, columns: int = 80, lines: int = 24, idle: float = 300) -> Inspector:
        """Open the screening in a terminal and wait for the first page."""
        inspector = Inspector(self.commands, *self.words(*options), columns=columns, lines=lines, idle=idle)
        inspector.see()
        return inspector

    @property
    def secrets(self) -> set[str]:
        """Pieces of what was asked, answered and decided; each is on some page."""
        answered = {word for each in self.opened.answers for word in (each.text_es[:25], each.answer_es[:25])}
        return {word for word in (*answered, "de inmediato", "derivar a", VERDICT) if len(word) > 7}


@pytest.fixture(scope="module")
def desk(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskTerminal]:
    folder = tmp_path_factory.mktemp("office")
    world = World(folder / "server", folder / "people")
    shutil.copytree(founded_world.data, world.data)
    shutil.copytree(founded_world.people, world.people)
    commands = Commands()
    with open_office(world, folder) as office:
        with office.tablet() as tablet:
            jti = tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20)).jti
            assert tablet.sync().waiting == 0
        with office.desk("proteccion-17") as session:
            listed = session.list_referrals("17-protection", "training")
            referral = next(each["id"] for each in listed if each["jti"] == jti)
            opened = session.open_screening(referral)
        yield DeskTerminal(office, referral, opened, commands)
    commands.close()


def outside(written: str) -> str:
    """What a terminal keeps after the command: all that was written outside its second screen, without colours."""
    return ESCAPES.sub("", re.sub(re.escape(ENTER) + ".*?" + re.escape(LEAVE), "", written, flags=re.DOTALL))


def keeps_nothing(desk: DeskTerminal, inspector: Inspector) -> bool:
    """True if no piece of the screening is left outside the second screen, and if that screen was left and cleared."""
    left = outside(inspector.written)
    return CLEAR + LEAVE in inspector.written and not any(word in left for word in desk.secrets)


def whole_text(inspector: Inspector) -> str:
    """Read every part of every page to the end; return all words, in order."""
    found = []
    while LEAVE not in inspector.written:
        found.append(" ".join(MORE.split(inspector.read_to_end())))
        inspector.type("")
    return " ".join(" ".join(found).split())


# What stands where


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 15), (200, 60)])
def test_outcome_urgency_place_and_date_are_on_the_first_page(desk: DeskTerminal, columns: int, lines: int) -> None:
    inspector = desk.begin(columns=columns, lines=lines)
    wanted = ("derivar a una evaluación (positive, T1)", "Urgencia: ", "Lugar: Huepetuhe", "Fecha: 20/11/2026")
    places = [inspector.words.find(each) for each in wanted]
    assert -1 not in places, inspector.page
    assert places == sorted(places)
    assert len(inspector.page.splitlines()) <= lines
    inspector.type(".")
    assert inspector.leave() == 0
    assert keeps_nothing(desk, inspector)


@pytest.mark.parametrize(("columns", "lines"), [(40, 15), (120, 40)])
def test_every_answer_and_reason_can_be_read_and_none_stays(desk: DeskTerminal, columns: int, lines: int) -> None:
    inspector = desk.begin(columns=columns, lines=lines)
    text = whole_text(inspector)
    assert inspector.leave() == 0
    for each in desk.opened.answers:
        assert " ".join(each.text_es.split()) in text
        assert " ".join(each.answer_es.split()) in text
    assert all(" ".join(sentence.split()) in text for sentence in desk.opened.assessment.why)
    assert VERDICT in text
    assert keeps_nothing(desk, inspector)


def test_the_reader_can_go_back_to_an_earlier_page(desk: DeskTerminal) -> None:
    inspector = desk.begin()
    first = inspector.page
    inspector.read_to_end()
    assert "Por qué" in inspector.type("")
    assert inspector.type("<") == first
    inspector.type(".")
    inspector.leave()


# Nothing stays


ENDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]
ENDS += [signal.SIGABRT, signal.SIGXCPU, signal.SIGVTALRM, signal.SIGPIPE, signal.SIGPROF, signal.SIGTRAP]


@pytest.mark.parametrize("end", [*ENDS, signal.SIGRTMIN, "\x03", "\x04"])
def test_no_answer_stays_in_the_terminal_however_the_reading_ends(
    desk: DeskTerminal, end: signal.Signals | str
) -> None:
    inspector = desk.begin()
    if isinstance(end, str):
        inspector.send(end)
    else:
        inspector.end(end)
    inspector.leave()
    assert keeps_nothing(desk, inspector)


def test_a_killed_reading_leaves_no_answer_in_the_terminals_history(desk: DeskTerminal) -> None:
    inspector = desk.begin()
    inspector.kill()
    before = inspector.written.partition(ENTER)[0]
    assert not any(word in before for word in desk.secrets)
    assert LEAVE not in inspector.written, "all that was shown is on the second screen, which has no history"


@pytest.mark.parametrize("how", ["stopped output", "stopped by Ctrl-S"])
def test_a_frozen_terminal_hides_nothing_from_the_end_of_a_reading(desk: DeskTerminal, how: str) -> None:
    inspector = desk.begin()
    if how == "stopped output":
        inspector.stop_output()
    else:
        inspector.allow_ctrl_s()
        inspector.send("\x13")
    inspector.end(signal.SIGTERM)
    inspector.leave()
    assert keeps_nothing(desk, inspector)


def test_ctrl_s_does_not_keep_the_screening_on_the_screen(desk: DeskTerminal) -> None:
    inspector = desk.begin()
    before, usual = len(inspector.written) - 1, inspector.flags[0] | termios.IXON
    inspector.send("\x13!")
    assert not any(word in inspector.see_calendar(after=before) for word in desk.secrets)
    inspector.press("!")
    inspector.type(".")
    wait_until(lambda: inspector.flags[0] == usual, "Ctrl-S works again afterwards")
    assert inspector.leave() == 0


def test_a_second_signal_does_not_stop_the_clearing(desk: DeskTerminal) -> None:
    inspector = desk.begin()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        inspector.end(number)
    inspector.leave()
    assert keeps_nothing(desk, inspector)


def test_the_screen_is_hidden_after_five_minutes_without_a_key() -> None:
    assert PrivateTerminal.idle == 5 * 60


@pytest.mark.parametrize("key", ["!", "\x1b", "\x1a", signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT])
def test_the_screening_is_hidden_by_one_key_and_by_a_stop_signal(desk: DeskTerminal, key: str | signal.Signals) -> None:
    inspector = desk.begin()
    before = len(inspector.written) - 1
    if isinstance(key, str):
        inspector.send(key)
    else:
        inspector.end(key)
    hidden = inspector.see_calendar(after=before)
    assert not any(word in hidden for word in desk.secrets)
    assert "Urgencia" in inspector.press("!")
    inspector.type(".")
    assert inspector.leave() == 0


def test_the_screening_is_hidden_when_no_key_is_pressed_for_a_while(desk: DeskTerminal) -> None:
    inspector = Inspector(desk.commands, *desk.words(), idle=0.2)
    assert not any(word in inspector.see_calendar() for word in desk.secrets)
    inspector.end(signal.SIGTERM)
    inspector.leave()
    assert keeps_nothing(desk, inspector)


# Outside a terminal


def test_answers_leave_the_second_screen_only_when_a_flag_says_so(desk: DeskTerminal) -> None:
    refused = CliRunner().invoke(main, desk.words())
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--plain" in refused.stderr
    printed = CliRunner().invoke(main, desk.words("--plain"))
    assert printed.exit_code == 0
    lines = [line for line in printed.stdout.splitlines() if line]
    assert [line.split(":")[0] for line in lines[2:5]] == ["Urgencia", "Lugar", "Fecha"]
    assert all(" ".join(each.answer_es.split()) in " ".join(printed.stdout.split()) for each in desk.opened.answers)
    assert '"place": "' in CliRunner().invoke(main, desk.words("--json")).stdout


# Forgery


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_value_of_a_tablet_can_look_like_a_verdict_of_the_desk(desk: DeskTerminal, width: int) -> None:
    for value in (
        VERDICT,
        f"no\n{VERDICT}",
        f"no\r\n\x1b[32m{VERDICT}",
        f"no{' ' * 300}{VERDICT}",
        f"{'x ' * width}{VERDICT}",
        f"no\u2028{VERDICT}",
        f"[green]{VERDICT}[/]",
        f"no\x85\u202e{VERDICT}",
    ):
        answer = replace(desk.opened.answers[0], text_es=value, answer_es=value, text=value)
        lied = replace(
            desk.opened,
            answers=(answer,),
            differences=(Difference("tier", value, value),),
            device=value,
            title=value,
            outcome=value,
            urgency=value,
            place=value,
            referral={"route": {"taken": value}},
        )
        console = SafeConsole(width=width, force_terminal=True)
        with console.capture() as captured:
            print_screenings(console, [lied])
        plain = re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).split("\n")
        assert [line for line in plain if line.startswith(VERDICT.split()[0])] == [], value
        assert not set("".join(plain)) & set("\r\x1b\u2028\x85\u202e")


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("sign", ["\u0903", "\U0001f3fb", "\u1161", "\U0001f1f5", "\U000e0100", "a\u0301"])
def test_no_sealed_sign_pushes_words_to_where_a_verdict_stands(desk: DeskTerminal, sign: str, columns: int) -> None:
    value = sign * (columns - 4) + VERDICT
    answer = replace(desk.opened.answers[0], text_es=value, answer_es=value, text=value)
    lied = replace(desk.opened, answers=(answer,), differences=(Difference("tier", value, value),), device=value)
    console = SafeConsole(width=columns, force_terminal=True)
    with console.capture() as captured:
        print_screenings(console, [lied])
    wraps = len(sign) == 1  # Accents on letters stay. Only the page keeps a terminal without accents from wrapping.
    shown = rows(captured.get() if wraps else f"\x1b[?7l{captured.get()}", columns)
    assert [row for row in shown if row.startswith("Recalculado")] == []


@pytest.mark.parametrize("sign", ["\u0903", "a\u0301"])
def test_a_sealed_answer_forges_no_verdict_on_a_real_page(
    desk: DeskTerminal, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = Engine.write_instance

    def forge(engine: Engine, *given: object, **options: object) -> bytes:
        xml = truly(engine, *given, **options).decode()  # type: ignore[arg-type]
        changed, count = re.subn("<sector>[^<]*</sector>", f"<sector>{sign * 76}{VERDICT}</sector>", xml, count=1)
        assert count
        return changed.encode()

    monkeypatch.setattr(Engine, "write_instance", forge)
    with desk.office.tablet(f"forging-{len(sign)}") as tablet:
        jti = tablet.screen(FORM, answers(STORY[0]), date(2026, 11, 20)).jti
        assert tablet.sync().waiting == 0
    with desk.office.desk("proteccion-17") as session:
        listed = session.list_referrals("17-protection", "training")
        referral = next(each["id"] for each in listed if each["jti"] == jti)
    inspector = replace(desk, referral=referral).begin()
    whole_text(inspector)
    assert inspector.leave() == 0
    shown = rows(inspector.written, 80)
    assert any(sign in row or "\N{REPLACEMENT CHARACTER}" * 60 in row for row in shown)
    assert [row for row in shown if row.startswith("Recalculado")] == []
