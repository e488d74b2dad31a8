"""What the person chose."""

from typing import Annotated, Literal

from msgspec import Meta

from app.model.terms import Frozen


class Settings(Frozen, frozen=True):
    """What the person chose. Changed as a whole by :class:`ChangeSettings`."""

    theme: Literal["system", "light", "dark"] = "system"
    input_device: str = ""
    output_device: str = ""
    always_relay: bool = False
    try_harder: bool = False
    """Use up to half of a carrier's port block for five minutes, where both networks are of that kind."""
    port_mapping: bool = True
    """Ask the router for a port (PCP, NAT-PMP, UPnP)."""
    keep_call_without_window: bool = True
    notifications: bool = True
    ring_volume: Annotated[float, Meta(ge=0, le=1)] = 0.7
    start_in_tray: bool = False
    contacts_only: bool = False
    """Decline whoever is not in the contact list."""
