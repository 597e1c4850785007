"""The commands of ``sklearn-brainlm``, one a file, and what they share.

A command is ``add_NAME(commands)``, its options, and the function they name as ``run``, which is
given what was parsed. What it needs of the package, and of NumPy and torch, it imports when it
runs: the options of all of them are read whenever one is asked for help.
"""
