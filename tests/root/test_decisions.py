"""Decisions: who is asked, what an answer reaches, how long it holds, and how it is taken back."""
import json
import os
import pathlib
import select
import subprocess
import time

from harness import SECRET, Failure, Skip, equal, eventually, one_of, true

NOBODY_S = 10


def test_request_waits_and_approval_lets_exactly_it_through(t):
    a, b = t.outside('a.txt', 'file a\n'), t.outside('b.txt')
    session = t.shell()
    session.say(f'cat {a}')
    prompt = t.prompt(a)
    equal(prompt['session'], session.id)
    true(prompt['access'] in ('read', 'readwrite'), f'access: {prompt}')
    true(any('cat' in p for p in prompt['programs']), f'programs: {prompt["programs"]}')
    time.sleep(0.3)
    true(not select.select([session.process.stdout], [], [], 0)[0], 'it really waits')
    t.approve(prompt, '--scope', 'file', '--for', 'session')
    equal(session.line(), 'file a')
    equal([p['path'] for p in t.prompts()], [])
    equal(session.ask(f'cat {a}'), 'file a')
    session.say(f'cat {b}')
    t.deny(t.prompt(b))
    true('denied' in session.line().lower(), 'the other file of the folder is refused')


def test_denied_request_fails_with_EACCES_at_once(t):
    a = t.outside('a.txt')
    session = t.shell()
    session.say(f'cat {a}')
    started = time.monotonic()
    t.deny(t.prompt(a))
    true('Permission denied' in session.line(), 'EACCES')
    true(time.monotonic() - started < 5, 'at once')


def test_folder_approval_reaches_everything_below_and_asks_no_more(t):
    folder = t.outside('a.txt', 'a\n').parent
    t.put(folder / 'deep/er/b.txt', 'b\n')
    session = t.shell()
    session.say(f'cat {folder}/a.txt')
    t.approve(t.prompt(folder / 'a.txt'), '--scope', 'folder', '--for', 'session')
    equal(session.line(), 'a')
    equal(session.ask(f'cat {folder}/deep/er/b.txt'), 'b')
    equal(session.ask(f'ls {folder} | tr "\\n" " "; echo'), 'a.txt deep ')
    true('Read-only' in session.ask(f'echo x 2>&1 >{folder}/a.txt & wait') or t.prompts(), 'reading was approved, not writing')
    for prompt in t.prompts():
        t.deny(prompt)
    equal((folder / 'a.txt').read_text(), 'a\n')


def test_read_write_approval_lets_write(t):
    folder = t.outside('a.txt', 'a\n').parent
    session = t.shell()
    session.say(f'cat {folder}/a.txt')
    t.approve(t.prompt(folder / 'a.txt'), '--scope', 'folder', '--for', 'session', '--rw')
    equal(session.line(), 'a')
    equal(session.ask(f'echo new >{folder}/b.txt && cat {folder}/b.txt'), 'new')
    equal(((folder / 'b.txt').read_text(), (folder / 'b.txt').stat().st_uid), ('new\n', t.alice.pw_uid))


def test_an_executable_is_approved_and_runs_in_the_same_call(t):
    tool = t.put(t.home / 'tools' / t.project.name / 'tool', '#!/bin/sh\necho tool ran\n', 0o755)
    session = t.shell()
    session.say(f'{tool}')
    t.approve(t.prompt(tool), '--scope', 'folder', '--for', 'session')
    equal(session.line(), 'tool ran')
    equal(session.ask(f'{tool}'), 'tool ran')


def test_once_ends_with_the_process_that_asked(t):
    a = t.outside('a.txt', 'file a\n')
    session = t.shell()
    session.say(f'cat {a}')
    t.approve(t.prompt(a), '--scope', 'file', '--for', 'once')
    equal(session.line(), 'file a')
    eventually(lambda: not [g for g in t.grants(session) if g['path'] == str(a)], 'the grant goes with its process')
    session.say(f'cat {a}')
    t.deny(t.prompt(a))
    true('denied' in session.line().lower(), 'the next process is asked again')


def test_fifteen_minutes_say_when_they_end(t):
    a = t.outside('a.txt', 'file a\n')
    session = t.shell()
    session.say(f'cat {a}')
    t.approve(t.prompt(a), '--scope', 'file', '--for', '15m')
    equal(session.line(), 'file a')
    grant = t.grant_of(session, a)
    true('15m' in json.dumps(grant), f'duration: {grant}')
    true(grant.get('expires'), f'expires: {grant}')


def test_with_nobody_to_ask_an_access_is_denied_after_ten_seconds(t):
    a = t.outside('a.txt')
    started = time.monotonic()
    done = t.run(t.grant_project, ['cat', str(a)], timeout=40)
    took = time.monotonic() - started
    true('Permission denied' in done.err, repr(done))
    true(NOBODY_S - 1 <= took <= NOBODY_S + 5, f'after {took:.1f} s')


def test_a_watching_client_that_can_answer_keeps_the_request_waiting(t):
    a = t.outside('a.txt', 'file a\n')
    terminal = t.terminal()
    terminal.send(f'{t.m.nonoctl} watch --answer')
    session = t.shell()
    time.sleep(0.5)
    session.say(f'cat {a}')
    prompt = t.prompt(a)
    time.sleep(NOBODY_S + 2)
    true(any(p['id'] == prompt['id'] for p in t.prompts()), 'it still waits')
    t.approve(prompt, '--scope', 'file', '--for', 'once')
    equal(session.line(), 'file a')


def test_a_sealed_session_is_refused_at_once(t):
    if '--sealed' not in t.ctl('run', '--help').out:
        raise Skip('nonoctl run has no --sealed')
    a = t.outside('a.txt')
    started = time.monotonic()
    done = t.run(['--sealed', *t.grant_project], ['cat', str(a)])
    true('Permission denied' in done.err, repr(done))
    true(time.monotonic() - started < 5, 'at once')


def test_identical_requests_are_one_question(t):
    a = t.outside('a.txt', 'file a\n')
    session = t.shell()
    session.say(f'for i in 1 2 3 4 5 6 7 8; do cat {a} & done; wait; echo end')
    prompt = t.prompt(a)
    time.sleep(0.5)
    equal([p['id'] for p in t.prompts()], [prompt['id']])
    t.approve(prompt, '--scope', 'file', '--for', 'session')
    equal([session.line() for _ in range(9)], ['file a'] * 8 + ['end'])


def test_a_new_grant_is_replayed_over_everything_that_waits(t):
    folder = t.outside('a.txt', 'a\n').parent
    t.put(folder / 'b.txt', 'b\n')
    t.put(folder.parent / 'warm' / 'x', 'x\n')
    other = t.put(t.home / 'private' / f'{t.project.name}-2' / 'c.txt', 'c\n')
    session = t.shell()
    # from here on the folder above is a level of the view, and each of the next walks asks for itself
    session.say(f'cat {folder.parent}/warm/x')
    t.approve(t.prompt(folder.parent / 'warm/x'), '--scope', 'file', '--for', 'session')
    equal(session.line(), 'x')
    session.say(f'cat {other} & cat {folder}/a.txt & sleep 0.2; cat {folder}/b.txt & wait; echo end')
    last = t.prompt(other)
    first = eventually(lambda: next((p for p in t.prompts() if p['path'].startswith(f'{folder}/')), None), 'a request for the folder')
    t.approve(first, '--scope', 'folder', '--for', 'session')
    equal(sorted([session.line(), session.line()]), ['a', 'b'])
    equal([p['id'] for p in t.prompts()], [last['id']])
    t.deny(last)
    true('denied' in session.line().lower(), 'what it does not reach still waits for its own answer')


def test_refusing_one_request_does_not_refuse_another_below_the_same_folder(t):
    a = t.outside('a.txt')
    b = t.put(t.home / 'private' / f'{t.project.name}-2' / 'b.txt', 'file b\n')
    session = t.shell()
    session.say(f'cat {a} 2>&1 & sleep 0.2; cat {b} & wait; echo end')
    with t.person(lambda p: ['deny', str(p['id'])] if p['path'] == str(a) else ['approve', str(p['id']), '--scope', 'file', '--for', 'session']):
        lines = {session.line(), session.line()}
    true('file b' in lines and any('denied' in x for x in lines), f'{lines}')


def test_revoke_takes_an_approved_folder_away_while_the_program_runs(t):
    folder = t.outside('a.txt', 'a\n').parent
    session = t.shell()
    session.say(f'cat {folder}/a.txt')
    t.approve(t.prompt(folder / 'a.txt'), '--scope', 'folder', '--for', 'session')
    equal(session.line(), 'a')
    equal(session.ask(f'exec 5<{folder}/a.txt; cat {folder}/a.txt'), 'a')
    t.ctl_ok('revoke', session.id, str(t.grant_of(session, folder)['id']))
    t.refused(session, f'cat {folder}/a.txt', 'it is still there')
    equal(session.ask('cat <&5'), 'a', 'a descriptor that is open stays open, as the manual says')
    equal(session.ask('ls | tr -d "\\n"; echo'), 'hello.txt', 'the rest goes on')


def test_revoke_of_a_static_grant(t):
    folder = t.put(t.home / 'data' / t.project.name / 'x', 'x\n').parent
    session = t.shell([*t.grant_project, '--read', str(folder)])
    equal(session.ask(f'cat {folder}/x'), 'x')
    t.ctl_ok('revoke', session.id, str(t.grant_of(session, folder)['id']))
    t.refused(session, f'cat {folder}/x', 'it is still there')


def test_revoke_with_kill_ends_what_still_uses_it(t):
    folder = t.put(t.home / 'data' / t.project.name / 'x', 'x\n').parent
    session = t.shell([*t.grant_project, '--read', str(folder)])
    session.say(f'sh -c "exec 5<{folder}/x; echo open; exec sleep 1000"; echo ended $?')
    equal(session.line(), 'open')
    t.ctl_ok('revoke', session.id, str(t.grant_of(session, folder)['id']), '--kill')
    line = session.line()
    while 'ended' not in line:                          # "Killed", by the shell
        line = session.line()
    equal(line, 'ended 137')


def test_a_live_grant_is_listed_in_its_level(t):
    folder = t.outside('a.txt', 'a\n').parent
    session = t.shell()
    t.ctl_ok('grant', session.id, str(folder))
    true(folder.parent.name in session.ask(f'ls {t.home} | tr "\\n" " "; echo').split(), 'its side of the home is listed')
    equal(session.ask(f'ls {folder.parent}'), folder.name)


def test_grant_by_command_appears_in_the_running_session(t):
    folder = t.outside('a.txt', 'a\n').parent
    session = t.shell()
    t.ctl_ok('grant', session.id, str(folder))
    equal(session.ask(f'cat {folder}/a.txt'), 'a')
    true('Read-only' in session.ask(f'touch {folder}/b 2>&1') or not (folder / 'b').exists(), 'reading only')
    for prompt in t.prompts():
        t.deny(prompt)
    t.ctl_ok('grant', session.id, str(folder), '--rw')
    equal(session.ask(f'touch {folder}/c && echo made'), 'made')
    true((folder / 'c').exists(), 'on the host')


def test_a_grant_by_command_cannot_reach_what_is_denied(t):
    session = t.shell()
    done = t.ctl('grant', session.id, str(t.home / '.ssh'))
    true(done.status != 0, f'a required deny is lifted: {done}')
    true('denied' in session.ask(f'cat {t.home}/.ssh/id_rsa').lower(), 'still refused')


def test_an_approval_of_a_parent_does_not_uncover_a_denied_name(t):
    session = t.shell()
    session.say(f'cat {t.home}/notes/plan.txt')
    t.approve(t.prompt(t.home / 'notes/plan.txt'), '--scope', 'parent', '--for', 'session')
    equal(session.line(), 'a plan')
    for name in ('.ssh/id_rsa', '.aws/credentials', '.netrc'):
        true(SECRET not in session.ask(f'cat {t.home}/{name}'), f'{name} is read')


def test_write_to_a_read_only_grant_becomes_a_question_and_its_approval_widens(t):
    folder = t.put(t.home / 'data' / t.project.name / 'x', 'x\n').parent
    session = t.shell([*t.grant_project, '--read', str(folder)])
    session.say(f'echo new >{folder}/x; cat {folder}/x')
    prompt = t.prompt()
    true('write' in prompt['access'], f'access: {prompt}')
    t.approve(prompt, '--scope', 'folder', '--for', 'session', '--rw')
    equal(session.line(), 'new')
    equal((folder / 'x').read_text(), 'new\n')
    session.say(f'rm {folder}/x; ls {folder} | wc -l')
    equal(session.line(), '0', 'it asks no more')


def test_write_to_a_read_only_grant_that_is_refused_fails_and_changes_nothing(t):
    folder = t.put(t.home / 'data' / t.project.name / 'x', 'x\n').parent
    session = t.shell([*t.grant_project, '--read', str(folder)])
    session.say(f'echo new >{folder}/x')
    t.deny(t.prompt())
    line = session.line()
    true('denied' in line.lower() or 'read-only' in line.lower(), line)
    equal((folder / 'x').read_text(), 'x\n')


def test_creating_a_file_in_a_level_asks_and_makes_it_on_the_host(t):
    name = t.home / f'new-{t.project.name}'
    session = t.shell()
    session.say(f'echo content >{name} && cat {name}')
    prompt = t.prompt(name)
    equal(prompt['operation'], 'create')
    t.approve(prompt, '--scope', 'file', '--for', 'session', '--rw')
    equal(session.line(), 'content')
    equal((name.read_text(), name.stat().st_uid), ('content\n', t.alice.pw_uid))
    equal(session.ask(f'echo more >>{name}; cat {name} | tail -1'), 'more')


def test_creating_in_a_level_that_is_refused_makes_nothing(t):
    for command, operation in (('touch {}', 'create'), ('mkdir {}', 'mkdir'), ('ln -s hello.txt {}', 'symlink')):
        name = t.home / f'{operation}-{t.project.name}'
        session = t.shell()
        session.say(command.format(name))
        prompt = t.prompt(name)
        equal(prompt['operation'], operation)
        t.deny(prompt)
        true('denied' in session.line().lower(), command)
        true(not os.path.lexists(name), f'{name} exists')
        session.wait()


def test_making_a_folder_in_a_level(t):
    name = t.home / f'dir-{t.project.name}'
    session = t.shell()
    session.say(f'mkdir {name} && echo x >{name}/f && cat {name}/f')
    t.approve(t.prompt(name), '--scope', 'folder', '--for', 'session', '--rw')
    with t.person(lambda p: ['approve', str(p['id']), '--for', 'session', '--rw']):
        equal(session.line(), 'x')
    equal((name / 'f').read_text(), 'x\n')


def profile(t, name, text):
    """A profile file of alice's own."""
    folder = t.home / '.config/nono/profiles'
    return t.put(folder / f'{name}.json', json.dumps(text) if isinstance(text, dict) else text)


def test_name_pattern_lets_a_program_save_by_rename_without_asking(t):
    name = f'.tool-{t.project.name}.json'
    t.put(t.home / name, 'old\n')
    path = profile(t, f'tool-{t.project.name}', {
        'extends': 'default', 'meta': {'name': f'tool-{t.project.name}'},
        'filesystem': {'allow_file': [f'$HOME/{name}', f'$HOME/{name}.tmp.*']}, 'workdir': {'access': 'readwrite'}})
    got = t.probe(['-p', str(path)], {
        'read': f'read("{t.home}/{name}")',
        'save': f'[write("{t.home}/{name}.tmp.17", "new"), os.rename("{t.home}/{name}.tmp.17", "{t.home}/{name}")] and "saved"',
        'again': f'[write("{t.home}/{name}.tmp.18", "newer"), os.rename("{t.home}/{name}.tmp.18", "{t.home}/{name}")] and "saved"',
        'back': f'read("{t.home}/{name}")', 'other': f'write("{t.home}/{name}.other")', 'unlink other': f'os.rename("{t.home}/{name}", "{t.home}/moved")',
    })
    equal(got, {'read': 'old\n', 'save': 'saved', 'again': 'saved', 'back': 'newer', 'other': 'EACCES', 'unlink other': 'EACCES'})
    equal((t.home / name).read_text(), 'newer')
    equal([p.name for p in t.home.glob(name + '.tmp*')], [])


def test_claude_code_profile_saves_its_settings_file(t):
    got = t.probe(['-p', 'claude-code'], {
        'write': f'write("{t.home}/.claude.json.tmp.{os.getpid()}.abc", "{{}}")',
        'rename': f'os.rename("{t.home}/.claude.json.tmp.{os.getpid()}.abc", "{t.home}/.claude.json")',
        'write again': f'write("{t.home}/.claude.json.tmp.{os.getpid()}.def", "{{1}}")',
        'rename again': f'os.rename("{t.home}/.claude.json.tmp.{os.getpid()}.def", "{t.home}/.claude.json")',
        'read': f'read("{t.home}/.claude.json")', 'lock': f'[os.mkdir("{t.home}/.claude.json.lock"), os.rmdir("{t.home}/.claude.json.lock")] and "locked"',
        'folder': f'[os.makedirs("{t.home}/.claude/projects", exist_ok=True), write("{t.home}/.claude/projects/x")] and "made"',
    })
    equal(got, {'write': 'ok', 'rename': 'ok', 'write again': 'ok', 'rename again': 'ok', 'read': '{1}', 'lock': 'locked', 'folder': 'made'})
    equal(t.asked, [], 'requests')


def test_a_missing_name_asked_a_thousand_times_stays_missing_until_it_appears(t):
    name = t.home / f'late-{t.project.name}'
    session = t.shell()
    equal(session.ask(f'i=0; while [ $i -lt 1000 ]; do [ -e {name} ] && break; i=$((i+1)); done; echo $i'), '1000')
    equal([n for n in os.listdir(t.home) if n.startswith('late-')], [], 'nothing is made on the host')
    t.put(name, 'here\n')
    with t.person(lambda p: ['approve', str(p['id']), '--scope', 'file', '--for', 'session'] if p['path'] == str(name) else None):
        eventually(lambda: session.ask(f'cat {name} 2>&1') == 'here', 'the session sees the name that appeared')
    name.unlink()


def test_a_planted_missing_name_is_not_listed_and_can_be_created(t):
    name = t.home / f'planted-{t.project.name}'
    session = t.shell()
    session.ask(f'i=0; while [ $i -lt 300 ]; do [ -e {name} ]; i=$((i+1)); done; echo end')
    session.say(f'echo made >{name} && cat {name}')
    t.approve(t.prompt(name), '--scope', 'file', '--for', 'session', '--rw')
    equal(session.line(), 'made')
    equal(name.read_text(), 'made\n')


def test_what_a_program_asks_for_is_shown_escaped_and_canonical(t):
    name = t.outside('evil\x1b[2J\u202ename\nnext', 'x')
    session = t.start(t.grant_project, ['cat', f'{t.home}/src/../private/{t.project.name}/./{name.name}'])
    prompt = t.prompt(name)
    equal(prompt['path'], str(name))
    text = t.ctl_ok('prompts').out
    true('\x1b' not in text and '\u202e' not in text, f'unescaped: {text!r}')
    t.deny(prompt)
    equal(session.wait(), 1)


def test_another_user_neither_sees_nor_answers(t):
    a = t.outside('a.txt')
    session = t.shell()
    session.say(f'cat {a}')
    prompt = t.prompt(a)
    equal(t.prompts(user=t.bob), [])
    equal(t.sessions(user=t.bob), [])
    for words in (['approve', str(prompt['id'])], ['deny', str(prompt['id'])], ['stop', session.id], ['grants', session.id],
                  ['grant', session.id, '/home'], ['revoke', session.id, '1']):
        done = t.ctl(*words, user=t.bob)
        true(done.status != 0, f'{words}: {done}')
    true(any(p['id'] == prompt['id'] for p in t.prompts()), 'it still waits')
    t.deny(prompt)
    session.line()


def test_an_answer_is_used_once(t):
    a = t.outside('a.txt', 'file a\n')
    session = t.shell()
    session.say(f'cat {a}')
    prompt = t.prompt(a)
    t.approve(prompt, '--for', 'once')
    equal(session.line(), 'file a')
    true(t.ctl('approve', str(prompt['id'])).status != 0, 'a second answer to the same request')
    true(t.ctl('deny', str(prompt['id'])).status != 0, 'a second answer to the same request')
    true(t.ctl('approve', '987654321').status != 0, 'an answer to no request')


def test_request_of_a_killed_process_goes_away(t):
    a = t.outside('a.txt')
    session = t.shell()
    session.say(f'cat {a} & pid=$!; sleep 0.5; kill -9 $pid; wait $pid 2>/dev/null; echo ended $?')
    t.prompt(a)
    while (line := session.line()) != 'ended 137':
        true('Killed' in line, line)
    eventually(lambda: not t.prompts(), 'the question is gone')


def test_signals_do_not_multiply_a_request(t):
    a = t.outside('a.txt')
    session = t.shell()
    session.say(f'(trap : USR1; exec cat {a}) & pid=$!; for i in 1 2 3 4 5 6 7 8; do kill -WINCH $pid; sleep 0.05; done; wait $pid; echo end')
    prompt = t.prompt(a)
    time.sleep(0.6)
    equal([p['id'] for p in t.prompts()], [prompt['id']])
    t.deny(prompt)
    true('denied' in session.line().lower(), 'one answer')
    equal(session.line(), 'end')


def test_watch_tells_requests_answers_and_grants_as_they_happen(t):
    a = t.outside('a.txt', 'file a\n')
    session = t.shell()
    identity = session.id
    watch = subprocess.Popen(t.m.argv_as(t.alice, [t.m.nonoctl, 'watch', session.id, '--json']), env=t.env(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    t.undo.append(lambda: (watch.kill(), watch.wait(), watch.stdout.close()))
    time.sleep(0.4)
    session.say(f'cat {a}')
    t.approve(t.prompt(a), '--for', 'session')
    equal(session.line(), 'file a')
    session.say(f'cat {t.home}/.ssh/id_rsa')
    session.line()
    time.sleep(0.4)
    session.wait()
    watch.terminate()
    events = [json.loads(line) for line in watch.stdout.read().splitlines()]
    kinds = [e['type'] for e in events]
    for kind in ('request', 'approved', 'denied'):
        true(kind in kinds, f'no {kind} among {kinds}')
    true(kinds.index('request') < kinds.index('approved') < kinds.index('denied'), f'order: {kinds}')
    equal({e['session'] for e in events}, {identity})
    denied = next(e for e in events if e['type'] == 'denied')
    true(denied['path'].startswith(f'{t.home}/.ssh') and denied['reason'] == 'rule' and denied['source'], f'{denied}')
    equal([e['seq'] for e in events], sorted(e['seq'] for e in events))


def test_grants_lists_where_each_comes_from(t):
    session = t.shell()
    grant = t.grant_of(session, t.project)
    true('write' in grant['access'], f'{grant}')
    true('--allow' in json.dumps(grant), f'its source: {grant}')
    true(any(g['path'] == '/usr/bin' or g['path'] == '/usr' for g in t.grants(session)), 'the profile’s own grants')


def test_dry_run_starts_nothing_and_tells_the_grants(t):
    marker = t.project / 'ran'
    done = t.run([*t.grant_project, '--dry-run'], ['touch', str(marker)])
    equal(done.status, 0, repr(done))
    true(not marker.exists(), 'it ran')
    true(str(t.project) in done.out, repr(done))


def test_workdir_is_granted_only_when_asked(t):
    equal(t.probe([], {'x': f'read("{t.project}/hello.txt")'}, cwd=t.home / 'notes')['x'], 'EACCES')
    equal(t.probe(['--allow-cwd'], {'x': f'read("{t.project}/hello.txt")'})['x'], 'hello\n')
    equal(t.probe(['--workdir', str(t.project), '--allow-cwd'], {'x': 'read("hello.txt")', 'cwd': 'os.getcwd()'}, cwd=t.home),
          {'x': 'hello\n', 'cwd': str(t.project)})


def test_a_profile_file_of_the_user_cannot_lift_a_required_deny(t):
    path = profile(t, f'bad-{t.project.name}', {
        'extends': 'default', 'meta': {'name': f'bad-{t.project.name}'},
        'filesystem': {'allow': ['$HOME/.ssh'], 'bypass_protection': ['$HOME/.ssh']}, 'workdir': {'access': 'readwrite'}})
    done = t.run(['-p', str(path)], ['cat', f'{t.home}/.ssh/id_rsa'])
    true(done.status != 0 and SECRET not in done.out, repr(done))


def test_fifty_grants_are_made_and_revoked(t):
    folders = [t.put(t.home / 'many' / t.project.name / f'd{i}' / 'x', f'{i}\n').parent for i in range(50)]
    session = t.shell()
    for folder in folders:
        t.ctl_ok('grant', session.id, str(folder))
    equal(session.ask(f'i=0; while [ $i -lt 50 ]; do cat {folders[0].parent}/d$i/x; i=$((i+1)); done | tr "\\n" " "; echo'),
          ' '.join(map(str, range(50))) + ' ')
    equal(session.ask(f'ls {folders[0].parent} | wc -l'), '50', 'they are listed')
    for folder in folders:
        t.ctl_ok('revoke', session.id, str(t.grant_of(session, folder)['id']))
    equal([g for g in t.grants(session) if str(folders[0].parent) in g['path']], [])
    equal(session.ask(f'ls {t.project} | tr -d "\\n"; echo'), 'hello.txt')
