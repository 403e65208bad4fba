"""From fluorescence images of blood to circulating tumour cells, cascade risk and report. Research use only.

What `import ctcascade` gives is listed in ``__init__.pyi`` and loaded when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
