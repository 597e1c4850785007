"""What a store of recordings is on disk, below :class:`sklearn_brainlm.RecordingStore`.

Shards (``arrays``), the manifest and its hashes (``files``), tables
(``tables``, ``rows``), and, while a store is built, its journal (``journal``), the lock of the one
writer (``lock``) and the writer (``writer``).
"""
