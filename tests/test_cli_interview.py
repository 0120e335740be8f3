"""Tests of the terminal interview with the real command: keys, pages, drafts, sealed screenings and power cuts."""

from __future__ import annotations

import re
import shutil
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import World
from screening_forms.engine.evaluator import Engine, load_engine
from screening_forms.engine.interview import Interview
from server.cli.main import main
from server.cli.private_terminal import IDLE_SECONDS
from server.cli.tablet.interview_pages import ShownText, question_page
from server.cli.terminal import now_ms
from support import forms as support_forms
from support.clients import FORM, STORY, Office, answers, compiled, open_office
from support.forms import CATALOGUE_FORMS, wishes
from support.terminal import CLEAR, END, MORE, Commands, Inspector, answer_all, keys_for, question_on_page
from sync.durations import DAY
from sync.envelope import seal
from sync.envelope.seal import new_screening_id
from sync.envelope.verify import parse_envelope
from sync.keys.key_pairs import SealKey
from sync.tablet.client import Tablet
from sync.tablet.drafts import Draft

LANGUAGES = dict(zip(STORY, ("quz", "es", "ayr", "es", "es"), strict=True))
SPOKEN = ("Positivo", "positive", "posible trata", "labour_rights", "derechos de trabajo", "no alcanzan")


@dataclass(frozen=True)
class Field:
    """A prepared tablet folder, the engine of its form, and the desks' secret keys."""

    board: Path
    engine: Engine
    keys: dict[str, SealKey]
    commands: Commands

    def sealed(self, folder: Path) -> list[bytes]:
        """Decrypt every screening in a tablet's outbox."""
        with Tablet(folder) as tablet:
            found = [parse_envelope(kept.raw) for kept in tablet.outbox.envelopes.list_stored()]
        return [seal.open_envelope(each, self.keys[each.header.kid]).instance for each in found]

    def as_sealed(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the values that a desk reads from a screening with these answers."""
        return self.engine.read_instance(self.engine.write_instance(self.engine.run(given)))

    def begin(
        self, folder: Path, *options: object, language: str = "es", columns: int = 80, lines: int = 24
    ) -> Inspector:
        """Start an interview and wait for the first question."""
        words = ("device", "screen", FORM, "--tablet", folder, "--language", language, *options)
        inspector = Inspector(self.commands, *words, columns=columns, lines=lines)
        inspector.see()
        return inspector


@pytest.fixture(scope="module")
def field(founded_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("office")
    world = World(folder / "server", folder / "people")
    shutil.copytree(founded_world.data, world.data)
    shutil.copytree(founded_world.people, world.people)
    commands = Commands()
    with open_office(world, folder) as office:
        office.tablet("board").close()
        with office.desk("nacional") as desk:
            keys = unwrapped(desk.staff.me, desk.staff.seal_key())
    yield Field(folder / "board", load_engine(Office.version("1").xform), keys, commands)
    commands.close()


def unwrapped(me: Any, member: SealKey) -> dict[str, SealKey]:
    """Decrypt a person's keyrings; return them by key id."""
    names = me["person"]["person"]
    return {
        each["kid"]: seal.unwrap_seed(
            each["wrapped"], member, keyring=each["keyring"], epoch=each["epoch"], member_id=names
        )
        for each in me["keyrings"]
    }


@pytest.fixture
def folder(field: Field, tmp_path: Path) -> Path:
    """A copy of the prepared tablet folder."""
    return Path(shutil.copytree(field.board, tmp_path / "tablet"))


def to_question(field: Field, inspector: Inspector, name: str, given: dict[str, Any]) -> None:
    """Answer questions until the question `name` is shown."""
    while (node := question_on_page(field.engine, inspector)).name != name:
        inspector.type(keys_for(field.engine, node, given))


# The whole interview


@pytest.mark.parametrize("story", STORY)
def test_an_interview_seals_the_same_bytes_as_a_file_of_the_same_answers(
    field: Field, folder: Path, story: str
) -> None:
    given, language = answers(story), LANGUAGES[story]
    inspector = field.begin(folder, language=language)
    answer_all(field.engine, inspector, given | {"a_salvo": ""}, language)
    inspector.type("sellar")
    assert "Sellada con el número 1" in inspector.page
    assert not any(word in inspector.written for word in SPOKEN), "the outcome is shown only on request"
    inspector.type("")
    assert inspector.leave() == 0
    with Tablet(folder) as tablet:
        tablet.screen(FORM, given, date(2026, 11, 21))
        assert tablet.drafts.list_all() == ()
    by_hand, by_file = field.sealed(folder)
    assert by_hand == by_file


def test_the_outcome_is_shown_on_request_and_then_cleared(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, answers() | {"a_salvo": ""})
    assert "posible trata" not in inspector.written
    inspector.type("sellar")
    assert "posible trata" in inspector.type("ver")
    assert "posible trata" not in inspector.type("")
    inspector.leave()
    assert inspector.written.rpartition(CLEAR)[2].startswith("\x1b[?1049lSellada con el número 1")
    assert inspector.written.startswith(f"\x1b[?1049h\x1b[?7l{CLEAR}"), (
        "the first page already uses the alternate screen"
    )
    assert "\x1b]" not in inspector.written, "the command sets no window title"


@pytest.mark.parametrize("name", ["small", *CATALOGUE_FORMS])
def test_every_relevant_question_is_asked_once_and_going_back_changes_nothing(name: str) -> None:
    form, draws = load_engine(support_forms.compiled(name).xform), Random("turns")
    for _ in range(3):
        wished, now = wishes(form, draws), Interview(form)
        asked = []
        while node := now.question:
            offered = {choice.code for choice in now.choices(node)}
            wish = wished.get(node.name, "")
            fits = not node.choices or set(wish.split()) <= offered
            text = wish if fits and wish else next(iter(offered), "") if now.is_required(node) else ""
            asked.append(node.name)
            now = now.answer(text)
            again = now.go_back(draws.randint(1, 5))
            assert again.question
            assert again.answer(now.answers.get(again.question.name, "")) == now
        assert len(asked) == len(set(asked))
        assert set(asked) == {node.name for node in form.questions if node.name in now.filled.relevant}
        assert form.run(now.answers) == now.filled
        assert now.filled.missing == ()


def test_the_next_question_appears_within_50_ms(field: Field) -> None:
    """Measures CPU time of this thread, so that other load on the machine does not count."""
    given, now, took = answers(), Interview(field.engine), []
    while node := now.question:
        begun = time.thread_time()
        question_page(compiled(), now, node, "quz", "", frozenset())
        value = given.get(node.name, "")
        now = now.answer(" ".join(value) if isinstance(value, list) else str(value))
        assert now.filled
        took.append(time.thread_time() - begun)
    assert statistics.median(took) < 0.05


# Answers


def test_an_invalid_line_shows_a_hint_and_the_same_question_again(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    for wrong in ("9", "1" * 5000, "١", "0", "si", "1 2", "\x1b[A", "", "-1"):
        assert "¿Hay peligro ahora para esta persona?" in inspector.type(wrong)
        assert "Escriba" in inspector.page
    assert "Esta pregunta es necesaria" in inspector.type("-")
    given = answers()
    to_question(field, inspector, "horas", given)
    for wrong in ("doce", "1.5", "12,5", "١٢", "+12", "1_2", "9" * 5000):
        inspector.type(wrong)
        assert question_on_page(field.engine, inspector).name == "horas"
        assert "número entero" in inspector.words
    inspector.type("12")
    assert "Una semana tiene 7 días." in inspector.type("8")
    assert question_on_page(field.engine, inspector).name == "dias"


def test_a_constraint_message_is_in_the_language_of_the_interview(field: Field, folder: Path) -> None:
    inspector = field.begin(folder, language="quz")
    given = answers()
    while (node := question_on_page(field.engine, inspector, "quz")).name != "falso_trab":
        inspector.type(keys_for(field.engine, node, given))
    assert "borrador sin revisar" in inspector.words
    codes = list(node.choices)
    inspector.type(f"{codes.index('none') + 1},{codes.index('job') + 1}")
    said = node.constraint_message["quz"].removeprefix("[borrador] ")
    assert f"{said} [borrador]" in inspector.words


def test_every_question_of_the_list_can_be_refused(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    needed = ("peligro", "a_solas", "privado", "seguro_ahora", "interprete", "consiente", "edad", "region", "distrito")
    answer_all(field.engine, inspector, {name: given[name] for name in (*needed, "tipo_lugar", "deriva")})
    assert inspector.seal() == 0
    [instance] = field.sealed(folder)
    said = field.engine.read_instance(instance)
    assert (said["deuda"], said["golpes"], said["sexo"]) == ("no_answer",) * 3
    assert "idioma" not in said, "a list without the choice no_answer stays blank"


def test_a_changed_answer_deletes_dependent_answers_after_a_confirmation(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "recluta", given)
    inspector.type("<<<<")
    assert question_on_page(field.engine, inspector).name == "dinero"
    inspector.type("")
    assert question_on_page(field.engine, inspector).name == "recluta", (
        "an unchanged answer returns to the question before going back"
    )
    inspector.type("<3")
    assert question_on_page(field.engine, inspector).name == "deuda"
    told = inspector.type("2")
    assert "se borran" in told
    assert "¿Qué pasa con esa deuda?" in told
    inspector.type("")
    assert question_on_page(field.engine, inspector).name == "recluta"
    inspector.type("<3")
    inspector.type("2")
    inspector.type("si")
    assert question_on_page(field.engine, inspector).name == "recluta"
    inspector.type("<")
    assert question_on_page(field.engine, inspector).name == "deuda", "an irrelevant question is skipped"
    with_debt = inspector.type("1")
    assert "Más o menos, ¿cuántos soles debe?" in with_debt, "a question that is relevant again is asked again"


def test_the_review_opens_on_request_only_and_leads_to_any_answer(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder, columns=40), answers("2_ananea_es")
    answer_all(field.engine, inspector, given)
    assert "De 18 a 29" not in inspector.page
    for wrong in ("8", "listo", ""):
        assert END in inspector.type(wrong)
    inspector.type("revisar")
    assert "De 18 a 29" in " ".join(inspector.read_to_end().split())
    for wrong in ("9" * 5000, "8" * 17, "٨", "²", "0", "-1", "1_0"):
        inspector.type(wrong)
        assert "Escriba el número de una respuesta" in " ".join(inspector.read_to_end().split())
    inspector.type("9")
    node = question_on_page(field.engine, inspector)
    assert "De 18 a 29" not in inspector.page.partition("1 ")[0]
    inspector.type("3")
    assert question_on_page(field.engine, inspector).name == "a_salvo", "after a correction, guidance needs it again"
    answer_all(field.engine, inspector, given)
    inspector.type("revisar")
    inspector.read_to_end()
    inspector.type("")
    assert END in inspector.page
    inspector.seal()
    [instance] = field.sealed(folder)
    assert field.engine.read_instance(instance)[node.name] == list(node.choices)[2]


# Stopping


@pytest.mark.parametrize("agreed", [True, False])
def test_a_stopped_interview_asks_for_danger_and_help_and_then_seals(field: Field, folder: Path, agreed: bool) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "documento", given)
    assert "2 que la persona puede saltar" in " ".join(inspector.type(".").split())
    inspector.type("2")
    asked = []
    while END not in inspector.page:
        node = question_on_page(field.engine, inspector)
        asked.append(node.name)
        inspector.type(keys_for(field.engine, node, {"deriva": "yes"} if agreed else {}))
    assert asked[:5] == ["nota_cierre", "peligro_hoy", "nota_ayuda", "nota_ayuda_dec", "deriva"]
    assert "seguir" in inspector.words
    inspector.type("sellar")
    guidance = inspector.type("ver")
    assert ("no es un no" in guidance) is not agreed
    inspector.type("")
    assert inspector.leave() == 0
    [instance] = field.sealed(folder)
    said = field.engine.read_values(instance)
    assert (said["deriva"], bool(said.get("queue_kinds"))) == (("yes", True) if agreed else ("no_answer", False))


def test_a_stopped_interview_asks_the_required_questions_and_may_go_on(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "edad", given)
    assert "4 preguntas necesarias" in inspector.type(".")
    inspector.type("2")
    answer_all(field.engine, inspector, given)
    assert "seguir hace las demás preguntas" in inspector.words
    inspector.type("seguir")
    assert question_on_page(field.engine, inspector).name == "sexo"
    answer_all(field.engine, inspector, given)
    assert "seguir" not in inspector.words
    inspector.seal()
    [instance] = field.sealed(folder)
    assert field.engine.read_instance(instance) == field.as_sealed(given)


def test_a_draft_kept_while_stopping_still_asks_for_danger_and_help(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "documento", given)
    inspector.type(".")
    inspector.type("2")
    inspector.kill()
    again = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    again.see()
    again.type("1")
    answer_all(field.engine, again, {"peligro_hoy": "no", "deriva": "yes"})
    again.seal()
    said = field.engine.read_values(field.sealed(folder)[0])
    assert (said["peligro_hoy"], said["deriva"], bool(said["queue_kinds"])) == ("no", "yes", True)


def test_an_interview_that_was_cut_off_can_go_on_or_stop(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "documento", given)
    inspector.end(signal.SIGHUP)
    inspector.leave()
    again = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    again.see()
    again.type("1")
    assert question_on_page(field.engine, again).name == "documento"
    again.type(".")
    again.type("2")
    assert question_on_page(field.engine, again).name == "nota_cierre"
    again.kill()


def test_a_destroyed_interview_leaves_nothing(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    to_question(field, inspector, "edad", answers())
    assert list((folder / "drafts").iterdir())
    inspector.type(".")
    inspector.type("3")
    inspector.type("borrar")
    assert inspector.leave() == 0
    assert list((folder / "drafts").iterdir()) == []
    assert field.sealed(folder) == []


def test_a_draft_continues_at_its_question_and_the_list_shows_no_answer(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "sector", given)
    inspector.send("\x03")
    assert "Parar la conversación" in inspector.see(after=inspector.written.rfind(CLEAR))
    inspector.type("1")
    assert inspector.leave() == 0
    assert "1 drafts" in CliRunner().invoke(main, ["device", "status", "--tablet", str(folder)]).stdout
    again = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    page = again.see()
    assert "Conversación sobre trabajo y vida, empezada el" in page
    assert not any(word in page for word in ("Ananea", "18 a 29", "Mujer", "Hombre"))
    assert "Escriba un número" in again.type("7")
    again.type("1")
    assert question_on_page(field.engine, again).name == "sector"
    answer_all(field.engine, again, given)
    again.seal()
    assert field.engine.read_instance(field.sealed(folder)[0]) == field.as_sealed(given)


# Safety


def test_one_key_hides_the_screen_and_the_same_key_shows_it_again(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "golpes", given)
    for key in ("!", "\x1b", "\x1a"):
        hidden = inspector.press(key)
        assert "lu ma mi ju vi" in hidden
        assert "golpe" not in hidden.lower()
        assert "lu ma mi" in inspector.page
        inspector.press("!")
        assert question_on_page(field.engine, inspector).name == "golpes"


def test_the_screen_hides_itself_after_the_idle_time(field: Field, folder: Path) -> None:
    words = ("device", "screen", FORM, "--tablet", folder, "--language", "es")
    assert "lu ma mi ju vi" in Inspector(field.commands, *words, idle=0.2).see_calendar()
    assert IDLE_SECONDS == 5 * 60


def test_the_danger_key_leads_to_a_referral_with_the_danger_tier(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "recluta", given)
    assert "Llame ya a la policía" in inspector.type("*")
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "peligro_hoy"
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "a_salvo", "noted danger asks nothing else"
    answer_all(field.engine, inspector, {})
    inspector.seal()
    [instance] = field.sealed(folder)
    assert field.engine.read_values(instance)["tier"] == "danger"


@pytest.mark.parametrize("name", ["peligro_suyo", "a_solas", "interprete", "consiente", "edad"])
def test_before_consent_the_danger_key_notes_danger_of_the_person_at_once(
    field: Field, folder: Path, name: str
) -> None:
    given = answers("2_ananea_es") | ({"consiente": "no"} if name == "edad" else {})
    inspector = field.begin(folder)
    to_question(field, inspector, name, given)
    inspector.type("*")
    assert "1 anota «Sí» en «¿Hay peligro ahora para esta persona?»" in inspector.words
    inspector.type("1")
    assert "Quedó anotado" in inspector.words
    assert question_on_page(field.engine, inspector).name == "edad"
    inspector.type("")
    inspector.kill()
    inspector = again(field, folder)
    inspector.type("1")
    assert "El peligro ya está anotado" in " ".join(inspector.type("*").split())
    inspector.type("1")
    answer_all(field.engine, inspector, given)
    inspector.seal()
    said = field.engine.read_values(field.sealed(folder)[0])
    assert (said["peligro"], said.get("peligro_suyo"), said["tier"]) == ("yes", None, "danger")


def test_a_blank_enter_never_confirms_a_former_no_after_the_danger_key(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es") | {"peligro_hoy": "no"}
    to_question(field, inspector, "deriva", given)
    assert "1 abre la pregunta del peligro" in " ".join(inspector.type("*").split())
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "peligro_hoy"
    assert "dejarla como está" not in inspector.words
    assert "Escriba una respuesta" in inspector.type("")
    inspector.type(".")
    inspector.type("2")
    while question_on_page(field.engine, inspector).name != "peligro_hoy":
        inspector.type("")
    inspector.type("1")
    answer_all(field.engine, inspector, {})
    inspector.seal()
    assert field.engine.read_values(field.sealed(folder)[0])["tier"] == "danger"


def test_signs_seen_of_an_accompanied_person_are_asked_after_a_stop(field: Field, folder: Path) -> None:
    given = answers("2_ananea_es") | {"interprete": "related", "acompana": ["answers"], "edad": "30_59"}
    inspector, asked = field.begin(folder), []
    to_question(field, inspector, "interprete", given)
    inspector.type(".")
    inspector.type("2")
    while END not in inspector.page:
        node = question_on_page(field.engine, inspector)
        asked.append(node.name)
        inspector.type(keys_for(field.engine, node, given))
    assert asked[:5] == ["interprete", "nota_parar", "acompana", "edad", "region"]
    inspector.seal()
    said = field.engine.read_values(field.sealed(folder)[0])
    assert (said["acompana"], said["queue_kinds"]) == ("answers", "review")


def test_the_danger_key_works_on_every_screen_of_an_interview(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers("2_ananea_es")
    to_question(field, inspector, "recluta", given)

    def call_from(*lines: str) -> None:
        for line in lines:
            inspector.type(line)
        before = inspector.page
        assert "Llame ya a la policía" in inspector.type("*"), before
        assert "Llame ya a la policía" in inspector.type("*")
        assert inspector.type("") == before, "the inspector returns to the same page"

    call_from()
    call_from("?")
    call_from("", "/")
    call_from("1", ".")
    call_from("3")
    call_from("", "", "<9")
    inspector.type("")
    answer_all(field.engine, inspector, given)
    call_from()
    call_from("revisar")
    inspector.read_to_end()
    inspector.type("")
    inspector.type("sellar")
    sealed = inspector.type("*")
    assert not re.search(r"\b1 (anota|abre|termina)", sealed), "a sealed interview cannot be changed"
    inspector.type("")
    call_from()
    call_from("ver")
    inspector.type("")
    assert inspector.leave() == 0


def test_danger_can_be_noted_while_a_correction_is_being_confirmed(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers()
    to_question(field, inspector, "recluta", given)
    inspector.type("<3")
    assert "se borran" in inspector.type("2")
    assert "Llame ya a la policía" in inspector.type("*")
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "peligro_hoy"
    inspector.type("1")
    answer_all(field.engine, inspector, {})
    inspector.seal()
    said = field.engine.read_values(field.sealed(folder)[0])
    assert (said["tier"], said["deuda"]) == ("danger", "yes")


def test_the_danger_key_works_in_the_list_of_drafts_and_in_the_choice_of_a_language(field: Field, folder: Path) -> None:
    with Tablet(folder) as tablet:
        tablet.drafts.save(Draft(new_screening_id(), tablet.version(FORM), now_ms(), now_ms(), "es", {"answers": {}}))
    inspector = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    assert "sin terminar" in inspector.see()
    assert "Llame ya a la policía" in inspector.type("*")
    inspector.type("")
    assert "qué idioma" in inspector.type("nueva")
    assert "Llame ya a la policía" in inspector.type("*")
    assert "qué idioma" in inspector.type("")
    inspector.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_clears_the_screen_and_keeps_the_draft(field: Field, folder: Path, number: signal.Signals) -> None:
    inspector = field.begin(folder)
    to_question(field, inspector, "edad", answers())
    inspector.end(number)
    assert inspector.leave() == 128 + number
    assert inspector.written.endswith(f"{CLEAR}\x1b[?1049l")
    with Tablet(folder) as tablet:
        assert len(tablet.drafts.list_all()) == 1


def test_a_terminal_that_cannot_be_cleared_is_refused(field: Field, folder: Path) -> None:
    words = ["device", "screen", FORM, "--tablet", str(folder)]
    result = CliRunner(env={"TERM": "dumb"}).invoke(main, words)
    assert result.exit_code == 2
    assert "no puede borrar su pantalla" in result.stderr


def test_no_file_of_the_tablet_has_a_readable_answer_during_an_interview(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    to_question(field, inspector, "documento", answers())
    for path in folder.rglob("*"):
        body = path.read_bytes() if path.is_file() else b""
        assert not any(word in body for word in (b"73519", b'"edad":"30_59"', b"<edad>30_59<"))
    inspector.kill()


# Power cuts


def test_kill_9_at_random_moments_loses_at_most_the_answer_being_typed(field: Field, folder: Path) -> None:
    given, draws = answers(), Random(20261121)
    inspector = field.begin(folder)
    for _ in range(6):
        for _ in range(draws.randint(3, 12)):
            node = question_on_page(field.engine, inspector)
            inspector.type(keys_for(field.engine, node, given))
        expected = question_on_page(field.engine, inspector)
        if draws.random() < 0.5:
            inspector.send(f"{keys_for(field.engine, expected, given)}\r")
            time.sleep(draws.uniform(0, 0.02))
        inspector.kill()
        inspector = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
        inspector.see()
        inspector.type("1")
        with_it = field.engine.questions[field.engine.questions.index(expected) :]
        assert question_on_page(field.engine, inspector) in with_it
    answer_all(field.engine, inspector, given)
    inspector.seal()
    assert field.engine.read_instance(field.sealed(folder)[0]) == field.as_sealed(given)


def test_an_interview_continues_when_drafts_cannot_be_saved(field: Field, folder: Path) -> None:
    (folder / "drafts").touch()
    inspector = field.begin(folder)
    assert "No se pudo guardar el borrador" in inspector.type("2")
    inspector.type(".")
    assert "No se pudo guardar el borrador" in inspector.type("1"), (
        "the inspector must know that the draft was not saved"
    )
    inspector.type("")
    answer_all(field.engine, inspector, answers("4_inambari_minor"))
    assert inspector.seal() == 0
    assert len(field.sealed(folder)) == 1


def test_a_power_cut_between_sealing_and_deleting_the_draft_seals_once(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, answers())
    [left] = (folder / "drafts").glob("*.draft")
    body = left.read_bytes()
    inspector.type("sellar")
    inspector.kill()
    left.write_bytes(body)
    with Tablet(folder) as tablet:
        assert tablet.drafts.list_all() == ()
    assert len(field.sealed(folder)) == 1


def test_a_draft_keeps_its_own_form_version_after_a_newer_one_arrived(
    world: World, tmp_path: Path, field: Field
) -> None:
    with open_office(world, tmp_path) as office, office.tablet() as tablet:
        old = tablet.version(FORM)
        kept = drafted(tablet, old)
        office.publish("2")
        tablet.pull()
        assert tablet.version(FORM) != old
        done = tablet.complete(old, answers(), date(2026, 11, 21), kept)
        assert (done.sha, tablet.sync().receipts[0].outcome) == (old, "stored")
        office.publish("3")
        tablet.pull()
        assert f"bundle/{old}" not in tablet.outbox.documents.list_names(), "a version without drafts is deleted"


def drafted(tablet: Tablet, sha: str) -> str:
    """Save a draft without answers; return its id."""
    made = Draft(new_screening_id(), sha, 1, 1, "es", {"answers": {}})
    tablet.drafts.save(made)
    return made.id


def test_an_old_draft_is_destroyed_only_days_after_a_warning_on_a_terminal(field: Field, folder: Path) -> None:
    day, status = DAY, ("device", "status", "--tablet", str(folder))
    old = Draft(new_screening_id(), "a" * 64, 1, now_ms() - 20 * day, "es", {"answers": {}})
    with Tablet(folder) as tablet:
        tablet.drafts.save(old)
    for _ in range(2):  # A warning in a file does not count: no person has seen it.
        assert "Si nadie la continúa, se borra" in CliRunner().invoke(main, status).stderr
    inspector = Inspector(field.commands, *status)
    assert inspector.leave() == 0
    assert "Si nadie la continúa, se borra" in " ".join(inspector.written.split())
    with Tablet(folder) as tablet:
        [warned] = tablet.drafts.list_all()
        assert warned.warned > 0
        tablet.drafts.save(replace(warned, warned=warned.warned - 4 * day))
    assert "se borró el borrador" in CliRunner().invoke(main, status).stderr
    with Tablet(folder) as tablet:
        assert tablet.drafts.list_all() == ()


def test_a_draft_without_its_form_version_is_kept_with_a_message(field: Field, folder: Path) -> None:
    with Tablet(folder) as tablet:
        tablet.drafts.save(Draft(new_screening_id(), "a" * 64, now_ms(), now_ms(), "es", {"answers": {}}))
    inspector = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    inspector.see()
    assert "El borrador se conserva" in " ".join(inspector.type("1").split())
    inspector.type("")
    assert inspector.leave() == 0
    assert len(list((folder / "drafts").iterdir())) == 1


# Guidance


def sealed_page(field: Field, folder: Path, given: dict[str, Any]) -> Inspector:
    """Hold an interview and seal it; the guidance was not shown yet."""
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, given | {"a_salvo": ""})
    assert "Sellada con el número" in inspector.type("sellar")
    return inspector


def again(field: Field, folder: Path) -> Inspector:
    """Start the command again."""
    inspector = Inspector(field.commands, "device", "screen", FORM, "--tablet", folder)
    inspector.see()
    return inspector


def test_guidance_is_shown_after_a_power_cut_until_it_was_shown_to_its_end(field: Field, folder: Path) -> None:
    sealed_page(field, folder, answers()).kill()
    [left] = (folder / "drafts").iterdir()
    assert not any(word in left.read_bytes() for word in (b"protection", b"guidance_", b"positive"))
    inspector = again(field, folder)
    assert "orientación sin leer" in inspector.page
    assert not any(word in inspector.page for word in SPOKEN)
    assert "Llame ya a la policía" in inspector.type("*"), "whom to call is known before the interview is"
    inspector.type("")
    assert "posible trata" in inspector.type("ver")
    inspector.kill()
    inspector = again(field, folder)
    assert "orientación sin leer" in inspector.page, "the page was open, but its end was not confirmed"
    inspector.type("ver")
    inspector.type("")
    assert "orientación" not in inspector.page
    assert [*(folder / "drafts").iterdir()] == []
    inspector.kill()
    assert "orientación" not in again(field, folder).page


def test_guidance_that_was_put_off_is_offered_at_each_start(field: Field, folder: Path) -> None:
    inspector = sealed_page(field, folder, answers("4_inambari_minor"))
    inspector.type("")
    assert inspector.leave() == 0
    for _ in range(2):
        inspector = again(field, folder)
        assert "orientación sin leer" in inspector.page
        assert "idioma" in inspector.type("")
        inspector.type("")
        assert inspector.leave() == 0


def test_a_power_cut_around_the_sealing_loses_neither_screening_nor_guidance(field: Field, folder: Path) -> None:
    inspector, draws = field.begin(folder), Random("cut")
    answer_all(field.engine, inspector, answers() | {"a_salvo": ""})
    for _ in range(4):
        inspector.send("sellar\r")
        time.sleep(draws.uniform(0, 0.05))
        inspector.kill()
        inspector = again(field, folder)
        if field_is_sealed(folder):
            break
        inspector.type("1")
        answer_all(field.engine, inspector, {})
    else:
        inspector.type("sellar")
        inspector.kill()
        inspector = again(field, folder)
    assert "orientación sin leer" in inspector.page
    assert "posible trata" in inspector.type("ver")
    inspector.kill()
    assert len(field.sealed(folder)) == 1


def field_is_sealed(folder: Path) -> bool:
    """True if no draft is left."""
    return not list((folder / "drafts").glob("*.draft"))


def test_guidance_that_was_read_before_the_sealing_is_not_offered_again(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    answer_all(field.engine, inspector, answers() | {"a_salvo": "OK"})
    inspector.type("sellar")
    inspector.kill()
    assert "orientación" not in again(field, folder).page


def test_guidance_is_asked_for_again_after_a_power_cut_before_the_sealing(field: Field, folder: Path) -> None:
    inspector, given = field.begin(folder), answers() | {"a_salvo": "OK"}
    answer_all(field.engine, inspector, given)
    inspector.kill()
    inspector = again(field, folder)
    inspector.type("1")
    assert question_on_page(field.engine, inspector).name == "a_salvo"
    inspector.type("ok")
    assert "posible trata" in inspector.page
    inspector.kill()


# Small windows


@pytest.mark.parametrize("language", ["es", "quz"])
def test_enter_and_answers_pass_no_text_that_was_not_on_a_small_screen(
    field: Field, folder: Path, language: str
) -> None:
    given = given_texts(answers() | {"a_salvo": ""})
    inspector, now, paged = field.begin(folder, language=language, columns=40, lines=15), Interview(field.engine), 0
    while node := now.question:
        shown = inspector.page
        if MORE.search(shown):
            paged += 1
            assert PART.search(inspector.type("1")), "a number is no answer before the end was shown"
            shown = f"{shown} {inspector.read_to_end()}"
        assert len(inspector.page.splitlines()) <= 15
        words = set(shown.split())
        for texts in (node.label, node.hint, *(choice.label for choice in now.choices(node))):
            text = texts.get(language, "")
            said = text if text not in ("", "-") else texts.get("es", "")
            assert {word for word in said.removeprefix("[borrador] ").split() if len(word) < 30} <= {
                word.strip("()") if word not in said else word for word in words
            } | words, (node.name, said)
        inspector.type(keys_for(field.engine, node, answers() | {"a_salvo": ""}))
        refused = "no_answer" if "no_answer" in node.choices else ""
        now = now.answer(given.get(node.name) or refused)
    assert END in inspector.page
    assert paged > 5
    inspector.kill()


PART = re.compile(r"\(\d+ de \d+\)")


def given_texts(given: dict[str, Any]) -> dict[str, str]:
    return {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}


def test_what_is_typed_stays_visible_in_a_small_window_and_after_a_resize(field: Field, folder: Path) -> None:
    inspector = field.begin(folder, columns=40, lines=15)
    to_question(field, inspector, "edad", answers())
    inspector.send("3" * 120 + "4")
    assert re.match(r"\d+ de", inspector.see_typed("3" * 36 + "4"))
    page = inspector.resize(30, 12)
    assert len(page.splitlines()) <= 12
    assert page.endswith("> " + "3" * 26 + "4")
    inspector.kill()


def test_a_resize_before_the_end_was_shown_begins_the_page_again(field: Field, folder: Path) -> None:
    inspector = field.begin(folder, columns=40, lines=11)
    to_question(field, inspector, "nota_permiso", answers())
    inspector.type("<")
    inspector.read_to_end()
    inspector.type("")
    first = inspector.page
    assert MORE.search(first)
    inspector.type("")
    assert inspector.resize(38, 12).splitlines()[0] == first.splitlines()[0]
    assert "(1 de" in inspector.page
    inspector.resize(100, 40)
    assert not PART.search(inspector.page)
    inspector.kill()


def test_keys_typed_before_a_question_was_on_the_screen_answer_nothing(field: Field, folder: Path) -> None:
    inspector = field.begin(folder)
    inspector.type("2\r1\r1\r1\r1")
    inspector.send("\x7f9\r")
    while "Escriba un número del" not in inspector.page:
        inspector.see(after=inspector.written.rfind(CLEAR))
    assert question_on_page(field.engine, inspector).name == "peligro_suyo"
    inspector.kill()


# Languages


def test_a_text_without_translation_is_marked_spanish_and_a_draft_is_marked_draft() -> None:
    texts = {"es": "Sí", "quz": "[borrador] Arí", "ayr": "-"}
    assert ShownText.of(texts, "quz").marked(all_drafts=False) == "Arí [borrador]"
    assert ShownText.of(texts, "ayr").marked(all_drafts=True) == "Sí (es)"
    assert ShownText.of({"es": "Sí"}, "quz") == ShownText("Sí", "fallback")
    assert ShownText.of(texts, "es") == ShownText("Sí")
