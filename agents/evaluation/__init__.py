"""How often it succeeds: held-out tasks, typed and spoken, beside perfect and no imagination."""
