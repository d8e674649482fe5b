"""The catalogs of translations (GNU gettext): gathers what the plug-in says, compiles what translators made of it.

python gimp_plugin/catalogs.py          writes hair-recolor.pot, brings every .po up to it and compiles every .mo
python gimp_plugin/catalogs.py fr       begins a French translation as well

Needs Babel, which the tests' environment has. New sentences are then untranslated in the .po files, which
tests/test_translations.py notices; translate them, run this again.
"""

import json
import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGIN = REPOSITORY / "gimp_plugin/hair_recolor"
LOCALE, DOMAIN = PLUGIN / "locale", "hair-recolor"
TEMPLATE = LOCALE / f"{DOMAIN}.pot"
WORKER = (  # what the worker says in constant sentences; the plug-in looks them up as they arrive
    "Waiting for another layer",
    "Reading the layer",
    "Looking for hair",
    "Refining the outline",
    "Telling people apart",
    "Following the strands",
    "Recoloring",
    "No hair was found in this photo: crop closer to the head, or force the result to paint the mask yourself.",
    "The hair lies outside of the selection or of the layer's own mask: select it as well, or turn the limit off.",
    "The image is empty (fully transparent): choose a layer or photo that shows a person.",
    "There is not enough memory for this layer: close other programs or scale the layer down.",
)


def gather():
    """A catalog of all that the plug-in says: its own sentences, the shades and networks, and the worker's."""
    catalog = Catalog(domain=DOMAIN, project="Hair Recolor", copyright_holder="Hair Recolor contributors")
    catalog.header_comment = "# Translations of Hair Recolor for GIMP. The same terms as the program: GPL-3.0-or-later."
    for name, line, message, comments, _context in extract_from_dir(PLUGIN, comment_tags=["Translators:"]):
        catalog.add(message, None, [(f"gimp_plugin/hair_recolor/{name}", line)], auto_comments=comments)
    shades = REPOSITORY / "hairmask_core/color/shades.json"
    for shade in json.loads(shades.read_text(encoding="utf-8")):
        for text in (shade["label"], shade["description"]):
            catalog.add(text, None, [("hairmask_core/color/shades.json", 1)])
    for path in sorted((REPOSITORY / "models").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["task"] == "whole-image":
            for text in (card["label"], card["terms"]):
                catalog.add(text, None, [(f"models/{path.name}", 1)])
    for text in WORKER:
        catalog.add(text, None, [("hairmask_core/server/server.py", 1)])
    return catalog


def read(path, language=None):
    """The catalog in a .pot or .po file."""
    with open(path, "rb") as file:
        return read_po(file, language, DOMAIN)


def write(path, catalog):
    with open(path, "wb") as file:
        write_po(file, catalog, width=100, include_lineno=False)


def main(begun):
    template = gather()
    LOCALE.mkdir(exist_ok=True)
    write(TEMPLATE, template)
    for language in {*begun, *(path.parent.parent.name for path in LOCALE.glob("*/LC_MESSAGES/*.po"))}:
        path = LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        catalog = read(path, language) if path.exists() else Catalog(language, DOMAIN, fuzzy=False)
        catalog.update(template, no_fuzzy_matching=True, update_header_comment=True)
        catalog.obsolete.clear()
        write(path, catalog)
        with open(path.with_suffix(".mo"), "wb") as file:
            write_mo(file, catalog)
        missing = sum(not message.string for message in catalog if message.id)
        print(f"{language}: {len(catalog)} sentences, {missing} without translation")


if __name__ == "__main__":
    main(sys.argv[1:])
