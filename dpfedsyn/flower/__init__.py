"""The run's bytes over Flower: everything that knows Flower is in here, and an extra installs it.

`client` forwards a message to the silo of its machine; `server` runs the server's part inside of a
ServerApp; `app` writes a Flower app that holds no more than the names of these two.
"""
