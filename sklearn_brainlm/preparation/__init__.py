"""What :func:`sklearn_brainlm.prepare` does to each run that fMRIPrep preprocessed.

Runs are found (``bids_runs``), their images and the atlas checked (``bold_images``,
``atlas_images``), parcels extracted (``extraction``), and what came of each run is kept until the
store is built of all of them (``prepared_runs``, ``prepared_tables``).
"""
