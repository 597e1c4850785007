"""How an encoder is trained further, to predict labels or to forecast.

An estimator holds an encoder (``encoder``) and learns labels (``predictor``), from a linear model
that is solved first (``linear_start``); or the future (``forecaster``), in batches of its own
(``batches``).
"""
