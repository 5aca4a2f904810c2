"""Random kills of the process, the gateway, both or the link, with default settings: everything is flat in the end."""
