"""Open any model by its name: an export that a back end needs comes from the wheel or the cache."""
