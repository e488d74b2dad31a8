"""What a person reads in a part of the window."""

from PySide6.QtWidgets import QAbstractButton, QLabel, QWidget


def words(widget: QWidget) -> str:
    """All the text that can be seen in ``widget``."""
    labels = [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]
    buttons = [button.text() for button in widget.findChildren(QAbstractButton) if button.isVisibleTo(widget)]
    return "\n".join(labels + buttons)
