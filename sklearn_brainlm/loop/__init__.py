"""The steps of a training, below :mod:`sklearn_brainlm.training`.

What estimators tell the loop (``parameters``), the steps of an epoch and what one is (``steps``),
and what happens when memory runs out (``memory``), when a loss is not finite (``divergence``) or
when a signal asks it to end (``interrupts``).
"""
