"""The window: it shows what the engine's process says, and sends commands to it. It decides nothing about calls.

Rooms, each knowing only those below it (held by import contracts)::

    run, application     one Qt application, its signals and its end
    main_window          which page is shown; hands each message to the page it concerns
    tray    pages        one module a page; pages do not know each other
            panel        the connection of one call, opened up: timeline, charts, steps, networks
            widgets      labels, buttons, fields, dialogs, rows and cards that pages are made of
    bridge  commands  theme    the engine's connection; what may be asked of it; colours, fonts and icons

**What comes in.** The engine sends frozen messages (:mod:`app.ipc.messages`) over a local socket. ``bridge`` reads them
in an asyncio task that runs inside Qt's loop (qasync) and emits one signal for each kind; ``main_window`` is connected
to them::

    EngineState   state_changed -> MainWindow.show_state -> page_for(state) -> the page's show_state
    Levels        levels        -> the meters of the page that is shown
    CallSample    sample        -> ConnectionPanel.add_sample, also while the panel is closed
    CommandFailed failed        -> the page that asked, or the bar at the top
    Report, TraceSaved          -> the button that asked for it

A state is whole: a page shows it without remembering the one before, and a page that is hidden is brought up to date
when it is shown. Clocks and ages run on by themselves between two states.

**What goes out.** A click on "Call"::

    pages.person.PersonPage   Button.clicked -> _place -> send(PlaceCall(address))
    commands.Send             the only thing that pages know of the engine
    bridge.Bridge.send        to the engine's process; without an engine it emits ``failed`` instead
    app.engine                places the call; its next EngineState has ``call``, and the call page is shown

Nothing here waits for an answer, and no page changes by itself what it asked to change: the next state does.

**When the engine goes**, ``engine_gone`` shows the page with "Restart". The engine and its call outlive the window;
``MainWindow.quit`` ends both.

**Text.** Labels show plain text only, and names from outside are made harmless first. Sentences are whole, with named
placeholders, so that they can be translated; those about codes of the engine are made by :mod:`app.text`.
"""
