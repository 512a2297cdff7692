"""Errors whose message is one sentence that says what is wrong and where.

The sentence begins in lower case, unless with a name, and has no full stop, so that it can stand behind a colon.

Everything a user can cause (a bad image, weights of another network, a missing folder) is raised as a
:class:`FaiglibError`; the command line prints its sentence and exits with status 1, without a traceback.
"""


class FaiglibError(Exception):
    """Base class of every error that a user of faiglib can cause."""


class SharedError(FaiglibError):
    """Every process of a run raises this alike, so that one of them has to say it."""


class ImageError(FaiglibError):
    """A file or tensor is not an image that the operation can use."""


class DatasetError(FaiglibError):
    """A set of images is missing, incomplete, unknown, or could not be fetched."""


class IncompleteError(DatasetError):
    """Some files of a set of images are here; others are missing, or have other content than the registered one."""


class PlaceError(DatasetError):
    """A folder that was named does not exist, which is never the same as a set that is not here."""


class NetworkError(FaiglibError):
    """A network is unknown, or cannot be analysed."""


class WeightsError(FaiglibError):
    """A weight file cannot be read, or does not belong to the network."""


class FilterError(FaiglibError):
    """Filter scores or a filter index do not fit the network, or cannot be read."""


class TrainingError(FaiglibError):
    """Training cannot start, continue or be resumed."""


class StoreError(FaiglibError):
    """A computed artifact cannot be written or read."""
