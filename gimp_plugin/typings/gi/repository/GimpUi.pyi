from typing import Any

from . import Gimp

ICON_ZOOM_IN: str
ICON_ZOOM_OUT: str

FileChooser: Any
Labeled: Any

class ProcedureDialog:
    @staticmethod
    def new(procedure: Gimp.Procedure, config: Gimp.ProcedureConfig, title: str | None) -> ProcedureDialog: ...
    def __getattr__(self, name: str) -> Any: ...  # of Gtk.Dialog

def init(program_name: str) -> bool: ...
