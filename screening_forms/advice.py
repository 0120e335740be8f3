"""Every code that the form checks give, with the advice an author reads, in Spanish and English; used by checks alone.

A code is stable: other programs may rely on it. The words may change; they say what to do, not only what is wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from screening_forms.errors import FormProblem


class Place(Protocol):
    """Where a problem is: a row of a sheet, as the author counts; 0 is the whole sheet."""

    @property
    def sheet(self) -> str: ...

    @property
    def number(self) -> int: ...


@dataclass(frozen=True)
class Cell:
    """A place without a row of the workbook behind it."""

    sheet: str
    number: int = 0


ADVICE: dict[str, tuple[str, str]] = {
    "workbook.unreadable": ("no se puede leer como libro de Excel: {0}", "cannot be read as a workbook: {0}"),
    "workbook.other_file": ("el archivo debe terminar en .xlsx o .md", "the file must end in .xlsx or .md"),
    "workbook.old_excel": (
        "es otro formato (.xls u .ods): guárdelo como .xlsx",
        "this is another format (.xls or .ods): save it as .xlsx",
    ),
    "workbook.encrypted": ("tiene contraseña: guárdelo sin ella", "it has a password: save it without one"),
    "workbook.macros": (
        "tiene macros: guárdelo como .xlsx, sin ellas",
        "it has macros: save it as .xlsx, without them",
    ),
    "workbook.too_large": (
        "es demasiado grande: borre las filas, columnas y hojas vacías del final",
        "it is too large: delete empty rows, columns and sheets at its end",
    ),
    "workbook.too_many_rows": (
        "la hoja tiene más de {0} filas: un formulario así nadie lo puede preguntar",
        "the sheet has more than {0} rows: nobody can ask a form like that",
    ),
    "workbook.no_table": ("no hay ninguna tabla Markdown", "holds no Markdown table"),
    "workbook.not_utf8": ("el archivo no está en UTF-8", "is not in UTF-8"),
    "workbook.control_sign": (
        "quite el signo de control {0} de la línea {1}",
        "remove the control character {0} from line {1}",
    ),
    "workbook.stray_cell": (
        "línea {0}: «{1}» no es una hoja; deje vacía la primera celda de cada fila",
        "line {0}: '{1}' is no sheet; leave the first cell of every row empty",
    ),
    "workbook.sheet_twice": ("la hoja «{0}» está dos veces", "the sheet {0} is there twice"),
    "workbook.sheet_missing": ("falta la hoja «{0}», o está vacía", "the sheet {0} is missing or empty"),
    "workbook.sheet_misspelt": (
        "la hoja «{0}» no se lee; ¿quiso decir «{1}»?",
        "the sheet '{0}' is not read; did you mean '{1}'?",
    ),
    "sheet.hidden": ("la hoja está oculta: muéstrela, o bórrela", "the sheet is hidden: show it, or delete it"),
    "row.hidden": (
        "la fila está oculta o filtrada, y sí cuenta: muéstrela, o bórrela",
        "the row is hidden or filtered out, and counts all the same: show it, or delete it",
    ),
    "column.hidden": (
        "la columna está oculta, y sí cuenta: muéstrela, o bórrela",
        "the column is hidden, and counts all the same: show it, or delete it",
    ),
    "cell.merged": (
        "las celdas {0} están combinadas: sepárelas, y escriba en cada una",
        "the cells {0} are merged: split them, and fill in each",
    ),
    "cell.formula": (
        "es una fórmula: péguela como valor, para que todos lean lo mismo",
        "this is a formula: paste it as a value, so that everybody reads the same",
    ),
    "cell.error": ("Excel puso {0}: escriba el valor", "Excel put {0} here: write the value"),
    "cell.date": (
        "Excel hizo de esto una fecha ({0}): dé a la celda formato de texto y escríbalo otra vez",
        "Excel made a date of this ({0}): format the cell as text and write it again",
    ),
    "cell.decimal": (
        "Excel guarda 1.10 como 1.1: si no es {0}, dé a la celda formato de texto y escríbalo otra vez",
        "Excel keeps 1.10 as 1.1: if it is not {0}, format the cell as text and write it again",
    ),
    "cell.invisible": (
        "tiene un signo invisible ({0}): bórrela y escríbala a mano",
        "it holds an invisible character ({0}): clear it and type it by hand",
    ),
    "cell.line_break": ("quite el salto de línea", "remove the line break"),
    "settings.one_row": (
        "solo cuenta la primera fila de ajustes: borre esta",
        "only the first row of settings counts: delete this one",
    ),
    "settings.missing": ("falta «{0}»: escriba su valor en la fila 2", "'{0}' is missing: write its value in row 2"),
    "settings.bad_value": ("«{0}» no sirve aquí; use: {1}", "'{0}' does not fit here; use: {1}"),
    "settings.forbidden": (
        "quite «{0}»: el formulario no puede enviar ni cifrar datos por su cuenta",
        "remove '{0}': a form may not send or encrypt data on its own",
    ),
    "column.unknown": ("no existe la columna «{0}»{hint_es}", "there is no column '{0}'{hint_en}"),
    "column.missing": ("falta la columna «{0}»", "the column '{0}' is missing"),
    "column.duplicate": ("la columna «{0}» está dos veces", "the column '{0}' is there twice"),
    "column.wrong_case": ("escriba «{1}» en lugar de «{0}»", "write '{1}' instead of '{0}'"),
    "column.media": (
        "quite «{0}»: un formulario no trae archivos; las grabaciones van en la carpeta audio/",
        "remove '{0}': a form brings no files; recordings are in the folder audio/",
    ),
    "column.unknown_language": (
        "la columna «{0}» es de un idioma que settings.languages no nombra; use: {1}",
        "the column '{0}' is of a language that settings.languages does not name; use: {1}",
    ),
    "type.missing": ("falta el tipo de la pregunta", "the question's type is missing"),
    "type.forbidden": (
        "no se permite el tipo «{0}»; se permiten: {1}{hint_es}",
        "'{0}' is not allowed; allowed are: {1}{hint_en}",
    ),
    "type.place": (
        "no se permite el tipo «{0}»: no se guarda dónde está una persona",
        "'{0}' is not allowed: where a person is must not be stored",
    ),
    "type.recording": (
        "no se permite el tipo «{0}»: no se guardan imágenes, voz ni archivos de nadie",
        "'{0}' is not allowed: nobody's image, voice or files are stored",
    ),
    "type.identifies": (
        "no se permite el tipo «{0}»: no se guarda lo que identifica a una persona o su equipo",
        "'{0}' is not allowed: nothing that identifies a person or her device is stored",
    ),
    "type.text_without_reason": (
        "un texto libre puede llevar nombres: use una lista, o escriba en «reason» por qué hace falta",
        "free text may carry names: use a list, or write in 'reason' why there must be one",
    ),
    "type.repeat": (
        "no se permite repetir preguntas («{0}»): el puntaje no sabe contarlas; pregunte una vez, por lo peor",
        "questions cannot be repeated ('{0}'): the score cannot count them; ask once, for the worst",
    ),
    "type.from_file": (
        "«{0}» toma las opciones de un archivo que nadie firma: escríbalas en la hoja «choices»",
        "'{0}' takes its choices from a file that nobody signs: write them in the sheet 'choices'",
    ),
    "type.no_refusal": (
        "«{0}» no se puede dejar sin contestar de verdad: use select_one con «no_answer»",
        "'{0}' cannot really be left unanswered: use select_one with 'no_answer'",
    ),
    "type.or_other": (
        "quite «or_other»: abre un texto libre; ponga una opción «other» en la lista",
        "remove 'or_other': it opens a free text; put a choice 'other' into the list",
    ),
    "name.missing": ("falta el nombre", "the name is missing"),
    "name.bad": (
        "«{0}»: el nombre empieza con letra minúscula y solo lleva minúsculas, cifras y _",
        "'{0}': a name starts with a small letter and has small letters, digits and _ only",
    ),
    "name.duplicate": ("el nombre «{0}» ya está en la fila {1}", "the name '{0}' is already in row {1}"),
    "name.reserved": ("«{0}» es un nombre que pone el programa: elija otro", "'{0}' is ours: choose another name"),
    "group.not_open": ("este end_group no cierra ningún grupo", "this end_group closes no group"),
    "group.not_closed": ("el grupo «{0}» no se cierra", "the group '{0}' is not closed"),
    "group.closes_another": (
        "este end_group dice «{0}» y cierra «{1}»",
        "this end_group says '{0}' and closes '{1}'",
    ),
    "group.empty": ("el grupo «{0}» no tiene preguntas", "the group '{0}' has no questions"),
    "group.no_score": (
        "falta el grupo «score» (begin_group): ahí se escribe el resultado",
        "the group 'score' (begin_group) is missing: the outcome is written there",
    ),
    "label.missing": ("falta el texto en español", "the Spanish text is missing"),
    "text.long_sentence": (
        "una frase tiene {0} palabras; el máximo es 20: pártala en dos",
        "a sentence has {0} words; 20 is the most: split it in two",
    ),
    "text.too_long": (
        "el texto tiene {0} letras; el máximo es {1}: pártalo en dos notas",
        "the text has {0} letters; {1} is the most: split it in two notes",
    ),
    "text.markup": (
        "quite «{0}»: unas tabletas lo muestran, otras lo leen en voz alta",
        "remove '{0}': some tablets show it, others read it aloud",
    ),
    "text.link": ("quite el enlace: la tableta no abre páginas", "remove the link: the tablet opens no pages"),
    "text.reference": (
        "quite ${{...}}: el texto es igual para todos, y se graba en audio",
        "remove ${{...}}: a text is the same for everybody, and recorded as audio",
    ),
    "choice.unknown_list": ("no existe la lista «{0}»{hint_es}", "there is no list '{0}'{hint_en}"),
    "choice.no_list": (
        "falta el nombre de la lista: escriba «{0} lista»",
        "the list's name is missing: write '{0} list'",
    ),
    "choice.unused_list": (
        "ninguna pregunta usa la lista «{0}»",
        "no question uses the list '{0}'",
    ),
    "choice.filter_column": (
        "la hoja «choices» no tiene la columna «{0}»: no se ofrecería ninguna opción{hint_es}",
        "the sheet 'choices' has no column '{0}': no choice would be offered{hint_en}",
    ),
    "choice.case_twin": (
        "«{0}» y «{1}» solo difieren en mayúsculas: elija otro nombre",
        "'{0}' and '{1}' differ in capital letters only: choose another name",
    ),
    "choice.duplicate": ("la opción «{0}» ya está en la fila {1}", "the choice '{0}' is already in row {1}"),
    "choice.bad_name": (
        "«{0}»: el nombre de una opción no lleva espacios ni tildes",
        "'{0}': a choice's name has no blanks and no accents",
    ),
    "choice.unknown_place": (
        "«{0}» no es un código de distrito del INEI",
        "'{0}' is no district code of INEI",
    ),
    "choice.not_refusable": (
        "a la lista «{0}» le falta {1}: toda pregunta que puntúa se puede no contestar",
        "the list '{0}' lacks {1}: every question that scores can be left unanswered",
    ),
    "question.required_note": (
        "quite «required»: un {0} no se contesta, y la entrevista no terminaría nunca",
        "remove 'required': a {0} has no answer, and the interview would never end",
    ),
    "question.appearance": (
        "no se permite la apariencia «{0}»{hint_es}",
        "the appearance '{0}' is not allowed{hint_en}",
    ),
    "question.not_refusable": (
        "quite «required»: toda pregunta que puntúa se puede no contestar",
        "remove 'required': every question that scores can be left unanswered",
    ),
    "reference.unknown": ("no existe la pregunta «{0}»{hint_es}", "there is no question '{0}'{hint_en}"),
    "reference.unknown_choice": (
        "«{0}» no es una opción de «{1}»{hint_es}",
        "'{0}' is no choice of '{1}'{hint_en}",
    ),
    "reference.no_question": (
        "«{0}» no es una pregunta que se responda",
        "'{0}' is no question that is answered",
    ),
    "reference.forward": (
        "«{0}» se pregunta después, en la fila {1}: una condición solo mira hacia atrás",
        "'{0}' is asked later, in row {1}: a condition looks back only",
    ),
    "expression.circle": (
        "«{0}» espera su propio resultado: revise de qué preguntas depende",
        "'{0}' waits for its own result: look at the questions it depends on",
    ),
    "expression.never": (
        "«{0}» no se cumple nunca, sola o dentro de sus grupos: revise «and» y «or»",
        "'{0}' never holds, alone or inside its groups: look at 'and' and 'or'",
    ),
    "expression.curly_quotes": (
        "quite «{0}»: en las condiciones las comillas son rectas, como en 'yes'",
        "remove '{0}': in conditions quotes are straight, as in 'yes'",
    ),
    "expression.function": (
        "no se puede usar «{0}()»: busca fuera del formulario, o cada programa la calcula distinto",
        "'{0}()' cannot be used: it looks outside the form, or programs calculate it differently",
    ),
    "expression.bare_condition": (
        "«{0}» no es una condición; escriba por ejemplo ${{pregunta}} = 'yes'",
        "'{0}' is no condition; write for example ${{question}} = 'yes'",
    ),
    "expression.misplaced": (
        "«{0}»: el punto solo vale en constraint, y un nombre sin ${{...}} solo en choice_filter",
        "'{0}': a dot is for constraint only, and a name without ${{...}} for choice_filter only",
    ),
    "question.no_calculation": ("falta la fórmula en «calculation»", "the formula in 'calculation' is missing"),
    "indicator.unknown": (
        "«{0}» no está en el conjunto {1}{hint_es}",
        "'{0}' is not in the indicator set {1}{hint_en}",
    ),
    "indicator.none": (
        "falta la hoja «indicators», o está vacía: sin ella no hay resultado",
        "the sheet 'indicators' is missing or empty: without it there is no outcome",
    ),
    "indicator.no_when": ("falta la condición «when»", "the condition 'when' is missing"),
    "indicator.unreached": (
        "ninguna fila llega a {0}: cuentan como «no»; si es a propósito, ponga unreached_on_purpose = yes",
        "no row reaches {0}: the outcome counts them as 'no'; if on purpose, set unreached_on_purpose = yes",
    ),
    "settings.profile_not_in_set": (
        "el conjunto {1} no tiene el perfil «{0}»; tiene: {2}",
        "the set {1} has no profile '{0}'; it has: {2}",
    ),
    "policy.not_of_this_set": (
        "la política {0} nombra lo que el conjunto {1} no tiene: {2}",
        "the policy {0} names what the set {1} does not have: {2}",
    ),
    "policy.guidance_missing": (
        "falta la nota «{0}», que la política {1} muestra al final",
        "the note '{0}', which the policy {1} shows at the end, is missing",
    ),
    "route.unknown_field": ("la ruta no tiene el campo «{0}»{hint_es}", "the route has no field '{0}'{hint_en}"),
    "route.duplicate": ("el campo «{0}» ya sale de la fila {1}", "the field '{0}' is already fed by row {1}"),
    "route.not_a_choice": (
        "solo una pregunta select_one puede dar el campo «{0}»: un texto libre no viaja en claro",
        "only a select_one can feed the field '{0}': free values never travel readable",
    ),
    "route.outside_vocabulary": (
        "la opción «{0}» no está en el vocabulario del campo «{1}»{hint_es}",
        "the choice '{0}' is not in the vocabulary of the field '{1}'{hint_en}",
    ),
    "odk.cycle": (
        "las condiciones dan vueltas: cada una espera el resultado de otra ({0})",
        "the conditions go round in a circle: each waits for another's result ({0})",
    ),
    "odk.expression": (
        "ODK no entiende una condición: {0}",
        "ODK does not understand a condition: {0}",
    ),
    "odk.text": (
        "ODK no encuentra un texto: {0}",
        "ODK does not find a text: {0}",
    ),
    "odk.choices": (
        "ODK no acepta una lista de opciones: {0}",
        "ODK does not accept a list of choices: {0}",
    ),
    "odk.invalid": (
        "ODK no acepta el formulario: {0}",
        "ODK does not accept the form: {0}",
    ),
    "odk.not_run": (
        "ODK Validate no terminó, así que nadie sabe si el formulario abre en ODK: {0}",
        "ODK Validate did not finish, so nobody knows whether the form opens in ODK: {0}",
    ),
    "case.none": (
        "falta la hoja «cases»: escriba al menos un caso con sus respuestas y lo que debe salir",
        "the sheet 'cases' is missing: write at least one case with its answers and what must come out",
    ),
    "case.no_outcome": ("falta lo que debe salir en «outcome»", "what must come out in 'outcome' is missing"),
    "case.unknown_question": (
        "«{0}» no es una pregunta que se responda{hint_es}",
        "'{0}' is no question that is answered{hint_en}",
    ),
    "case.bad_answer": (
        "el formulario no acepta «{0}»: {1}",
        "the form does not take '{0}' beside the other answers: see the question's type, choices and conditions",
    ),
    "case.failed": (
        "salió «{0}», no «{1}» (resultado, nivel, cola: {found}): corrija el caso o las reglas",
        "'{0}' came out, not '{1}' (outcome, tier, queue: {found}): put the case or the rules right",
    ),
    "translation.missing": ("falta la traducción a «{0}» de {1}", "{1} has no translation into '{0}'"),
    "translation.none": ("no hay ninguna traducción a «{0}»", "there is no translation into '{0}' at all"),
    "translation.stale": (
        "la traducción a «{0}» de {1} se hizo de otro texto en castellano: revísela",
        "the translation of {1} into '{0}' was made from another Spanish text: review it",
    ),
    "translation.spelling": ("en «{0}», {1}: revise {2}", "in '{0}', {1}: check the spelling of {2}"),
    "translation.unsigned": (
        "la traducción a «{0}» de {1} no está firmada: falta {2} en los comentarios",
        "the translation of {1} into '{0}' is not signed off: {2} is missing in its comments",
    ),
    "translation.glossary": (
        "en «{0}», {1}: el glosario dice «{3}» para «{2}»",
        "in '{0}', {1}: the glossary has '{3}' for '{2}'",
    ),
    "audio.unknown": (
        "la grabación «{0}» no es de ninguna pregunta, opción o idioma del formulario",
        "the recording '{0}' is of no question, choice or language of the form",
    ),
    "audio.unbound": (
        "la grabación «{0}» no dice de qué texto es: si es del actual, llámela «{1}»",
        "the recording '{0}' does not say of which text it is: if of the present one, call it '{1}'",
    ),
    "audio.stale": (
        "la grabación «{0}» es de un texto que cambió: grabe «{1}»",
        "the recording '{0}' is of a text that has changed: record '{1}'",
    ),
    "audio.unreadable": (
        "no es una grabación entera: guárdela otra vez como Opus (.ogg) o MP3",
        "this is no whole recording: save it again as Opus (.ogg) or MP3",
    ),
    "audio.codec": (
        "el sonido no es Opus ni MP3: guárdelo otra vez como Opus (.ogg) o MP3",
        "the sound is neither Opus nor MP3: save it again as Opus (.ogg) or MP3",
    ),
    "audio.too_large": (
        "la grabación tiene {0} KiB; el máximo es {1}: guárdela con menos calidad",
        "the recording has {0} KiB; {1} is the most: save it at a lower quality",
    ),
    "audio.too_long": (
        "la grabación dura {0} segundos; debe durar algo, y {1} como mucho",
        "the recording lasts {0} seconds; it must last some time, and {1} at most",
    ),
    "audio.channels": (
        "la grabación tiene {0} canales: guárdela en mono",
        "the recording has {0} channels: save it in mono",
    ),
}

NOT_BLOCKING = (
    "translation.",
    "audio.",
    "indicator.unreached",
    "choice.unused_list",
    "cell.decimal",
    "policy.guidance_missing",
)
"""What an author should know but a draft may have: a language that is not whole is left out, never half shown."""


def problem(code: str, row: Place, column: str, *values: object, **more: str) -> FormProblem:
    """Make the problem of one cell; `values` and `more` fill the places in both texts."""
    texts = [text.format(*values, **more) for text in ADVICE[code]]
    return FormProblem(
        sheet=row.sheet, row=row.number, column=column, code=code, advice_es=texts[0], advice_en=texts[1]
    )


def suggest(word: str, known: Iterable[str]) -> dict[str, str]:
    """The nearest right name, as the words to put behind both texts; nothing if none is near."""
    near = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    if not near:
        return {"hint_es": "", "hint_en": ""}
    return {"hint_es": f"; ¿quiso decir «{near[0]}»?", "hint_en": f"; did you mean '{near[0]}'?"}
