"""How good the choice of filters is: controls that are matched, methods the paper leaves out, and a bound."""
