#!/usr/bin/env python
import sys

from django.core.management import load_command_class

from csf.startup.process import read_settings, run_command

if __name__ == "__main__":
    if sys.argv[1:2] == ["new_keys"]:  # works before there is any setting
        load_command_class("csf", "new_keys").run_from_argv(sys.argv)
    else:
        read_settings()
        run_command(sys.argv)
