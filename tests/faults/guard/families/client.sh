# A session-bound hold that can be seen: its client keeps $1/lock locked for as long as it lives.

client_open() {
  session_start sh -c 'exec 9>"$1"; while read -r l; do
    case $l in lock) flock 9; echo locked ;; unlock) flock -u 9; echo unlocked ;; esac; done' sh "$1/lock"
}

client_enter() {
  session_send lock && session_line client_word && [ "$client_word" = locked ]
}

client_leave() {
  session_is_alive || return 3
  session_send unlock && session_line client_word || return 3
}
