# Sourced by the other scripts. Unsets variables of the caller's shell and Python that
# could change the result, and sets `root` to the work tree.
unset CDPATH BASH_ENV ENV
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONINSPECT PYTHONOPTIMIZE
unset PYTHONPLATLIBDIR PYTHONSAFEPATH PYTHONUSERBASE PYTHONWARNINGS
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
