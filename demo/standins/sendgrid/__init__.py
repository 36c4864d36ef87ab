"""Plays SendGrid's v3 `mail/send` and its signed event webhook on loopback: nothing leaves this machine."""

from demo.standins.sendgrid.app import create_app
from demo.standins.sendgrid.events import new_keypair
from demo.standins.sendgrid.serve import MailServer

__all__ = ["MailServer", "create_app", "new_keypair"]
