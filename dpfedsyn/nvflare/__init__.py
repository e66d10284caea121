"""A run over NVFlare: its server job asks, and a forwarder at every site passes bytes to the silo.

The only place that knows NVFlare (2.9, Collab API); it needs the extra `nvflare`.

transport   the server's `Transport` over the job's sites
server      the server's part of a job: `dpfedsyn.remote.run`, resumed where a job before it ended
site        a site's part of a job: bytes in, bytes out, through the silo's own socket
job         the job itself, two class names and no code, handed in again when a site is lost
ending      how the run in a job ended, as a file that the administrator fetches
logged      a run's progress, as lines of the job's log
poc, kits   server and sites as processes of this machine, mutual TLS, loopback only

A site decides by its own environment which socket its forwarder opens; no job can name one.
"""
