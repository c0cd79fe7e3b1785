#!/usr/bin/env python3
"""
check-verbs.py — policy, profile, why and completion as a person uses them, in a home of their own.

    check-verbs.py NONOCTL SOURCE_ROOT
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(sys.argv[2])


class Verbs(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.home = pathlib.Path(os.path.realpath(self.directory.name))
        self.profiles = self.home / '.config/nono/profiles'
        self.project = self.home / 'project'
        self.project.mkdir()

    def tearDown(self):
        self.directory.cleanup()

    def run_verb(self, *args, status=0, stdin='', **env):
        done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, input=stdin, cwd=self.project, env={
            'HOME': str(self.home), 'PATH': os.environ['PATH'], 'LANG': 'C.UTF-8',
            'NONO_POLICY_DIR': str(ROOT / 'policy.d'), **env})
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        self.errors = done.stderr
        return done.stdout

    def json(self, *args, **kwargs):
        return json.loads(self.run_verb(*args, '--json', **kwargs))

    def write(self, name, text):
        self.profiles.mkdir(parents=True, exist_ok=True)
        path = self.profiles / f'{name}.json'
        path.write_text(text)
        return path

    def test_groups_in_both_forms(self):
        self.assertTrue(self.run_verb('policy', 'groups').startswith('nono policy: 31 groups\n'))
        self.assertIn('(all platforms)', self.run_verb('policy', 'groups', '--all-platforms'))
        groups = self.json('policy', 'groups')
        self.assertEqual(list(groups[0]), ['name', 'description', 'platform', 'required', 'allow', 'deny'])
        group = self.json('policy', 'groups', 'deny_credentials')
        self.assertTrue(group['required'])
        self.assertEqual(group['deny']['access'][0], {'raw': '~/.ssh', 'expanded': f'{self.home}/.ssh'})
        self.assertIn(f'~/.ssh -> {self.home}/.ssh', self.run_verb('profile', 'groups', 'deny_credentials'))
        self.run_verb('policy', 'groups', 'nothing', status=1)

    def test_list_names_sources_and_broken_files(self):
        self.write('mine', '{ "extends": "codex", "meta": { "description": "own" } }')
        self.write('codex', '{}')
        self.write('bad', '{ "filesytem": {} }')
        profiles = {p['name']: p for p in self.json('policy', 'profiles')}
        self.assertEqual(profiles['default']['source'], 'built-in')
        self.assertEqual(profiles['mine'], {'name': 'mine', 'source': 'user', 'description': 'own', 'extends': ['codex']})
        self.assertEqual(profiles['codex']['source'], 'user (overrides built-in)')
        self.assertIn('bad.json:1:3: unknown key', profiles['bad']['error'])
        self.assertIn('[error: ', self.run_verb('profile', 'list'))

    def test_profile_of_another_user_is_not_used(self):
        if os.getuid() != 0:
            self.skipTest('only root can give files away')
        os.chown(self.write('given', '{}'), 12345, 12345)
        self.assertIn('belongs to another user', {p['name']: p for p in self.json('policy', 'profiles')}['given']['error'])
        self.run_verb('policy', 'show', 'given', status=1)

    def test_show_and_diff(self):
        shown = self.json('policy', 'show', 'claude-code')
        self.assertIn('$HOME/.claude', shown['filesystem']['allow'])
        self.assertIn('claude_code_linux', shown['security']['groups'])
        text = self.run_verb('policy', 'show', 'claude-code')
        self.assertIn(f'  $HOME/.claude -> {self.home}/.claude', text)
        self.assertNotIn(f'-> {self.home}', self.run_verb('policy', 'show', '--raw', 'claude-code'))
        diff = self.json('policy', 'diff', 'python-dev', 'node-dev')
        self.assertEqual(diff['groups'], {'added': ['node_runtime'], 'removed': ['python_runtime']})
        self.assertEqual(self.run_verb('policy', 'diff', 'codex', 'codex'), '(no differences)\n')
        self.assertIn('  + node_runtime\n', self.run_verb('policy', 'diff', 'python-dev', 'node-dev'))
        self.run_verb('policy', 'show', 'nothing', status=1)

    def test_shown_profile_file_is_stable(self):
        for name in ('default', 'claude-code', 'codex', 'opencode', 'gemini'):
            first = self.run_verb('policy', 'show', name, '--format', 'profile')
            path = self.project / f'{name}.json'
            path.write_text(first)
            self.run_verb('policy', 'validate', str(path))
            self.assertEqual(self.run_verb('policy', 'show', str(path), '--format', 'profile'), first)

    def test_validate_tells_line_and_status(self):
        path = self.write('bad', '{\n  "filesystem": {\n    "raed": []\n  }\n}\n')
        result = self.json('policy', 'validate', str(path), status=1)
        self.assertFalse(result['valid'])
        self.assertIn(f'{path}:3:5: ', result['errors'][0])
        self.assertIn('Result: invalid (1 error)', self.run_verb('profile', 'validate', str(path), status=1))
        old = '{ "security": { "groups": ["node_runtime"] } }'
        self.assertIn('Result: valid', self.run_verb('policy', 'validate', '-', stdin=old))
        self.run_verb('policy', 'validate', '--strict', '-', stdin=old, status=2)
        self.run_verb('policy', 'validate', '-', stdin='{}' + ' ' * (1 << 20), status=1)
        self.run_verb('policy', 'validate', str(self.home), status=1)

    def test_init_writes_what_validates(self):
        self.run_verb('profile', 'init', 'my-agent', '--extends', 'claude-code', '--groups', 'bun_runtime', '--description', 'D')
        path = self.profiles / 'my-agent.json'
        value = json.loads(path.read_text())
        self.assertEqual(list(value), ['extends', 'meta', 'groups', 'workdir', 'filesystem'])
        self.assertEqual(value['meta'], {'name': 'my-agent', 'description': 'D'})
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual([p.name for p in self.profiles.iterdir()], ['my-agent.json'])
        self.run_verb('policy', 'validate', str(path))
        self.run_verb('profile', 'init', 'my-agent', status=1)
        self.run_verb('profile', 'init', 'my-agent', '--force', '--full')
        self.run_verb('policy', 'validate', str(path))
        for bad in (['claude-code'], ['-x'], ['a_b'], ['ü'], ['x', '--extends', 'nothing'], ['x', '--groups', 'nothing']):
            self.run_verb('profile', 'init', *([bad[0]] + bad[1:] if bad[0][0] != '-' else ['--', *bad]), status=1)

    def test_edit_keeps_comments_and_never_saves_an_error(self):
        path = self.write('mine', '// why\n{\n    "filesystem": {\n        "read": [\n            "/a" // a\n        ]\n    }\n}\n')
        self.run_verb('profile', 'edit', 'mine', '--add', 'filesystem.read=~/b')
        self.assertEqual(path.read_text(), '// why\n{\n    "filesystem": {\n        "read": [\n            "/a", // a\n'
                                           '            "~/b"\n        ]\n    }\n}\n')
        before = path.read_text()
        for bad in ('filesystem.read=b', 'filesystem.raed=/b', 'filesystem.read', 'filesystem.read='):
            self.run_verb('profile', 'edit', 'mine', '--add', bad, status=1)
        self.assertEqual(path.read_text(), before)
        self.run_verb('profile', 'edit', 'mine', '--remove', 'filesystem.read=~/b')
        self.run_verb('profile', 'edit', 'mine', '--remove', 'filesystem.read=~/b', status=1)
        editor = self.home / 'editor'
        editor.write_text('#!/bin/sh\necho \'{ "binary": "ed" }\' > "$1"\n')
        editor.chmod(0o755)
        self.run_verb('profile', 'edit', 'mine', EDITOR=str(editor))
        self.assertEqual(json.loads(path.read_text()), {'binary': 'ed'})
        editor.write_text('#!/bin/sh\necho broken > "$1"\n')
        self.run_verb('profile', 'edit', 'mine', EDITOR=str(editor), status=1)
        self.assertEqual(json.loads(path.read_text()), {'binary': 'ed'})

    def test_why_names_rule_file_and_line(self):
        secret = self.json('why', '-p', 'claude-code', '--path', '~/.ssh/id'.replace('~', str(self.home)))
        self.assertEqual((secret['status'], secret['reason']), ('denied', 'sensitive_path'))
        line = secret['policy_source']['line']
        self.assertIn('~/.ssh', (ROOT / 'policy.d/groups/deny_credentials.json').read_text().splitlines()[line - 1])
        self.assertEqual(self.json('why', '-p', 'claude-code', '--path', '.', '--op', 'readwrite')['status'], 'allowed')
        asked = self.json('why', '--path', '/etc/shadow', '--op', 'write')
        self.assertEqual((asked['reason'], asked['suggested_flag']), ('path_not_granted', '--write /etc/shadow'))
        self.assertEqual(self.json('why', '--path', '/usr/bin/x', '--op', 'write')['reason'], 'insufficient_access')
        self.assertIn('"reason": "granted_path"', self.run_verb('why', '--json', '--path', '/usr/bin/env', '--op', 'exec'))
        self.assertIn('Source: ', self.run_verb('why', '--path', '/usr/bin/env'))
        self.run_verb('why', status=2)
        self.run_verb('why', '--path', '/', '--op', 'frob', status=1)

    def test_why_follows_links(self):
        (self.home / '.ssh').mkdir()
        (self.project / 'link').symlink_to(self.home / '.ssh')
        self.assertEqual(self.json('why', '-p', 'claude-code', '--path', 'link/id')['status'], 'denied')
        self.assertEqual(self.json('why', '-p', 'claude-code', '--path', './a/../../.ssh')['status'], 'denied')

    def test_why_hosts_and_scopes(self):
        self.assertEqual(self.json('why', '-p', 'node-dev', '--host', 'github.com')['reason'], 'proxy_allowed')
        self.assertEqual(self.json('why', '--host', 'evil.example')['status'], 'approval_required')
        self.write('closed', '{ "network": { "block": true, "open_port": [5432] } }')
        self.assertEqual(self.json('why', '-p', 'closed', '--host', 'a.example')['reason'], 'network_blocked')
        self.assertEqual(self.json('why', '-p', 'closed', '--host', 'localhost', '--port', '5432')['status'], 'allowed')
        self.assertEqual(self.json('why', '--scope', 'signal')['status'], 'scope')

    def test_why_self_reads_the_sessions_state(self):
        self.assertEqual(self.json('why', '--self', '--path', '/')['status'], 'not_sandboxed')
        state = self.home / 'state.json'
        state.write_text(self.run_verb('policy', 'show', 'claude-code', '--format', 'manifest'))
        inside = self.json('why', '--self', '--path', str(self.home / '.aws/x'), NONO_STATE_FILE=str(state))
        self.assertEqual(inside['policy_source']['group'], 'deny_credentials')
        state.write_text('{ "rules": [{}] }')
        self.run_verb('why', '--self', '--path', '/', NONO_STATE_FILE=str(state), status=1)

    def test_completion_scripts_parse_and_complete(self):
        for shell in ('bash', 'zsh', 'fish'):
            self.assertIn('nonoctl', self.run_verb('completion', shell))
        self.assertIn('claude-code\n', self.run_verb('completion', 'profiles'))
        self.run_verb('completion', 'tcsh', status=2)
        script = self.home / 'completion.bash'
        script.write_text(self.run_verb('completion', 'bash'))
        done = subprocess.run(['bash', '-c', 'source "$1"; COMP_WORDS=(nonoctl policy sh); COMP_CWORD=2; _nonoctl; '
                               'echo "${COMPREPLY[@]}"', 'bash', str(script)], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ('show\n', ''))

    def test_completed_options_are_those_of_the_help(self):
        words = self.run_verb('completion', 'bash')
        branches = re.findall(r"^        '(\w+) (\w*)'\)\n            options='(.*) --help'$", words, re.M)
        self.assertGreater(len(branches), 25)
        for verb in branches:
            help_text = self.run_verb(*[word for word in verb[:2] if word], '--help')
            for option in verb[2].split():
                self.assertRegex(help_text, rf'{option}\b', verb[:2])

    def test_completed_verbs_are_those_of_nonoctl(self):
        verbs = re.findall(r'^  (\w+) ', self.run_verb('--help').split('\n\n')[2] + '\n', re.M)
        branches = re.findall(r"^        '(\w+) '\)$", self.run_verb('completion', 'bash'), re.M)
        self.assertIn('spawn', verbs)
        self.assertEqual(sorted(set(verbs) | set(branches)), sorted(branches), verbs)

    def test_schema_and_guide(self):
        schema = json.loads(self.run_verb('profile', 'schema'))
        self.assertEqual(schema['$schema'], 'https://json-schema.org/draft/2020-12/schema')
        self.run_verb('profile', 'schema', '-o', str(self.home / 'deep/er/schema.json'))
        self.assertEqual(json.loads((self.home / 'deep/er/schema.json').read_text()), schema)
        self.assertTrue(self.run_verb('profile', 'guide').startswith('# Writing a profile\n'))

    def test_foreign_bytes_do_not_reach_the_terminal(self):
        path = self.write('evil', '{ "meta": { "description": "\\u001b[31mred" }, "filesystem": { "read": ["/\\u202e/x"] } }')
        for args in (['policy', 'profiles'], ['policy', 'show', 'evil'], ['policy', 'diff', 'default', 'evil'],
                     ['policy', 'validate', str(path)], ['why', '-p', 'evil', '--path', '/\u202e/x']):
            out = self.run_verb(*args)
            self.assertNotIn('\033', out)
            self.assertNotIn('\u202e', out)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0]])
