"""The command line, a contract with scripts (DESIGN §10).

::

    main       the table of commands; parses, imports what carries out the command, and runs it
      options    the parser, and how values are checked
      headless   `listen`, `call`, `echo`: an engine without a window
      one_shot   `register`, `netcheck`: one question, no engine
      relay      `relay`
      ...        `window`, `demo` and `engine` are in app.ui, app.demo and app.engine

Comes in: arguments, signals, the end of the parent process. Goes out: lines, files, and the exit status.
"""
