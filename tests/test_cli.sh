#!/bin/sh
# test_cli.sh: exit codes and the shape of what every command prints.
# usage: test_cli.sh BIN MODEL [DEVICE]
# MODEL: a small instruct model with a chat template. DEVICE: what --device is given ("cpu").
# Exit status: 0 when all passed, 77 when BIN or MODEL is missing (ctest: SKIP_RETURN_CODE 77).

bin=$1
model=$2
device=${3:-cpu}
if [ ! -x "$bin" ] || [ ! -r "$model" ]; then
  echo "skipped: usage: test_cli.sh BIN MODEL [DEVICE]"
  exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
tab=$(printf '\t')

# check NAME: counts the result of the command before it.
check() {
  if [ $? -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $1"
    sed 's/^/  stdout: /' "$dir/out" | head -5
    sed 's/^/  stderr: /' "$dir/err" | head -5
  fi
}

# expect CODE ARGUMENTS...: runs the program and checks the exit code; what it prints is in $dir/out and $dir/err.
expect() {
  want=$1
  shift
  "$bin" "$@" >"$dir/out" 2>"$dir/err" </dev/null
  got=$?
  [ $got -eq "$want" ]
  check "exit code $got, not $want: $*"
}

# The last run said exactly one line on stderr, and it begins with the program's name.
one_error() {
  [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q '^hornito: ' "$dir/err"
  check "one line of error: $1"
}

out_has() {
  grep -q -e "$1" "$dir/out"
  check "stdout has $1"
}

err_has() {
  grep -q -e "$1" "$dir/err"
  check "stderr has $1"
}

same() {
  cmp -s "$1" "$2"
  check "same: $3"
}

# --- usage ---
expect 0 --help
out_has '^usage: hornito'
expect 0 --version
out_has '^hornito [0-9]*\.[0-9]*\.[0-9]*$'
expect 2
one_error 'no command'
expect 2 frobnicate
one_error 'unknown command'
for command in run chat info plan devices tokenize eval perplexity; do
  expect 0 $command --help
  out_has "^usage: hornito $command"
  expect 2 $command --frobnicate
  one_error "$command, unknown option"
done
for missing in 'run -p x' chat info plan tokenize 'eval --tokens 1' 'perplexity -f x'; do
  # shellcheck disable=SC2086
  expect 2 $missing
  one_error "$missing"
done
while read -r wrong; do
  # shellcheck disable=SC2086
  expect 2 run -m "$model" -p x $wrong
  one_error "$wrong"
done <<END
--temp nan
--temp inf
--temp -1
--temp 1x
--temp 0x1
--temp
--top-k -1
--top-k 1.5
--top-p 1.1
--min-p -0.1
--repeat-penalty 0
--seed 18446744073709551616
--seed -1
-n 99999999999
-n +1
--ctx 0
--threads 0
--threads 65
--kv f16
--raw=1
--stop=
END
expect 2 run -m "$dir/missing.gguf" -p x --device "$device"
err_has '^hornito: '
printf 'not a model' >"$dir/bad.gguf"
expect 2 run -m "$dir/bad.gguf" -p x --device "$device"
err_has '^hornito: '
expect 2 info "$dir/bad.gguf"
one_error 'a file that is no model'
expect 1 run -m "$model" -p x --device 'no such device'
err_has '^hornito: '

# --- info, devices, tokenize ---
expect 0 info "$model"
for row in architecture supported n_vocab n_layers tokenizer chat_format; do
  out_has "^$row  *[^ ]"
done
out_has '^tensors'
out_has 'token_embd.weight .* [0-9]* x [0-9]*$'
expect 0 info "$model" --json
out_has '"architecture"'
out_has '"tensors"'
n_vocab=$(sed -n "s/^$tab\"n_vocab\":$tab\([0-9]*\),\$/\1/p" "$dir/out")
[ "${n_vocab:-0}" -gt 0 ]
check 'n_vocab in JSON'

"$bin" devices >"$dir/out" 2>"$dir/err"
code=$?
if [ $code -eq 0 ]; then
  out_has '^0: '
  out_has '(best)'
  out_has '^cpu: '
  out_has '^ *shaders *all [0-9]* give the right bits$'
else
  [ $code -eq 1 ]
  check 'devices: exit code'
  one_error 'no usable device'
fi
"$bin" devices --json >"$dir/out" 2>"$dir/err"
[ $? -eq $code ]
check 'devices --json: exit code'
out_has '"devices"'

expect 0 tokenize -m "$model" 'Hello world'
out_has '^ *[0-9]* ".*"$'
n_pieces=$(wc -l <"$dir/out")
expect 0 tokenize -m "$model" --ids 'Hello world'
out_has '^[0-9][0-9,]*$'
[ "$(tr ',' '\n' <"$dir/out" | wc -l)" -eq "$n_pieces" ]
check 'as many ids as pieces'
expect 0 tokenize -m "$model" --ids --no-bos -- '-x'
printf 'Hello world' | "$bin" tokenize -m "$model" --ids - >"$dir/stdin" 2>"$dir/err"
expect 0 tokenize -m "$model" --ids 'Hello world'
same "$dir/stdin" "$dir/out" 'text from standard input'

# --- eval ---
eval_size() { wc -c <"$1"; }
expect 0 eval -m "$model" --device "$device" --ctx 64 --tokens 1,2,3,4,5 --logits "$dir/whole.f32"
[ "$(eval_size "$dir/whole.f32")" -eq $((5 * 4 * n_vocab)) ]
check 'size of the logits'
for chunk in 1 2 3; do
  expect 0 eval -m "$model" --device "$device" --ctx 64 --tokens 1,2,3,4,5 --chunk $chunk --logits "$dir/chunk.f32"
  same "$dir/whole.f32" "$dir/chunk.f32" "logits with --chunk $chunk"
done
for wrong in '' , 1, 1,,2 1,x -1 4294967296 1,99999999; do
  expect 2 eval -m "$model" --device "$device" --ctx 64 --tokens "$wrong" --logits "$dir/none.f32"
  err_has '^hornito: '
done
expect 2 eval -m "$model" --device "$device" --ctx 4 --tokens 1,2,3,4,5 --logits "$dir/none.f32"
err_has '^hornito: .*--ctx'
[ ! -e "$dir/none.f32" ]
check 'no file of a failed eval'
expect 2 eval -m "$model" --device "$device" --ctx 64 --tokens 1 --logits "$dir/no/such/folder"
[ -z "$(find "$dir" -name '*.tmp')" ]
check 'no temporary file is left'

# --- run ---
run() {
  want=$1
  shift
  expect "$want" run -m "$model" --device "$device" --ctx 256 "$@"
}
run 0 -p 'Tell me a story.' -n 12 --temp 0
err_has '^device: '
err_has '^prompt [0-9]* tokens, .* tok/s; decode [0-9]* tokens, .* GB/s of weights; stopped: .*; seed [0-9]*$'
cp "$dir/out" "$dir/greedy"
run 0 -p 'Tell me a story.' -n 12 --temp 0
same "$dir/out" "$dir/greedy" 'greedy twice'
printf 'Tell me a story.\n' | "$bin" run -m "$model" --device "$device" --ctx 256 -n 12 --temp 0 >"$dir/out" 2>"$dir/err"
same "$dir/out" "$dir/greedy" 'prompt from standard input'
run 0 -p 'Tell me a story.' -n 12 --top-k 1
same "$dir/out" "$dir/greedy" 'top-k 1 is greedy'
run 0 -p 'Tell me a story.' -n 12 --seed 7
err_has 'seed 7$'
cp "$dir/out" "$dir/seven"
run 0 -p 'Tell me a story.' -n 12 --seed 7
same "$dir/out" "$dir/seven" 'the same seed'
run 0 --raw -p 'Once upon a time' -n 5 --temp 0
err_has 'stopped: [le]' # length, or an end token before
run 0 -p 'Hi' -n 0
err_has 'stopped: length'

# A stop string from the middle of a text: what comes before it is printed, and nothing else.
text=$(head -1 "$dir/greedy")
stop=$(printf '%s' "$text" | cut -c 5-12)
if [ "${#stop}" -eq 8 ]; then
  run 0 -p 'Tell me a story.' -n 12 --temp 0 --stop 'never in a text' --stop "$stop"
  err_has 'stopped: stop string'
  [ "$(cat "$dir/out")" = "$(printf '%s' "${text%%"$stop"*}")" ]
  check 'text before the stop string'
fi

# The context: a prompt that is too long is refused, an answer that fills it is cut with a message.
expect 2 run -m "$model" --device "$device" --ctx 8 -p 'one two three four five six seven eight nine ten eleven'
err_has '^hornito: the prompt has [0-9]* tokens .*--ctx'
expect 0 run -m "$model" --device "$device" --ctx 12 --raw -p 'Hi' --temp 0 -n 99
err_has 'stopped: [ce]' # context full, or an end token before

if [ -c /dev/full ]; then
  "$bin" run -m "$model" --device "$device" --ctx 256 -p 'Hi' -n 4 >/dev/full 2>"$dir/err"
  [ $? -eq 1 ]
  check 'a full disk'
  err_has '^hornito: standard output'
fi

# --- chat ---
printf 'Hello\n/help\nAnd you?\n/reset\n/nonsense\n/quit\nnever sent\n' |
  "$bin" chat -m "$model" --device "$device" --ctx 256 --system 'Be brief.' -n 6 --seed 1 >"$dir/out" 2>"$dir/err"
check 'chat from standard input'
[ "$(grep -c 'stopped: ' "$dir/err")" -eq 2 ]
check 'two answers'
err_has '/reset'
err_has 'unknown command "/nonsense"'
printf 'one two three four five six seven eight nine ten\n' |
  "$bin" chat -m "$model" --device "$device" --ctx 8 >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ]
check 'chat with a full context'
err_has '^hornito: .*/reset.*--ctx'

# --- perplexity ---
i=0
while [ $i -lt 12 ]; do
  echo 'Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.'
  i=$((i + 1))
done >"$dir/text"
expect 0 perplexity -m "$model" --device "$device" -f "$dir/text" --ctx 64
out_has '^perplexity [0-9.]* +/- [0-9.]* ([0-9]* windows of 64 tokens, [0-9]* scored)$'
err_has '^\[1/[0-9]*\] [0-9.]*$'
expect 2 perplexity -m "$model" --device "$device" -f "$dir/text" --ctx 4000
err_has '^hornito: .*--ctx'
expect 2 perplexity -m "$model" --device "$device" -f "$dir/missing"
one_error 'a text that is missing'

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
