"""What the app needs of the computer, and of no network.

:mod:`~app.system.data_dir` finds, makes and locks the folder of the local data; :mod:`~app.system.files` writes files
whole or not at all. :mod:`~app.system.loop` is the event loop that engine and commands run on, :mod:`~app.system.logs`
the log level and a standard error of our own, :mod:`~app.system.program` how the program starts itself again, and
:mod:`~app.system.parent_watch` how a child ends with its parent. :mod:`~app.system.errors` has the root of the app's
errors: a code and values, of which :mod:`app.text.problems` makes sentences.
"""
