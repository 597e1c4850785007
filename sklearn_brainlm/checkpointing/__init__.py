"""How the checkpoint callback keeps a training, below :mod:`sklearn_brainlm.checkpoint`.

What decides how a training goes on (``state``), parted into arrays and JSON (``trees``), in folders
that appear complete or not at all (``files``), where there is room (``room``); and in what the
training that is to go on differs from the one that was kept (``changes``).
"""
