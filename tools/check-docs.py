#!/usr/bin/env python3
"""
check-docs.py — do the documents say what the programs do: options, pages, links, policy files, units.

Prints `ok NAME`, `not ok NAME` or `skip NAME: why`. Runs as: anyone.   Input: the source tree and a build.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.dom.minidom

ROOT = pathlib.Path(__file__).resolve().parent.parent
NONODS = ROOT / 'daemon/nonod.8.rst'
NONOCTLS = ROOT / 'client/nonoctl.1.rst'


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def run(*argv, **more):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)


def options_of(text):
    return set(re.findall(r'(?<![\w-])--[a-z][a-z-]+', text))


def verbs(build):
    text = run(build / 'client/nonoctl', '--help').stdout
    return re.findall(r'^  ([a-z]+) ', text, re.M)


def tracked(*patterns):
    return [ROOT / line for line in run('git', '-C', ROOT, 'ls-files', *patterns).stdout.splitlines() if (ROOT / line).is_file()]


def test_every_option_of_nonod_is_in_its_page_and_no_other(build):
    lines = run(build / 'daemon/nonod', '--help').stdout.splitlines()
    program = options_of('\n'.join(line for line in lines if re.match(r'  (-\w, )?--', line)))
    page = options_of(NONODS.read_text())
    if program != page:
        raise Failure(f'only in --help: {sorted(program - page)}; only in the page: {sorted(page - program)}')


def test_every_verb_and_option_of_nonoctl_is_in_its_page(build):
    page = NONOCTLS.read_text()
    for verb in verbs(build):
        if f'**{verb}**' not in page:
            raise Failure(f'{verb} is not in the page')
        missing = options_of(run(build / 'client/nonoctl', verb, '--help').stdout) - options_of(page)
        if missing:
            raise Failure(f'{verb}: not in the page: {sorted(missing)}')


def test_every_option_in_the_page_of_nonoctl_exists(build):
    known = options_of(run(build / 'client/nonoctl', '--help').stdout)
    for verb in verbs(build):
        known |= options_of(run(build / 'client/nonoctl', verb, '--help').stdout)
    # words of other programs in examples stand after a lone --
    page = '\n'.join(line.partition(' -- ')[0] for line in NONOCTLS.read_text().splitlines())
    unknown = options_of(page) - known - {'--version', '--help', '--socket'}
    if unknown:
        raise Failure(f'no verb has {sorted(unknown)}')


def test_completion_names_every_verb(build):
    if 'completion' not in verbs(build):
        raise Skip('nonoctl has no completion')
    for shell in ('bash', 'zsh', 'fish'):
        done = run(build / 'client/nonoctl', 'completion', shell)
        if done.returncode:
            raise Failure(f'completion {shell}: {done.stderr}')
        missing = [v for v in verbs(build) if not re.search(rf'\b{v}\b', done.stdout)]
        if missing:
            raise Failure(f'{shell}: {missing} are missing')


def test_manual_pages_are_valid(build):
    if not shutil.which('rst2man'):
        raise Skip('rst2man (python3-docutils) is not installed')
    for page in tracked('*.rst'):
        done = run('rst2man', '--report=2', '--exit-status=2', page)
        if done.returncode or done.stderr:
            raise Failure(f'{page.relative_to(ROOT)}: {done.stderr}')


def test_commands_in_the_documents_exist(build):
    known = verbs(build)
    for page in tracked('README.md', 'docs/*.md'):
        for block in re.findall(r'```sh\n(.*?)```', page.read_text(), re.S):
            for line in block.splitlines():
                match = re.match(r'(?:\S+=\S+ )*(?:build/client/)?nonoctl (\S+)(.*)', line)
                if not match:
                    continue
                verb, rest = match.group(1), match.group(2).partition('#')[0].partition(' -- ')[0]
                if verb not in known:
                    raise Failure(f'{page.name}: there is no verb {verb}: {line}')
                unknown = options_of(rest) - options_of(run(build / 'client/nonoctl', verb, '--help').stdout)
                if unknown:
                    raise Failure(f'{page.name}: {verb} has no {sorted(unknown)}: {line}')


def test_links_and_file_names_in_the_documents_lead_somewhere(build):
    for page in tracked('*.md'):
        text = page.read_text()
        for target in re.findall(r'\]\(([^)#]+)[^)]*\)', text):
            if '://' not in target and not (page.parent / target).exists():
                raise Failure(f'{page.relative_to(ROOT)}: {target}')
        # `daemon/…` and such, as far as they name one file or folder
        for target in re.findall(r'`((?:daemon|client|common|proto|policy\.d|systemd|launchd|tests|bench|tools|docs)/[\w./-]*)`', text):
            if not (ROOT / target).exists():
                raise Failure(f'{page.relative_to(ROOT)}: {target} does not exist')


def test_every_folder_is_in_the_readme(build):
    text = (ROOT / 'README.md').read_text()
    for folder in sorted({p.relative_to(ROOT).parts[0] for p in tracked() if len(p.relative_to(ROOT).parts) > 1}):
        if not folder.startswith('.') and f'`{folder}/' not in text:
            raise Failure(f'{folder}/ is not in README.md')


def test_profiles_that_are_shipped_can_be_asked_for(build):
    if 'policy' not in verbs(build):
        raise Skip('nonoctl has no policy')
    env = {**os.environ, 'NONO_POLICY_DIR': str(ROOT / 'policy.d')}
    for path in sorted((ROOT / 'policy.d/profiles').glob('*.json')):
        done = run(build / 'client/nonoctl', 'policy', 'show', path.stem, env=env)
        if done.returncode or not done.stdout:
            raise Failure(f'{path.name}: {done.stderr}')


def test_example_profile_of_the_cookbook_compiles(build):
    import tempfile
    if 'policy' not in verbs(build):
        raise Skip('nonoctl has no policy')
    text = re.search(r'```json\n(.*?)```', (ROOT / 'docs/cookbook.md').read_text(), re.S).group(1)
    json.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'thing.json')
        path.write_text(text)
        done = run(build / 'client/nonoctl', 'policy', 'show', path, env={**os.environ, 'NONO_POLICY_DIR': str(ROOT / 'policy.d')}, cwd=folder)
        if done.returncode:
            raise Failure(done.stderr)


def test_units_are_valid(build):
    if not shutil.which('systemd-analyze'):
        raise Skip('systemd-analyze is not installed')
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        # the program need not be installed for this
        unit = (build / 'systemd/nonod.service').read_text()
        (pathlib.Path(folder) / 'nonod.service').write_text(re.sub(r'(?m)^ExecStart=\S+', f'ExecStart={build}/daemon/nonod', unit))
        shutil.copy(ROOT / 'systemd/nonod.socket', folder)
        done = run('systemd-analyze', 'verify', '--man=no', f'{folder}/nonod.service', f'{folder}/nonod.socket')
        ours = [line for line in done.stderr.splitlines() if 'nonod.' in line]
        if ours:
            raise Failure('\n'.join(ours))


def test_launchd_job_is_well_formed(build):
    xml.dom.minidom.parse(str(ROOT / 'launchd/org.nonod.nonod.plist'))


def test_shell_scripts_parse(build):
    for path in ('tools/check', 'tools/quickstart', 'tools/dependencies.sh', '.ci/run'):
        done = run('sh', '-n', ROOT / path)
        if done.returncode:
            raise Failure(done.stderr)
        if shutil.which('shellcheck'):
            done = run('shellcheck', '-x', path, cwd=ROOT)
            if done.returncode:
                raise Failure(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', default='build')
    build = pathlib.Path(parser.parse_args().build).resolve()
    n_failed = 0
    for name, function in list(globals().items()):
        if not name.startswith('test_'):
            continue
        text = name[5:].replace('_', ' ')
        try:
            function(build)
            print(f'ok {text}', flush=True)
        except Skip as e:
            print(f'skip {text}: {e}', flush=True)
        except Failure as e:
            n_failed += 1
            print('\n'.join('    ' + line for line in str(e).splitlines()) + f'\nnot ok {text}', flush=True)
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
