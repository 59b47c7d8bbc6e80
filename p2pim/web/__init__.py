"""Pages and APIs over HTTP: the operator's page of the server, the chat page and the local API of the agent."""
