"""``python -m ctcascade VERB`` is ``ctcascade VERB``."""

from ctcascade.cli import main

if __name__ == "__main__":
    main()
