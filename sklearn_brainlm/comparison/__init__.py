"""What :func:`sklearn_brainlm.compare` and :func:`sklearn_brainlm.compare_forecasters` are made of.

Who is tested and who is trained on (``folds``), the rows that everyone is due (``rows``), each
fitted in each fold (``fold_runs``), what was predicted of people nobody had seen (``out_of_fold``),
its scores (``scores``), intervals and tests (``inference``), the tables (``table``,
``horizons``) and what they say (``text``).
"""
