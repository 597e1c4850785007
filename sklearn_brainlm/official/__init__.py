"""The checkpoints that the authors of the article released, read and written exactly.

Their configurations are checked (``configs``), their tensors told by name (``keys``), put into our
networks and taken out again (``networks``); ``contract`` is what they expect of recordings.
"""
