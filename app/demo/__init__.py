"""A call between two people on this machine, shown live in a terminal, for whoever wants to see it work.

::

    run          starts what follows, shows it, and judges the reports at the end
      namespaces   two home networks with a router each, in network namespaces (networks: who is where)
      four child processes: `segue relay`, two people (`listen`, `call`), `segue register`
      app.ipc.client  <- states, figures and levels of both engines
        side         what one engine reported last
        narration    what is new in it, as lines; the verdict on both reports
        screen       the live page and the table of reports, drawn by rich

Comes in: which routers (``--nat``). Goes out: lines, or a live page in a terminal, and the exit status.
"""
