"""How inner loops are compiled. Importing this takes half a second, so it is imported where a loop is first needed."""

import numba


def compiled(function):
    """The function, to be compiled for the types that it is called with."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no folder to keep it in can be written: then it is compiled anew in every process
        return numba.njit(function, **options)
