"""The pages of the main window, and the small window of an incoming call.

``main_window.page_for`` chooses one for each state; a page offers ``show_state``, and sends commands with the ``send``
that it was given.

==================  ==========================================================================================
first_run           name, relay, audio; ``audio_settings`` is its third step
home                ``people_list`` at the left; ``person``, ``recent_calls`` or ``network`` at the right
call                a call in any phase, ``call_controls`` under it, the connection panel beside it
key_changed         the stop when a known person comes with another key
settings            its sections are in ``settings_sections``, ``settings_network`` and ``network_history``
engine_down         no engine: what happened, and "Restart"; or that it is about to start
incoming            a window of its own, above others
==================  ==========================================================================================
"""
