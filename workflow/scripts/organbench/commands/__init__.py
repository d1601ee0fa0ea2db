"""The command line: one file a command, or a family of commands.

A file defines `add`, which is given argparse's place for commands: it adds its own, and says with
`set_defaults(run=...)` what runs one, a function of the arguments that raises an `InputError` where they or the files
are wrong. What a command needs beside Python is imported when it runs, so that help and mistakes in the arguments are
told at once.
"""
