# Sourced by the scripts: what the caller's shell and Python are told is not for them.
# Sets `root` to the work tree.
unset CDPATH BASH_ENV ENV
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONINSPECT PYTHONOPTIMIZE
unset PYTHONPLATLIBDIR PYTHONSAFEPATH PYTHONUSERBASE PYTHONWARNINGS
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
