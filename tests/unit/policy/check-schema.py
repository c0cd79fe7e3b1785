#!/usr/bin/env python3
"""
check-schema.py — does the JSON Schema accept what loads and reject what does not?

    check-schema.py PRINT_SCHEMA SOURCE_ROOT

The manual page has to mention every key. A real validator (python3-jsonschema) judges the shipped profiles, nono's profiles of all periods and the broken files.
Exit status 77 where the validator is missing.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print('python3-jsonschema is missing')
    sys.exit(1 if os.environ.get('NONOD_TESTS_MUST_RUN') == '1' else 77)

# What a schema cannot say: the text itself, and the name of the file.
BEYOND_A_SCHEMA = {'profile-lone-surrogate', 'profile-nested-too-deep', 'profile-wrong-name'}
COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.S)


def load(path):
    def pairs(items):
        if len({key for key, _ in items}) != len(items):
            raise ValueError('duplicate key')
        return dict(items)

    text = COMMENT.sub(lambda m: m.group(1) or ' ', path.read_bytes().decode())
    return json.loads(text, object_pairs_hook=pairs)


def path_item(text):
    m = re.fullmatch(r'(.*) \[when (.*)\]', text)
    return {'path': m.group(1), 'when': m.group(2)} if m else text


def render(p, old):
    """A profile of the facts file, in the keys of its time."""
    lists = ('allow', 'read', 'write', 'allow_file', 'read_file', 'deny', 'bypass_protection', 'suppress_save_prompt')
    whole = ('open_urls', 'allow_launch_services', 'allow_gpu', 'session_hooks', 'diagnostics', 'environment', 'hooks',
             'unsafe_macos_seatbelt_rules')
    out = {'meta': {'name': p['name'], 'description': p['description']}, 'extends': p['extends'],
           'filesystem': {k: [path_item(i) for i in p[k]] for k in lists if p.get(k)},
           'security': {k: p[k] for k in ('signal_mode', 'ipc_mode', 'capability_elevation') if k in p},
           'network': {'block': p['network_block']}, 'workdir': {'access': p['workdir']}}
    out.update({k: p[k] for k in whole if k in p})
    if 'network_profile' in p:
        out['network']['network_profile'] = p['network_profile']
    if 'rollback_exclude' in p:
        out['undo' if old else 'rollback'] = p['rollback_exclude']
    if old:
        out['security']['groups'] = p['groups']
        out['policy'] = {'override_deny': out['filesystem'].pop('bypass_protection', [])}
    else:
        out['groups'] = {'include': p['groups']}
    return out


def keys_of(schema):
    """Every present key of a profile, by its own name; those of `policy` are all historic."""
    for key, value in schema.get('properties', {}).items():
        if value.get('deprecated') or key == 'policy':
            continue
        yield key
        yield from keys_of(value)


def main():
    schema = json.loads(subprocess.run([sys.argv[1]], check=True, capture_output=True).stdout)
    root = pathlib.Path(sys.argv[2])
    failures = 0
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def judge(name, value, good):
        nonlocal failures
        errors = list(validator.iter_errors(value))
        if bool(errors) == good:
            failures += 1
            print(f'{name}: {errors[0].message if errors else "accepted"}')

    shipped = sorted((root / 'policy.d/profiles').glob('*.json'))
    for path in shipped:
        judge(path.name, load(path), True)
    facts = json.loads((root / 'tests/data/policy/nono-profiles.json').read_text())
    known = [p for section in ('built_in', 'historic', 'packs') for p in facts[section]]
    for p in known:
        judge(f"{p['name']} ({p['source']})", render(p, 'v0.2' in p['source']), True)
    n_broken = 0
    for path in sorted((root / 'tests/data/policy/broken').glob('profile-*.json')):
        n_broken += 1
        if path.stem in BEYOND_A_SCHEMA:
            continue
        try:
            value = load(path)
        except ValueError:
            continue
        judge(path.name, value, False)
    page = (root / 'policy.d/nonod-policy.5.rst').read_text()
    missing = [key for key in keys_of(schema) if not re.search(rf'[`.]{re.escape(key)}``', page)]
    for key in missing:
        print(f'nonod-policy.5 does not mention {key}')
    failures += len(missing)
    print(f'{len(shipped)} shipped and {len(known)} known profiles accepted, {n_broken} broken ones seen, {failures} wrong')
    return 1 if failures or not shipped or not n_broken else 0


if __name__ == '__main__':
    sys.exit(main())
