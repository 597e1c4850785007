"""Files read with distrust (``checked``, ``torch_archives``) and written to last (``durable``)."""
