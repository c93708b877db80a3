`make freeze` builds one folder with three executables that need no Python on the backup server. `make demo` shows the main job on any machine with Python 3.11.
