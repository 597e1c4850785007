"""Quantiles of each parcel, of recordings that need not fit in memory.

In passes over recordings that stay where they are, exact to the last bit (``passes``), or in one,
by counts that add up (``histograms``, in ``bins``); both read blocks of rows (``blocks``) and agree
on where a quantile lies (``ranks``).
"""
