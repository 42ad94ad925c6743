# Sourced by the other scripts. Unsets variables of the caller's shell and Python that
# could change the result, sets `root` to the work tree, and defines functions.
unset CDPATH BASH_ENV ENV
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONINSPECT PYTHONOPTIMIZE
unset PYTHONPLATLIBDIR PYTHONSAFEPATH PYTHONUSERBASE PYTHONWARNINGS
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# PYTHON names the interpreter; without PYTHON, the first suitable one is used.
if [ -n "${PYTHON:-}" ]; then
  candidates=("$PYTHON")
else
  candidates=("$root/.venv/bin/python" python3 python3.13 python3.12 python3.11 python)
fi

# Print the path of the first Python that can make an environment; fail without one.
find_python() {
  local python
  for python in "${candidates[@]}"; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  return 1
}

# Answer --help without a set-up, which takes minutes: answer_help MODULE ARGUMENTS
answer_help() {
  local module="$1" argument python
  for argument in "${@:2}"; do
    case "$argument" in
      -h | --help)
        python="$(find_python)" || return 0
        PYTHONPATH="$root" exec "$python" -P -m "$module" --help
        ;;
    esac
  done
}
