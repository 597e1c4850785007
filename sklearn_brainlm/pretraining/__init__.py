"""How a masked autoencoder becomes an estimator, below :mod:`sklearn_brainlm.transformer`.

Each class stands on the one before: an estimator with a network (``network``), one that starts from
weights (``adoption``), one whose weights may be released ones (``released``), and one that builds
and pretrains a masked autoencoder (``autoencoder``). Beside them the closed form that it starts
from (``prior``), embedding (``embedding``), and what decides what is learned
(``run_configuration``).
"""
