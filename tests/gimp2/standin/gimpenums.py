"""In place of GIMP's module of that name, see gimp.py: numbers that GIMP's own list of procedures names."""

import re

import gimp

TYPES = "INT32 INT16 INT8 FLOAT STRING INT32ARRAY INT16ARRAY INT8ARRAY FLOATARRAY STRINGARRAY COLOR ITEM DISPLAY IMAGE LAYER"
TYPES += " CHANNEL DRAWABLE SELECTION COLORARRAY VECTORS PARASITE STATUS"
for number, name in enumerate(TYPES.split()):  # of GimpPDBArgType, which no procedure lists
    globals()["PDB_" + name] = number
PLUGIN = 1
RUN_INTERACTIVE, RUN_NONINTERACTIVE, RUN_WITH_LAST_VALS = 0, 1, 2
for procedure in ("gimp-layer-new", "gimp-layer-create-mask", "gimp-layer-set-composite-space"):
    for argument in gimp.PROCEDURES[procedure]["arguments"]:
        for name, number in re.findall(r"([A-Z][A-Z0-9-]*) \((\d+)\)", argument[2]):
            globals()[str(name.replace("-", "_"))] = int(number)
for procedure in ("gimp-image-base-type", "gimp-image-get-precision"):
    for value in gimp.PROCEDURES[procedure]["values"]:
        for name, number in re.findall(r"([A-Z][A-Z0-9-]*) \((\d+)\)", value[2]):
            globals()[str(name.replace("-", "_"))] = int(number)
