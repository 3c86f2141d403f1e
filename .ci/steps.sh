# shellcheck shell=bash
# Sourced. Runs named steps, counts them and the tests inside them, and sums up.
# A step's output goes to a log, whose end is shown when the step fails.

: "${deadline_seconds:?set it to the seconds that the whole run may take}"

steps_passed=0 steps_failed=0 tests_passed=0 tests_failed=0 tests_skipped=0
summary=()
logs=$(mktemp -d)

# step NAME LIMIT_SECONDS COMMAND...: runs the command, within what is left of the whole run's $deadline_seconds.
step() {
  local name=$1 limit=$2 started=$SECONDS status log
  shift 2
  log=$logs/$((steps_passed + steps_failed)).log
  echo "== $name"
  if ((SECONDS + limit > deadline_seconds)); then limit=$((deadline_seconds - SECONDS)); fi
  if ((limit > 0)); then
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null
    status=$?
  else
    echo 'no time was left to start this step' >"$log"
    status=124
  fi
  if ((status == 124)); then echo "stopped after $((SECONDS - started)) s" >>"$log"; fi
  count_step "$name" "$status" "$((SECONDS - started))" "$log"
}

# test_step NAME LIMIT_SECONDS REPORT COMMAND...: a step that leaves a JSON report of vitest, which is counted too.
test_step() {
  local name=$1 limit=$2 report=$3 counts
  shift 3
  rm -f "$report"
  step "$name" "$limit" "$@"
  local status=$?
  if counts=$(node "$(dirname "${BASH_SOURCE[0]}")/count-tests.mjs" "$report" 2>&1); then
    local passed failed skipped
    read -r passed failed skipped <<<"$counts"
    tests_passed=$((tests_passed + passed)) tests_failed=$((tests_failed + failed))
    tests_skipped=$((tests_skipped + skipped))
    summary+=("           tests: $passed passed, $failed failed, $skipped skipped")
  else
    echo "$counts"
    # The step's own failure is counted already; a step that passed without a report did not test anything.
    if ((status == 0)); then count_step "$name: report" 1 0 /dev/null; fi
    status=1
  fi
  return "$status"
}

count_step() {
  local name=$1 status=$2 seconds=$3 log=$4 verdict=ok
  if ((status == 0)); then
    steps_passed=$((steps_passed + 1))
  else
    steps_failed=$((steps_failed + 1)) verdict=FAILED
    tail -n 100 "$log"
    echo "-- $name failed with status $status"
  fi
  summary+=("$(printf '%-6s %3d s  %s' "$verdict" "$seconds" "$name")")
  return "$status"
}

# finish: prints the summary and ends the script. The last line is for machines.
finish() {
  local passed=$((steps_passed + tests_passed)) failed=$((steps_failed + tests_failed))
  echo "== summary after $SECONDS s"
  printf '%s\n' "${summary[@]}"
  echo "steps: $steps_passed passed, $steps_failed failed; tests: $tests_passed passed, $tests_failed failed, $tests_skipped skipped"
  rm -rf "$logs"
  echo "$passed passed, $failed failed"
  exit "$((failed > 0))"
}
