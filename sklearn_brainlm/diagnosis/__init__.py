"""What :func:`sklearn_brainlm.doctor` looks for in recordings.

One recording is measured (``vitals``) and held against an input contract (``symptoms``): its units
(``scales``), the order of its columns (``parcel_order``), whose parcels they are
(``same_parcels``). What is found is written down in ``findings``.
"""
