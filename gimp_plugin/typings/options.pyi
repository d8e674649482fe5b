# install.py puts a copy of this module beside the plug-in.
from hairmask_core.options import *
