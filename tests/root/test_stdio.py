"""Standard descriptors, exit statuses, signals and terminals: a program behaves as it would without us."""
import hashlib
import os
import pathlib
import signal
import subprocess
import time

from harness import Skip, equal, eventually, one_of, true


def test_ten_megabytes_pass_through_pipes_byte_for_byte(t):
    data = os.urandom(10 * 1024 * 1024)
    done = t.run(t.grant_project, ['cat'], input=data, binary=True, timeout=60)
    equal((done.status, hashlib.sha256(done.out).hexdigest()), (0, hashlib.sha256(data).hexdigest()))


def test_files_are_handed_over_as_they_are(t):
    source = t.put(t.home / 'private' / t.project.name / 'in', b'\0\1\xff' * 1000)
    target = t.put(t.home / 'private' / t.project.name / 'out')
    with open(source, 'rb') as i, open(target, 'wb') as o:
        status = subprocess.run(t.m.argv_as(t.alice, [t.m.nonoctl, 'run', *t.grant_project, '--', 'sh', '-c', 'cat; [ -f /dev/stdin ]']),
                                env=t.env(), cwd=t.project, stdin=i, stdout=o).returncode
    equal((status, target.read_bytes()), (0, source.read_bytes()))


def test_standard_output_and_error_stay_apart(t):
    done = t.sh(t.grant_project, 'echo out; echo err >&2')
    equal((done.out, done.err, done.status), ('out\n', 'err\n', 0))


def test_end_of_input_arrives(t):
    session = t.start(t.grant_project, ['sh', '-c', 'echo ready; cat; echo end'])
    equal(session.line(), 'ready')
    session.say('text')
    equal(session.line(), 'text')
    session.process.stdin.close()
    equal(session.line(), 'end')
    equal(session.process.wait(10), 0)


def test_closed_output_ends_the_program_by_SIGPIPE(t):
    done = t.as_user(['bash', '-c', '"$0" run --allow . -- yes | head -c 100000 | wc -c; echo ${PIPESTATUS[0]}', t.m.nonoctl])
    equal(done.out.split(), ['100000', str(128 + signal.SIGPIPE)], repr(done))


def test_closed_standard_descriptors_are_no_accident(t):
    done = t.as_user(['sh', '-c', '"$0" run --allow . -- sh -c "echo out; exit 7" <&-', t.m.nonoctl])
    equal((done.status, done.out), (7, 'out\n'), repr(done))


def test_exit_status_is_the_programs_own(t):
    for status in (0, 1, 2, 42, 124, 255):
        equal(t.sh(t.grant_project, f'exit {status}').status, status)


def test_death_by_signal_is_128_and_its_number(t):
    for signum in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1):
        equal(t.sh(t.grant_project, f'kill -{int(signum)} $$; sleep 5').status, 128 + signum, signum.name)


def test_signals_to_the_client_reach_the_program(t):
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        session = t.start(t.grant_project, ['sh', '-c', f'trap "echo got {int(signum)}; exit 9" {int(signum)}; echo ready; while :; do sleep 0.05; done'])
        equal(session.line(), 'ready')
        session.process.send_signal(signum)
        equal(session.line(), f'got {int(signum)}', signum.name)
        equal(session.wait(), 9, signum.name)


def test_command_that_does_not_exist_is_127(t):
    for command in ('no-such-command-here', f'{t.project}/no-such-file', '/usr/bin/no-such-file'):
        done = t.run(t.grant_project, [command])
        equal(done.status, 127, repr(done))
        true(command in done.err, f'it names the command: {done}')


def test_command_that_cannot_be_executed_is_126(t):
    t.put(t.project / 'plain', 'text\n', 0o644)
    for command in ('./plain', str(t.project)):
        done = t.run(t.grant_project, [command])
        equal(done.status, 126, f'{command}: {done}')


def test_script_without_a_first_line_is_given_to_sh(t):
    t.put(t.project / 'script', 'echo it ran $1\n', 0o755)
    equal(t.run(t.grant_project, ['./script', 'well']).out, 'it ran well\n')


def test_script_with_a_missing_interpreter_is_127_or_126(t):
    t.put(t.project / 'script', '#!/no/such/interpreter\n', 0o755)
    one_of(t.run(t.grant_project, ['./script']).status, (126, 127))


def test_our_own_errors_are_125(t):
    for words in (['run', '--no-such-flag', '--', 'true'], ['run', '--'], ['run'], ['run', '-p', 'no-such-profile', '--', 'true'],
                  ['run', '--allow', '', '--', 'true'], ['spawn', 'no-such-profile'], ['spawn']):
        done = t.ctl(*words)
        equal(done.status, 125, f'{words}: {done}')
        true(done.err.strip(), f'{words}: it says nothing')


def test_without_a_daemon_it_is_125_and_a_hint(t):
    done = t.ctl('run', '--', 'true', env=t.env(NONO_SOCKET=f'{t.folder}/nobody-listens'))
    equal(done.status, 125, repr(done))
    true('nonod' in done.err, f'it says what to do: {done}')


def test_arguments_arrive_unchanged(t):
    arguments = ['', ' ', 'a b', '--flag', '-x', '$HOME', "'", '"', '\n', 'ü', '*', '\\', '%s', 'x' * 100000]
    done = t.run(t.grant_project, ['/usr/bin/python3', '-c', 'import sys, json; print(json.dumps(sys.argv[1:]))', *arguments])
    import json
    equal(json.loads(done.out), arguments)


def test_relative_and_PATH_lookup_work_as_without_us(t):
    t.put(t.project / 'bin/tool', '#!/bin/sh\necho mine $0\n', 0o755)
    equal(t.run(t.grant_project, ['bin/tool']).out, 'mine bin/tool\n')
    equal(t.run(t.grant_project, ['tool'], env=t.env(PATH=f'{t.project}/bin:/usr/bin:/bin')).out, f'mine {t.project}/bin/tool\n')


def test_silent_says_nothing_and_verbose_says_more(t):
    quiet = t.sh(['-s', *t.grant_project], 'true')
    loud = t.sh(['-v', *t.grant_project], 'true')
    equal((quiet.out, quiet.err), ('', ''))
    true(len(loud.err) >= len(quiet.err), repr(loud))


# terminals -----------------------------------------------------------------------------------------------------------


def command(t, *words):
    return f'{t.m.nonoctl} run --allow {t.project} -- {" ".join(words)}'


def test_on_a_terminal_the_program_has_one(t):
    terminal = t.terminal(columns=90, rows=30)
    terminal.send(command(t, 'sh -c', '"tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three; ps -o tty= -p \\$\\$"'))
    terminal.wait_line('30 90')
    terminal.wait_line('all three')
    terminal.wait('/dev/pts/')


def test_resize_reaches_the_program(t):
    terminal = t.terminal(columns=90, rows=30)
    t.put(t.project / 'size', '#!/bin/bash\ntrap "stty size" WINCH\necho ready\nwhile :; do sleep 0.1; done\n', 0o755)
    terminal.send(command(t, './size'))
    terminal.wait_line('ready')
    terminal.resize(70, 20)
    terminal.wait_line('20 70')
    terminal.key('C-c')
    terminal.wait('%')


def test_interrupt_key_reaches_the_program_and_the_status_is_130(t):
    terminal = t.terminal()
    terminal.send(command(t, 'sh -c "echo ready; sleep 1000"') + '; echo status $?')
    terminal.wait_line('ready')
    terminal.key('C-c')
    terminal.wait_line('status 130')


def test_quit_key_reaches_the_program(t):
    terminal = t.terminal()
    terminal.send(command(t, 'sh -c "ulimit -c 0; echo ready; exec sleep 1000"') + '; echo status $?')
    terminal.wait_line('ready')
    terminal.key('C-\\')
    terminal.wait_line('status 131')


def test_end_of_file_key_reaches_the_program(t):
    terminal = t.terminal()
    terminal.send(command(t, 'cat') + '; echo status $?')
    time.sleep(0.5)
    terminal.send('typed')
    terminal.wait_line('typed')
    terminal.key('C-d')
    terminal.wait_line('status 0')


def test_suspend_key_stops_both_and_fg_goes_on(t):
    terminal = t.terminal()
    terminal.send(command(t, 'sh -c "echo ready; while read -r x; do echo got \\$x; done"'))
    terminal.wait_line('ready')
    terminal.send('one')
    terminal.wait_line('got one')
    terminal.key('C-z')
    terminal.wait('Stopped')
    terminal.send('jobs | wc -l')
    terminal.wait_line('1')
    terminal.send('fg')
    time.sleep(0.3)
    terminal.send('two')
    terminal.wait_line('got two')
    terminal.key('C-d')
    terminal.wait('%')


def test_job_control_works_inside(t):
    terminal = t.terminal()
    terminal.send(command(t, 'bash --norc --noprofile'))
    time.sleep(0.7)
    terminal.send("PS1='inner# '")
    terminal.wait('inner#')
    terminal.send('sleep 1000')
    time.sleep(0.4)
    terminal.key('C-z')
    terminal.wait('Stopped')
    terminal.send('kill %1; wait; echo still $((40 + 2))')
    terminal.wait('still 42')
    terminal.send('exit 5')
    time.sleep(0.3)
    terminal.send('echo status $?')
    terminal.wait_line('status 5')


def test_terminal_is_given_back_as_it_was(t):
    terminal = t.terminal()
    terminal.send('stty -a >before')
    terminal.send(command(t, 'sh -c "stty raw -echo; exit 3"') + '; echo status $?')
    terminal.wait_line('status 3')
    terminal.send('stty -a >after; echo saved')
    terminal.wait_line('saved')
    equal((t.project / 'after').read_text(), (t.project / 'before').read_text())


def test_terminal_is_given_back_after_the_client_is_killed(t):
    terminal = t.terminal()
    terminal.send('stty -a >before')
    terminal.send(command(t, 'sh -c "echo ready; sleep 1000"') + ' & pid=$!; fg')
    terminal.wait_line('ready')
    mine = t.sessions()
    equal(len(mine), 1)
    t.ctl_ok('stop', mine[0]['id'])
    time.sleep(0.5)
    terminal.send('stty -a >after; echo saved')
    terminal.wait_line('saved')
    equal((t.project / 'after').read_text(), (t.project / 'before').read_text())


def test_raw_mode_reaches_the_program_byte_for_byte(t):
    t.put(t.project / 'keys', '#!/usr/bin/python3 -IS\nimport os, sys, tty\ntty.setraw(0)\nprint("ready\\r")\nsys.stdout.flush()\n'
          'got = b""\nwhile not got.endswith(b"q"):\n    got += os.read(0, 100)\nprint(got.hex() + "\\r")\n', 0o755)
    terminal = t.terminal()
    terminal.send(command(t, './keys'))
    terminal.wait_line('ready')
    terminal.key('C-c', 'C-z', 'C-d', 'Escape', 'q')
    terminal.wait_line('031a041b71')


def test_pipe_on_one_side_and_terminal_on_the_other(t):
    terminal = t.terminal()
    terminal.send('echo piped | ' + command(t, 'sh -c "cat; [ -t 0 ] || echo in no; [ -t 1 ] && echo out yes"'))
    for line in ('piped', 'in no', 'out yes'):
        terminal.wait_line(line)


def test_output_to_a_file_with_keys_from_the_terminal(t):
    terminal = t.terminal()
    terminal.send(command(t, 'sh -c "read -r x; echo got \\$x"') + ' >captured; echo status $?')
    time.sleep(0.5)
    terminal.send('typed')
    terminal.wait_line('status 0')
    equal((t.project / 'captured').read_text(), 'got typed\n')


def test_much_output_on_a_terminal_is_complete(t):
    terminal = t.terminal()
    terminal.send(command(t, 'seq 1 200000') + '; echo status $?')
    terminal.wait_line('status 0', timeout=60)
    terminal.wait_line('200000')


def test_background_session_does_not_touch_the_terminal(t):
    terminal = t.terminal()
    terminal.send(command(t, 'sh -c "sleep 0.3; echo in the background"') + ' </dev/null >log 2>&1 & echo went')
    terminal.wait_line('went')
    terminal.send('wait; cat log')
    terminal.wait_line('in the background')


def test_request_on_the_sessions_own_terminal_is_answered_by_one_key(t):
    a, b = t.outside('a.txt', 'file a\n'), t.outside('b.txt', 'file b\n')
    terminal = t.terminal()
    terminal.send(command(t, f'sh -c "cat {a}; cat {b}; echo end"'))
    t.prompt(a)
    time.sleep(1)                                       # a prompt takes no key in its first half second
    terminal.key('y')
    t.prompt(b)
    time.sleep(1)
    terminal.key('Enter')
    terminal.wait_line('file a')                        # output is held while a question is on the screen
    terminal.wait('Permission denied')
    terminal.wait_line('end')


def test_keys_typed_ahead_do_not_answer_a_request(t):
    a = t.outside('a.txt', 'file a\n')
    terminal = t.terminal()
    terminal.send(command(t, f'sh -c "sleep 1; cat {a}; echo end"'))
    time.sleep(0.4)
    terminal.key('y', 'y', 'y')
    t.prompt(a)
    time.sleep(1)                                       # a prompt takes no key in its first half second
    true(t.prompts(), 'it still waits for an answer')
    terminal.key('n')
    terminal.wait('Permission denied')
