"""``python -m faiglib`` is the command ``faiglib``."""

from faiglib.command.main import main

if __name__ == "__main__":
    main()
