"""The plug-in's translations: complete, well-formed, and what is compiled and committed is what the sources say."""

import ast
import gettext
import re
import string
from collections import Counter
from pathlib import Path

import catalogs
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LANGUAGES = sorted(path.name for path in catalogs.LOCALE.iterdir() if path.is_dir())
ENGLISH = [message.id for message in catalogs.gather() if message.id]
SAME = {"de": {"_OK"}, "ko": set()}  # what is said as in English
OF_GIMP = {  # letters of its own buttons, as GIMP's catalogs or, where these are incomplete, ours have them
    "en": "ocrslh",
    "de": "oczsgh",
    "ko": "ocrslh",
}
BUTTONS = {"_OK", "_Cancel", "_Reset", "_Save Settings", "_Load Saved Settings", "_Help"}


def read(language):
    return catalogs.read(catalogs.LOCALE / language / "LC_MESSAGES/hair-recolor.po", language)


def placeholders(text):
    return Counter(part[1:] for part in string.Formatter().parse(text) if part[1] is not None)


def mnemonics(text):
    return re.findall("_(.)", text)


def test_german_and_korean_are_there():
    assert LANGUAGES == ["de", "ko"] and len(ENGLISH) > 150


def test_the_template_is_up_to_date():
    """Run  python gimp_plugin/catalogs.py  where this fails."""
    assert sorted(message.id for message in catalogs.read(catalogs.TEMPLATE) if message.id) == sorted(ENGLISH)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated(language):
    catalog = read(language)
    assert sorted(message.id for message in catalog if message.id) == sorted(ENGLISH)
    assert not catalog.fuzzy
    for message in catalog:
        if message.id:
            assert message.string and not message.fuzzy, message.id
            assert (message.string == message.id) == (message.id in SAME[language]), message.id
            assert placeholders(message.string) == placeholders(message.id), message.id
            assert len(mnemonics(message.string)) == len(mnemonics(message.id)) <= 1, message.id
            assert message.string == message.string.strip(), message.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    compiled = gettext.translation("hair-recolor", catalogs.LOCALE, [language])
    assert [compiled.gettext(english) for english in ENGLISH] == [read(language)[english].string for english in ENGLISH]


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_every_letter_of_the_dialog_is_one_setting_s_own(language):
    said = {english: english for english in ENGLISH}
    if language != "en":
        said = {english: read(language)[english].string for english in ENGLISH}
    ours = [mnemonics(text)[0].lower() for english, text in said.items() if "_" in english and english not in BUTTONS]
    letters = [*ours, *OF_GIMP[language]]
    assert len(ours) > 10 and len(set(letters)) == len(letters), sorted(letters)


def progress_texts(path):
    """What a module of the core reports as its progress: the texts given to a report(done, text)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "report" and len(node.args) == 2:
            if isinstance(node.args[1], ast.Constant):
                yield node.args[1].value


def test_the_worker_says_what_is_translated():
    core = sorted((REPOSITORY / "hairmask_core").rglob("*.py"))
    sources = [path.read_text(encoding="utf-8") for path in core]
    for sentence in catalogs.WORKER:
        assert any(f'"{sentence}"' in source for source in sources), sentence
    reported = {text for path in core for text in progress_texts(path)}
    assert len(reported) > 4 and reported <= set(catalogs.WORKER)
