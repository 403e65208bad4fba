"""What a tube says about the blood it came from: shared by the stages that count and that simulate."""
