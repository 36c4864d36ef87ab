#!/usr/bin/env python
import sys

from django.core.management import execute_from_command_line, load_command_class

from csf.start import read_settings

if __name__ == "__main__":
    if sys.argv[1:2] == ["new_keys"]:  # works before there is any setting
        load_command_class("csf", "new_keys").run_from_argv(sys.argv)
    else:
        read_settings()
        execute_from_command_line(sys.argv)
