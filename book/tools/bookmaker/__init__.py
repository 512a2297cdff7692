"""From text notebooks to a static book: execute what is out of date, stage the pages, build the HTML.

In the order of a run: :mod:`.data` looks for the images, :mod:`.staleness` says which notebooks need a run,
:mod:`.crew` runs them side by side, each in a process of :mod:`.worker`, where :mod:`.execute` does it, :mod:`.stage`
lays out the source of the book, :mod:`.html` builds and checks it. :mod:`.driver` is the command that does all of this.

A room each: what fills written pages (:mod:`.pages`), what finished ones need (:mod:`.finish`), what is looked at in a
finished book (:mod:`.checks`), what is recorded (:mod:`.records`), and extensions of Sphinx (:mod:`.sphinx`).
"""

from faiglib.companion import kernel as kernel  # before all that reads notebooks, which it makes quick
