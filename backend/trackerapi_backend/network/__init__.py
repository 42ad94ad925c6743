"""The network side of a server: sockets, connections, HTTP."""
