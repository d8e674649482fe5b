# -*- coding: utf-8 -*-
"""In place of GIMP's module of that name, see gimp.py."""


class RGB(tuple):
    """Red, green, blue and alpha, each 0…255."""
