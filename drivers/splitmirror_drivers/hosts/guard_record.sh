# Record: what this guard took, on a filesystem that is never frozen. It is the authority on ownership.
#
#   $SM_STATE/lib/CHECKSUM.sh               this program, sent inline
#   $SM_STATE/claims/NAME/{owner,run,time}  who may touch an application's instance
#   $SM_STATE/runs/RUN/{owner,boot,time,guard,…}
#   $SM_STATE/runs/RUN/N.NAME/              one hold, N = 1 at the bottom of the stack
#       family blocks ends enter leave survives user arguments     as it was ordered; never a secret
#       taking  taken  ended                                       files that say how far it came; ended: WORD BY
#       not-ours                                                   its enter failed by itself: what stands is another's
#       pid child busy gone                                        its hand
#       dir/                                                       $SM_DIR of its verbs
# Written before a freeze and after the thaw, never between.

sm_find_state() { # [FOLDER]: sets and makes SM_STATE
  SM_STATE=${1:-${sm_state:-}}
  if [ -z "$SM_STATE" ]; then
    if [ "$(id -u)" = 0 ]; then SM_STATE=/var/lib/splitmirror; else SM_STATE=$HOME/.splitmirror; fi
  fi
  case $SM_STATE in /*) ;; *)
    complain "the guard's folder must be an absolute path, not $SM_STATE"
    return 1
    ;;
  esac
  sm_own_uid=$(id -u)
  [ -d "$SM_STATE/calls" ] || sm_make_state || return 1
  sm_are_ours "$SM_STATE" "$SM_STATE/lib" "$SM_STATE/claims" "$SM_STATE/runs" "$SM_STATE/calls"
}

sm_make_state() {
  mkdir -p "$SM_STATE" && sm_are_ours "$SM_STATE" || return 1
  for sm_f in lib claims runs calls; do mkdir "$SM_STATE/$sm_f" 2>/dev/null; done
  :
}

sm_are_ours() { # FOLDER...: each a folder, no link, our own, not writable for others; asked at once, since forks cost
  # shellcheck disable=SC2012 # ls is what POSIX has for owner and mode
  sm_l=$(ls -ldn "$@" 2>&1) || {
    complain "$sm_l"
    return 1
  }
  while read -r sm_mode sm_links sm_who sm_rest; do
    case $sm_mode in
    d????-??-*) [ "$sm_who" != "$sm_own_uid" ] || continue ;;
    esac
    complain "must be a folder of user id $sm_own_uid that nobody else can write to: $sm_mode $sm_links $sm_who $sm_rest"
    return 1
  done <<EOT
$sm_l
EOT
}

sm_boot() { # sm_boot_id: another one after each start of this machine
  if [ -r /proc/sys/kernel/random/boot_id ]; then
    sm_slurp /proc/sys/kernel/random/boot_id
    sm_boot_id=$sm_line
  else
    sm_boot_id=$( (sysctl -n kern.boottime 2>/dev/null || who -b) | tr -cs 'A-Za-z0-9\n' '-' | cut -c1-80)
  fi
}

sm_now() { date +%s 2>/dev/null || awk 'BEGIN { srand(); print srand() }'; }

sm_hold_state() { # FOLDER: sm_word is armed, taking, taken, or ended WORD BY
  if sm_slurp "$1/ended"; then
    sm_word="ended $sm_line"
  elif [ -e "$1/taken" ]; then
    sm_word=taken
  elif [ -e "$1/taking" ]; then
    sm_word=taking
  else
    sm_word=armed
  fi
}

sm_stands() { # FOLDER
  sm_hold_state "$1"
  case $sm_word in taking | taken) ;; *) return 1 ;; esac
}

sm_any_stands() { # RUN-FOLDER
  for sm_d in "$1"/[0-9]*.*; do
    [ -d "$sm_d" ] && sm_stands "$sm_d" && return 0
  done
  return 1
}

sm_top_down() { # RUN-FOLDER: sm_list, one folder a line, top of the stack first
  sm_list='' sm_i=1
  while :; do
    sm_d=''
    for sm_d in "$1/$sm_i".*; do break; done
    [ -d "$sm_d" ] || break
    sm_list="$sm_d$sm_nl$sm_list" sm_i=$((sm_i + 1))
  done
}

sm_kept_word() { # CODE: what a leave's or rescue's code proves
  case $1 in 0) sm_kept=WAS_HELD ;; 3) sm_kept=WAS_NOT_HELD ;; *) sm_kept=UNKNOWN ;; esac
}

sm_load() { # FOLDER: the hold's variables, from its record
  sm_hold_folder=$1 SM_DIR=$1/dir SM_HOLD=${1##*/}
  SM_HOLD=${SM_HOLD#*.}
  for sm_k in family blocks ends enter leave survives user; do
    sm_slurp "$1/$sm_k" || sm_line=''
    eval "sm_$sm_k=\$sm_line"
  done
  # shellcheck disable=SC2154 # set by the eval above
  SM_USER=$sm_user sm_arguments=''
  while IFS= read -r sm_line; do
    sm_quote "$sm_line"
    sm_arguments="$sm_arguments $sm_q"
  done <"$1/arguments"
}

sm_rescue_verb() { # in this very shell: 0 was held, 3 was not, else could not. SM_OWN is set by the caller
  sm_rv=3
  if sm_has "${sm_family}_rescue"; then
    eval "${sm_family}_rescue $sm_arguments"
    sm_rv=$?
  elif [ "$sm_ends" != session ]; then
    complain "$sm_family has no rescue"
    return 1
  fi
  [ "$sm_ends" = session ] || return "$sm_rv"
  session_kill
  case $? in 0) sm_rv=0 ;; 3) ;; *) sm_rv=1 ;; esac
  return "$sm_rv"
}

sm_rescue_record() { # FOLDER BY: rescues one hold from any process; 0 when it stands no more. sm_kept says what was found
  (
    sm_load "$1"
    sm_noted_alive "$1/child" && sm_end_tree "$sm_pid" # an enter whose hand is gone
    SM_OWN=yes SM_SECONDS=$sm_leave SM_VERDICT=bad SM_SECRET='' sm_interrupted=''
    [ ! -e "$1/not-ours" ] || SM_OWN=no
    sm_find_account || sm_as=self
    sm_within "$((sm_leave + 2))" "$1" sm_rescue_verb
    exit "$sm_rc"
  ) 2>>"${1%/*}/noise"
  sm_rc=$?
  sm_kept_word "$sm_rc"
  [ "$sm_kept" != UNKNOWN ] || return 1
  [ -e "$1/ended" ] || printf '%s %s\n' "$sm_kept" "$2" >"$1/ended"
}

# ---- claims ----

sm_claim() { # NAME OWNER RUN: 0 taken; 1: sm_foreign says whose it is
  sm_c=$SM_STATE/claims/$1
  if ! mkdir "$sm_c" 2>/dev/null; then
    sm_i=$((2 * sm_naps))
    until [ -s "$sm_c/owner" ] || [ "$sm_i" -le 0 ]; do # somebody may be between mkdir and owner
      sleep "$sm_nap"
      sm_i=$((sm_i - 1))
    done
    sm_slurp "$sm_c/owner" || sm_line=$2
    sm_foreign=$sm_line
    sm_slurp "$sm_c/run" || sm_line=unknown
    # our own: another policy's run, or one that has ended and left it; a record that is missing is nobody's here
    if [ "$sm_foreign" != "$2" ] || { [ "$sm_line" != "$3" ] && [ -d "$SM_STATE/runs/$sm_line" ]; }; then
      sm_foreign="$sm_foreign $sm_line"
      if sm_run_lives "$sm_line"; then
        sm_slurp "$sm_c/time" || sm_line=0
        sm_foreign="$sm_foreign $(($(sm_now) - sm_line))"
        return 1
      fi
    fi
  fi
  echo "$3" >"$sm_c/run"
  sm_now >"$sm_c/time"
  echo "$2" >"$sm_c/owner" || return 1
}

sm_run_lives() { # RUN: its guard runs, or something of it still stands, or its record is missing and nobody can know
  [ -d "$SM_STATE/runs/$1" ] || return 0
  sm_noted_alive "$SM_STATE/runs/$1/guard" || sm_any_stands "$SM_STATE/runs/$1"
}

sm_drop_claims() { # RUN
  for sm_c in "$SM_STATE"/claims/*; do
    sm_slurp "$sm_c/run" && [ "$sm_line" = "$1" ] && rm -rf "$sm_c"
  done
  return 0
}
