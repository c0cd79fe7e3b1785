/*
 * stub.mjs — a local stand-in for the two model APIs, playing a fixed script of tool calls.
 *
 * A coding agent is a loop: ask the model, run the tool it names, send the result back. Here the "model" is a list, so an
 * unmodified agent does exactly known work and each tool result is compared with what the step expects. Speaks, with
 * server-sent events, the Messages API (Claude Code) and the Responses API (Codex): only what these two clients read.
 *
 * Which step comes next is derived from the request and not from a counter: every call id names its step, so a request that
 * the client repeats gets the same answer again. Requests that do not belong to the work (titles, probes, summaries) carry
 * neither our tools nor our call ids; they get a short text and change nothing.
 *
 * Input: an agent under test, on loopback. The script is trusted, it is ours.
 *
 *   node stub.mjs --script FILE [--port N] [--report FILE] [--bare] [--set NAME=VALUE]... [--never TEXT]... [--dump DIR]
 *
 * Prints "listening PORT" when ready, "played NAME pass|fail" for each step. The report is written at the end and on SIGTERM.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const BODY_MAX = 64 * 1024 * 1024;
const DETAIL_MAX = 2000;
const COMMAND_MS = 120000;                              /* longest command, with a person deciding in between */
const FINAL_TEXT = 'All steps of the script were played.';
const SIDE_TEXT = 'Scripted work';

/* ---- arguments ---- */

function usage(text) {
        process.stderr.write(`stub.mjs: ${text}\n`);
        process.exit(2);
}

function parseArguments(argv) {
        const args = { port: 0, script: '', report: '', bare: false, set: {}, never: [], dump: '' };

        for (let i = 0; i < argv.length; i++) {
                const value = () => argv[++i] ?? usage(`${argv[i - 1]} needs a value`);

                switch (argv[i]) {
                case '--port': args.port = Number(value()); break;
                case '--script': args.script = value(); break;
                case '--report': args.report = value(); break;
                case '--dump': args.dump = value(); break;
                case '--never': args.never.push(value()); break;
                case '--bare': args.bare = true; break;
                case '--set': {
                        const [, name, text] = /^([A-Z_]+)=(.*)$/s.exec(value()) ?? usage('--set takes NAME=VALUE');
                        args.set[name] = text;
                        break;
                }
                default: usage(`unknown argument '${argv[i]}'`);
                }
        }
        if (!args.script)
                usage('--script is missing');
        return args;
}

const args = parseArguments(process.argv.slice(2));

/* Only names that were given are replaced: a "$?" or "$HOME_DIR" of a shell command stays what it is. */
function substitute(node) {
        if (typeof node === 'string')
                return node.replace(/\$\{?([A-Z_]+)\}?/g, (all, name) => args.set[name] ?? all);
        if (Array.isArray(node))
                return node.map(substitute);
        if (node && typeof node === 'object')
                return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, substitute(v)]));
        return node;
}

/* ---- the script and its results ---- */

const script = JSON.parse(fs.readFileSync(args.script, 'utf8'));
args.set = { ...script.variables, ...args.set };
const steps = substitute(script.steps);
const results = steps.map((s) => ({ name: s.name, state: 'not played', detail: '', ms: 0 }));
const asked = steps.map(() => 0);
const sides = [];
const leaks = new Set();
let flavour = '';
let finished = false;

const callId = (i) => `call_nonod_${String(i).padStart(3, '0')}`;
const stepOfCall = (id) => /^call_nonod_(\d{3})$/.exec(id ?? '') ? Number(id.slice(-3)) : -1;

/* "expect" holds everywhere; "expect_bare" and "expect_boxed" add what differs without and with a sandbox. */
function expectationsOf(step) {
        const only = args.bare ? step.expect_bare : step.expect_boxed;
        return [step.expect, only].filter(Boolean);
}

function findFault(expect, output, isError) {
        for (const text of [expect.output_contains ?? []].flat())
                if (!output.includes(text))
                        return `output lacks '${text}'`;
        for (const text of [expect.output_lacks ?? []].flat())
                if (output.includes(text))
                        return `output has '${text}', which must not be there`;
        for (const text of [expect.output_matches ?? []].flat())
                if (!new RegExp(text, 'im').test(output))
                        return `output does not match /${text}/`;
        if (typeof expect.is_error === 'boolean' && typeof isError === 'boolean' && expect.is_error !== isError)
                return `the agent reported ${isError ? 'an error' : 'success'}`;
        return '';
}

function recordResult(i, output, isError) {
        const result = results[i];
        const fault = expectationsOf(steps[i]).map((e) => findFault(e, output, isError)).find(Boolean) ?? '';

        if (result.state !== 'not played')
                return;                                 /* the same request once more */
        result.state = fault ? 'fail' : 'pass';
        result.detail = (fault ? `${fault}; got: ` : '') + output.slice(0, DETAIL_MAX);
        result.ms = Date.now() - asked[i];
        process.stdout.write(`played ${result.name} ${result.state}\n`);
}

function writeReport() {
        if (!args.report)
                return;
        fs.writeFileSync(args.report + '.tmp', JSON.stringify({
                agent: flavour, bare: args.bare, finished, steps: results, leaks: [...leaks], side_requests: sides,
        }, null, 2) + '\n');
        fs.renameSync(args.report + '.tmp', args.report);
}

/* ---- choosing the answer, the same for both APIs ---- */

/* @played: [{id, output, isError}] in order; @isWork: carries the tools. Returns {step} | {text}. */
function chooseAnswer(played, isWork, what) {
        const ours = played.map((p) => ({ ...p, step: stepOfCall(p.id) })).filter((p) => p.step >= 0 && p.step < steps.length);
        const last = ours.at(-1);
        let next = 0;

        if (!isWork) {
                sides.push(what);
                return { text: SIDE_TEXT };
        }
        if (last) {
                recordResult(last.step, last.output, last.isError);
                next = last.step + 1;
        }
        if (next >= steps.length) {
                finished = true;
                writeReport();
                return { text: FINAL_TEXT };
        }
        asked[next] ||= Date.now();
        return { step: next };
}

/* ---- answers ---- */

function sendJson(res, status, body, headers = {}) {
        res.writeHead(status, { 'content-type': 'application/json', ...headers });
        res.end(JSON.stringify(body));
}

function sendEvents(res, events) {
        res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
        for (const event of events)
                res.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        res.end();
}

/* ---- Messages API (Claude Code) ---- */

function textOf(content) {
        if (typeof content === 'string')
                return content;
        return (content ?? []).map((part) => part.text ?? '').join('\n');
}

function answerMessages(body, res) {
        const blocks = (body.messages ?? []).flatMap((m) => Array.isArray(m.content) ? m.content : []);
        const played = blocks.filter((b) => b.type === 'tool_result')
                .map((b) => ({ id: b.tool_use_id, output: textOf(b.content), isError: b.is_error === true }));
        const isWork = (body.tools ?? []).some((t) => t.name === 'Bash');
        const answer = chooseAnswer(played, isWork, `messages, ${body.model}, max_tokens ${body.max_tokens}`);
        const step = steps[answer.step];
        const block = step ? { type: 'tool_use', id: callId(answer.step), name: step.claude.tool, input: step.claude.input }
                : { type: 'text', text: answer.text };
        const stop = step ? 'tool_use' : 'end_turn';
        const message = {
                id: `msg_nonod_${Date.now().toString(36)}`, type: 'message', role: 'assistant', model: body.model,
                content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 },
        };

        if (!body.stream)
                return sendJson(res, 200, { ...message, content: [block], stop_reason: stop });
        sendEvents(res, [
                { type: 'message_start', message },
                { type: 'content_block_start', index: 0, content_block: step ? { ...block, input: {} } : { ...block, text: '' } },
                {
                        type: 'content_block_delta', index: 0,
                        delta: step ? { type: 'input_json_delta', partial_json: JSON.stringify(block.input) }
                                : { type: 'text_delta', text: block.text },
                },
                { type: 'content_block_stop', index: 0 },
                { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 1 } },
                { type: 'message_stop' },
        ]);
}

/* ---- Responses API (Codex) ---- */

/*
 * Codex offers its tools in three shapes, by model: a JavaScript cell that calls them ("code mode", in a namespace inside an
 * input item), or plain functions named exec_command or shell_command. A script says what to do: "command" or "patch".
 */
function codexTools(body) {
        const extra = (Array.isArray(body.input) ? body.input : []).flatMap((i) => i.type === 'additional_tools' ? i.tools : []);
        const all = [...(body.tools ?? []), ...extra];
        return new Set(all.flatMap((t) => t.type === 'namespace' ? t.tools : [t]).map((t) => t.name));
}

function codeCell({ command, patch }) {
        if (patch)
                return `text(await tools.apply_patch(${JSON.stringify(patch)}));`;
        return `// @exec: {"yield_time_ms": ${COMMAND_MS}}
let r = await tools.exec_command({ cmd: ${JSON.stringify(command)}, yield_time_ms: 30000 });
let all = r.output;
while (r.exit_code === undefined && r.session_id !== undefined) {
        r = await tools.write_stdin({ session_id: r.session_id, chars: '', yield_time_ms: 30000 });
        all += r.output;
}
text('Exit code: ' + r.exit_code + '\\n' + all);`;
}

function codexCall(i, tools) {
        const { command, patch } = steps[i].codex;
        const custom = (name, input) => ({
                type: 'custom_tool_call', id: `ctc_nonod_${i}`, call_id: callId(i), status: 'completed', name, input,
        });
        const plain = (name, input) => ({
                type: 'function_call', id: `fc_nonod_${i}`, call_id: callId(i), status: 'completed',
                name, arguments: JSON.stringify(input),
        });

        if (tools.has('exec'))
                return custom('exec', codeCell(steps[i].codex));
        if (patch)
                return custom('apply_patch', patch);
        if (tools.has('exec_command'))
                return plain('exec_command', { cmd: command, yield_time_ms: 30000 });
        return plain('shell_command', { command, timeout_ms: COMMAND_MS });
}

/* The exit status is part of the text; undefined when there is none, and then is_error is not judged. */
function codexResult(item) {
        const output = textOf(item.output?.content ?? item.output);
        const status = /(?:Exit code:|exited with code) (\d+)/.exec(output);
        const isError = /^Script failed/.test(output) || (status ? status[1] !== '0' : undefined);
        return { id: item.call_id, output, isError };
}

function answerResponses(body, res) {
        const tools = codexTools(body);
        const played = (Array.isArray(body.input) ? body.input : [])
                .filter((item) => /_call_output$/.test(item.type)).map(codexResult);
        const isWork = ['exec', 'exec_command', 'shell_command'].some((name) => tools.has(name));
        const answer = chooseAnswer(played, isWork, `responses, ${body.model}`);
        const item = answer.step !== undefined ? codexCall(answer.step, tools) : {
                type: 'message', id: 'msg_nonod', role: 'assistant', status: 'completed',
                content: [{ type: 'output_text', text: answer.text, annotations: [] }],
        };
        const usage = {
                input_tokens: 1, input_tokens_details: { cached_tokens: 0 },
                output_tokens: 1, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 2,
        };
        const response = { id: `resp_nonod_${Date.now().toString(36)}`, object: 'response', model: body.model, output: [] };

        if (!body.stream)
                return sendJson(res, 200, { ...response, status: 'completed', output: [item], usage });
        sendEvents(res, [
                { type: 'response.created', response: { ...response, status: 'in_progress' } },
                { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress' } },
                { type: 'response.output_item.done', output_index: 0, item },
                { type: 'response.completed', response: { ...response, status: 'completed', output: [item], usage } },
        ]);
}

/* ---- HTTP ---- */

let n_requests = 0;

function route(req, body, res) {
        const { pathname } = new URL(req.url, 'http://localhost');

        if (req.method === 'POST' && pathname === '/v1/messages') {
                flavour ||= 'claude';
                return answerMessages(body, res);
        }
        if (req.method === 'POST' && pathname === '/v1/responses') {
                flavour ||= 'codex';
                return answerResponses(body, res);
        }
        sides.push(`${req.method} ${pathname}`);
        if (req.method === 'HEAD')
                return res.writeHead(200).end();
        if (pathname === '/v1/messages/count_tokens')
                return sendJson(res, 200, { input_tokens: 1 });
        if (pathname === '/v1/models')
                return sendJson(res, 200, { object: 'list', data: [], models: [] });
        sendJson(res, 404, { type: 'error', error: { type: 'not_found_error', message: 'not part of the stub' } });
}

function onRequest(req, res) {
        const chunks = [];
        let n_bytes = 0;

        req.on('data', (chunk) => {
                n_bytes += chunk.length;
                if (n_bytes > BODY_MAX)
                        req.destroy();
                chunks.push(chunk);
        });
        req.on('end', () => {
                const raw = Buffer.concat(chunks).toString();
                let body = {};

                if (args.dump)
                        fs.writeFileSync(path.join(args.dump, `${String(n_requests).padStart(3, '0')}.json`),
                                `${req.method} ${req.url}\n${JSON.stringify(req.headers)}\n${raw}\n`);
                n_requests++;
                for (const text of args.never)
                        if (raw.includes(text))
                                leaks.add(text);
                try {
                        body = raw ? JSON.parse(raw) : {};
                } catch {
                        return sendJson(res, 400, { error: { message: 'the body is not JSON' } });
                }
                route(req, body, res);
        });
}

const server = http.createServer(onRequest);

for (const signal of ['SIGTERM', 'SIGINT'])
        process.on(signal, () => {
                writeReport();
                process.exit(0);
        });
writeReport();                                          /* a report exists whatever happens later */
server.listen(args.port, '127.0.0.1', () => process.stdout.write(`listening ${server.address().port}\n`));
