"""`trackerapi completion`: a script by which a shell completes what is typed.

Made from the parser of the command line, so that it knows all that there is; the shell
then needs no Python to complete a word.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from trackerapi.cli.exits import FINE
from trackerapi.cli.grammar import (
    FILES,
    FOLDERS,
    NOTHING,
    WORDS,
    Command,
    Option,
    commands_of,
)
from trackerapi.cli.options import add_command
from trackerapi.cli.printing import say

_HELP: Final = """\
Print a script that completes commands and options in a shell.

examples:
  source <(trackerapi completion bash)      # in ~/.bashrc
  source <(trackerapi completion zsh)       # in ~/.zshrc, behind compinit
  trackerapi completion fish > ~/.config/fish/completions/trackerapi.fish
"""

_BASH: Final = """\
_trackerapi() {
    local IFS=$'\\n' command="" words="" options="" word index
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # --option=value comes as three words.
    if [[ $current == "=" ]]; then
        current=""
    elif [[ $previous == "=" ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $word == "--" ]]; then
            compopt -o filenames 2> /dev/null
            COMPREPLY=($(compgen -c -f -- "$current"))
            return
        fi
        case "$command/$word" in
            @PATHS@) command="${command:+$command }$word" ;;
        esac
    done
    case "$command $previous" in
@VALUES@
    esac
    case "$command" in
@COMMANDS@
    esac
    if [[ $current == -* || -z $words ]]; then
        words=$options
    elif [[ $words == "@FILES@" ]]; then
        compopt -o filenames 2> /dev/null
        COMPREPLY=($(compgen -f -- "$current"))
        return
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _trackerapi trackerapi
"""

_ZSH: Final = """\
#compdef trackerapi
_trackerapi() {
    local command="" word index previous=${words[CURRENT - 1]} files=""
    local -a found options
    for ((index = 2; index < CURRENT; index++)); do
        word=${words[index]}
        if [[ $word == "--" ]]; then
            _command_names -e || _files
            return
        fi
        case "$command/$word" in
            (@PATHS@) command="${command:+$command }$word" ;;
        esac
    done
    if [[ $PREFIX == --*=* ]]; then
        previous=${PREFIX%%=*}
        compset -P '*='
    fi
    case "$command $previous" in
@VALUES@
    esac
    case "$command" in
@COMMANDS@
    esac
    if [[ $PREFIX == -* ]]; then
        _describe -o option options
    elif [[ -n $files ]]; then
        _files
    elif (( $#found )); then
        _describe command found
    else
        _describe -o option options
    fi
}
if [[ ${funcstack[1]} == _trackerapi ]]; then
    _trackerapi "$@"
else
    compdef _trackerapi trackerapi
fi
"""

_FISH: Final = """\
function __trackerapi_at
    set -l command
    for word in (commandline -opc)[2..-1]
        switch "$command/$word"
            case @PATHS@
                set command (string trim -- "$command $word")
        end
    end
    test "$command" = "$argv"
end
complete -c trackerapi -f
"""


def add_commands(commands: Any) -> None:
    """Add `completion`."""
    parser = add_command(commands, "completion", _completion, _HELP)
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="the shell")


def _completion(options: argparse.Namespace) -> int:
    commands = tuple(commands_of(options.whole_parser))
    say(_SCRIPTS[options.shell](commands).rstrip("\n"))
    return FINE


def bash_script(commands: Sequence[Command]) -> str:
    """Return the script for bash 3.2 and later."""
    values = [
        f"        {_alternatives(command, option)}) {_bash_value(option)} ;;"
        for command, option in _with_value(commands)
    ]
    found = [
        f"        {_quoted(command.name)}) "
        f"words={_bash_words(_words_of(command))} "
        f"options={_bash_words(_flags_of(command))} ;;"
        for command in commands
    ]
    return _filled(_BASH, commands, "|", values, found)


def zsh_script(commands: Sequence[Command]) -> str:
    """Return the script for zsh, to be sourced or put into a folder of `fpath`."""
    values = [
        f"        ({_alternatives(command, option)}) {_zsh_value(option)} ;;"
        for command, option in _with_value(commands)
    ]
    found = [
        f"        ({_quoted(command.name)}) "
        f"files={_quoted(FILES if command.takes_files else '')} "
        f"found=({_zsh_described((w.text, w.meaning) for w in command.words)}) "
        f"options=({_zsh_described(_flags_with_meaning(command))}) ;;"
        for command in commands
    ]
    return _filled(_ZSH, commands, "|", values, found)


def fish_script(commands: Sequence[Command]) -> str:
    """Return the script for fish 3 and later."""
    lines = [_FISH.replace("@PATHS@", " ".join(map(_quoted, _steps_of(commands))))]
    for command in commands:
        start = (
            f"complete -c trackerapi -n {_quoted(f'__trackerapi_at {command.name}')}"
        )
        if command.takes_files:
            lines.append(f"{start} -F\n")
        for word in command.words:
            meaning = f" -d {_fish_quoted(word.meaning)}" if word.meaning else ""
            lines.append(f"{start} -a {_quoted(word.text)}{meaning}\n")
        for option in command.options:
            spellings = " ".join(map(_fish_flag, option.flags))
            meaning = f"-d {_fish_quoted(option.meaning)}"
            lines.append(f"{start} {spellings} {_fish_value(option)}{meaning}\n")
    return "".join(lines)


_SCRIPTS: Final = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}


def _filled(
    template: str,
    commands: Sequence[Command],
    between: str,
    values: Iterable[str],
    found: Iterable[str],
) -> str:
    paths = between.join(map(_quoted, _steps_of(commands)))
    filled = template.replace("@PATHS@", paths).replace("@FILES@", FILES)
    filled = filled.replace("@VALUES@", "\n".join(values))
    return filled.replace("@COMMANDS@", "\n".join(found))


def _steps_of(commands: Iterable[Command]) -> Iterator[str]:
    """Walk the words that lead to a command, each behind where it may stand."""
    for command in commands:
        if command.path:
            yield f"{' '.join(command.path[:-1])}/{command.path[-1]}"


def _with_value(commands: Iterable[Command]) -> Iterator[tuple[Command, Option]]:
    """Walk the options that a value follows."""
    for command in commands:
        for option in command.options:
            if option.value != NOTHING:
                yield command, option


def _alternatives(command: Command, option: Option) -> str:
    return "|".join(_quoted(f"{command.name} {flag}") for flag in option.flags)


def _words_of(command: Command) -> list[str]:
    return [FILES] if command.takes_files else [word.text for word in command.words]


def _flags_of(command: Command) -> list[str]:
    return [flag for option in command.options for flag in option.flags]


def _flags_with_meaning(command: Command) -> Iterator[tuple[str, str]]:
    for option in command.options:
        for flag in option.flags:
            yield flag, option.meaning


def _bash_words(words: Iterable[str]) -> str:
    # Lines, since the function splits by them alone.
    return "$'" + "\\n".join(words) + "'"


def _bash_value(option: Option) -> str:
    if option.value == FILES:
        compgen = 'compgen -f -- "$current"'
    elif option.value == FOLDERS:
        compgen = 'compgen -d -- "$current"'
    elif option.value == WORDS:
        compgen = f'compgen -W {_bash_words(option.words)} -- "$current"'
    else:
        return "return"
    shows = "" if option.value == WORDS else "compopt -o filenames 2> /dev/null; "
    return f"{shows}COMPREPLY=($({compgen})); return"


def _zsh_value(option: Option) -> str:
    if option.value == FILES:
        return "_files; return"
    if option.value == FOLDERS:
        return "_files -/; return"
    if option.value == WORDS:
        return f"compadd -- {' '.join(map(_quoted, option.words))}; return"
    return f"_message {_quoted(option.meaning)}; return"


def _zsh_described(words: Iterable[tuple[str, str]]) -> str:
    return " ".join(
        _quoted(f"{text.replace(':', chr(92) + ':')}:{meaning}")
        for text, meaning in words
    )


def _fish_flag(flag: str) -> str:
    is_long = flag.startswith("--")
    return f"-l {flag[2:]}" if is_long else f"-s {flag[1:]}"


def _fish_value(option: Option) -> str:
    if option.value == NOTHING:
        return ""
    if option.value == FILES:
        return "-r -F "
    if option.value == FOLDERS:
        return "-x -a '(__fish_complete_directories)' "
    if option.value == WORDS:
        return f"-x -a {_quoted(' '.join(option.words))} "
    return "-x "


def _quoted(text: str) -> str:
    """Return a word in single quotes, as bash and zsh read it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
