"""From a frame to its cells: background, nuclei, cells, measurement, overlapping frames."""
