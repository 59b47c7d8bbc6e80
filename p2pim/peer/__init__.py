"""A person's side: session, channels, delivery, transfers, and the API that applications import."""
