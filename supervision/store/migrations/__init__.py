"""The history of the records' schema, step by step; `supervision.store.migrating` walks it. Steps are never changed."""
