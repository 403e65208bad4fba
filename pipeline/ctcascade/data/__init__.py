"""What every room builds on: errors, the words, tables and results as declared, files written whole."""
