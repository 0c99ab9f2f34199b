"""What the program's pages share: who may come in, the server, signing in; nothing of a run."""
