"""Plays SendGrid's v3 `mail/send` and its signed event webhook on loopback: nothing leaves this machine."""

from csf.sandbox.sendgrid.app import create_app
from csf.sandbox.sendgrid.events import new_keypair
from csf.sandbox.sendgrid.serve import MailServer

__all__ = ["MailServer", "create_app", "new_keypair"]
