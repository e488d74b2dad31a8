"""The commands that ask one thing and end: ``segue register`` and ``segue netcheck``. They need no engine."""

from pathlib import Path

from app.account.registration import register_name
from app.model.exit_status import ExitStatus
from app.network.netcheck import look_at_network
from app.network.network_view import call_chances, nat_summary
from app.system.data_dir import find_home
from app.system.loop import run_on_own_loop
from app.system.output import complain, say, say_json
from app.text.netcheck import lines
from app.text.problems import problem_text
from transport.wire.addresses import PersonAddress


def register(address: PersonAddress, home: Path | None) -> ExitStatus:
    """``segue register``: claim a name for this installation's key."""
    result = run_on_own_loop(register_name(find_home(home), address))
    if result.status == ExitStatus.OK:
        say(f"registered {address}")
    else:
        complain(problem_text(result.refusal, {"detail": result.detail}))
    return result.status


def netcheck(home: Path | None, as_json: bool) -> ExitStatus:
    """``segue netcheck``: what can be learnt about the network before a call."""
    facts = run_on_own_loop(look_at_network(find_home(home)))
    if as_json:
        say_json(facts.for_programs(), indent=2)
    else:
        nat, chances = nat_summary(facts.nat), () if facts.nat is None else call_chances(facts.nat)
        for line in lines(facts, nat, chances):
            say(line)
    return ExitStatus.OK if facts.is_usable else ExitStatus.UNREACHABLE
