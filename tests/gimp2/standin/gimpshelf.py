"""In place of GIMP's module of that name, see gimp.py."""

shelf = {}
