# Runs commands at the same time: of those that a tier gives it, one mostly waits, or uses one core, while another computes.

# together COMMAND...: runs each command, a name without arguments, and prints its time and what it has printed when it has
# ended: in the order of the arguments, so that the report of the tests (.ci/test-results) is not mixed. Fails if one fails.
together() {
  local folder command index begin=$SECONDS status=0 failed
  folder=$(mktemp --directory)
  pids=()
  # Each has a process group of its own, so that all its processes can be ended.
  set -m
  for command in "$@"; do
    (
      trap 'echo $((SECONDS - begin)) >"$folder/$command.seconds"' EXIT
      "$command"
    ) >"$folder/$command" 2>&1 &
    pids+=($!)
  done
  set +m
  trap 'for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null; done; exit 130' INT TERM
  for index in "${!pids[@]}"; do
    failed=
    wait "${pids[$index]}" || { status=$? failed=' FAILED'; }
    command=${*:index+1:1}
    printf '\n-- %s, at the same time as others: %s s%s\n' "$command" "$(cat "$folder/$command.seconds")" "$failed"
    cat "$folder/$command"
  done
  trap - INT TERM
  rm --recursive "$folder"
  return $status
}
