"""From fluorescence images of blood to circulating tumour cells, cascade risk and report. Research use only."""

__version__ = "0.1.0"
