from .api import DetectedFrame as DetectedFrame
from .api import Frame as Frame
from .api import FrameError as FrameError
from .api import InputError as InputError
from .api import PatientResults as PatientResults
from .api import RunResults as RunResults
from .api import SampleResults as SampleResults
from .api import call_cells as call_cells
from .api import count_ctcs as count_ctcs
from .api import detect_frame as detect_frame
from .api import read_assay as read_assay
from .api import read_frames as read_frames
from .api import read_results as read_results

__version__: str
