"""From text notebooks to a static book: execute what is out of date, stage the pages, build the HTML.

In the order of a run: :mod:`.data` looks for the images, :mod:`.staleness` says which notebooks need a run,
:mod:`.execute` runs one, :mod:`.stage` lays out the source of the book, :mod:`.html` builds and checks it.
:mod:`.driver` is the command that does all of this.
"""
