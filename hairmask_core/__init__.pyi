from .color.shades import named_shades as named_shades
from .errors import HairmaskError as HairmaskError
from .hair.tone import Hair as Hair
from .options import Coloring as Coloring
from .options import Options as Options
from .photo.files import read_photo as read_photo
from .photo.files import write_photo as write_photo
from .photo.pixels import Photo as Photo
from .pipeline import find_hair as find_hair
from .pipeline import recolor as recolor
from .pipeline import recolor_layer as recolor_layer
from .pipeline import tell_people_apart as tell_people_apart
from .segmentation.segmenter import Segmenter as Segmenter
from .segmentation.segmenter import open_model as open_model

__version__: str
