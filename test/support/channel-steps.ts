/**
 * What a login asks for, step by step, on a raw client: sessions, forwarding; each gives one line that
 * tells what came of it. Runs in: test.
 */
import { rmSync } from 'node:fs';
import { Fields, no, payload, type RawSsh, str, u32, yes } from './raw-ssh.ts';
import { listeners } from './tunnel.ts';

/** A request on a session in front of its start, such as pty-req. */
export interface SessionRequest {
  readonly name: string;
  readonly fields: readonly Buffer[];
}

export const terminal: SessionRequest = {
  name: 'pty-req',
  fields: [str('xterm'), u32(80), u32(24), u32(0), u32(0), str(Buffer.from([0]))],
};
export const agent: SessionRequest = { name: 'auth-agent-req@openssh.com', fields: [] };
export const x11: SessionRequest = {
  name: 'x11-req',
  fields: [no, str('MIT-MAGIC-COOKIE-1'), str('00'.repeat(16)), u32(0)],
};
export function environment(name: string, value: string): SessionRequest {
  return { name: 'env', fields: [str(name), str(value)] };
}

export interface SessionStart {
  readonly kind: 'exec' | 'shell' | 'subsystem';
  /** The command or the subsystem; undefined for a shell. */
  readonly what?: string;
  readonly input?: string;
}

let nextNumber = 100;

/** `0: out`, `1: out / err`, `TERM: …`; requests that were refused stand in front. */
export async function session(
  client: RawSsh,
  requests: readonly SessionRequest[],
  { kind, what, input = '' }: SessionStart,
): Promise<string> {
  const opened = await openChannel(client, 'session');
  if (typeof opened === 'string') {
    return opened;
  }
  const said: string[] = [];
  for (const { name, fields } of requests) {
    client.send(payload(98, u32(opened), str(name), yes, ...fields));
    if ((await client.nextOf(99, 100))[0] === 100) {
      said.push(`no ${name}`);
    }
  }
  client.send(payload(98, u32(opened), str(kind), yes, ...(what === undefined ? [] : [str(what)])));
  const started = await client.nextOf(94, 95, 99, 100);
  if (started[0] === 100) {
    client.send(payload(97, u32(opened)));
    await client.nextOf(97);
    return [...said, `no ${kind}`].join(', ');
  }
  if (input !== '') {
    client.send(payload(94, u32(opened), str(input)));
  }
  client.send(payload(96, u32(opened)));
  const end = await untilClose(client, started);
  client.send(payload(97, u32(opened)));
  return [...said, end].join(', ');
}

/** `STATUS: stdout / stderr` of a channel that runs. */
async function untilClose(client: RawSsh, first: Buffer): Promise<string> {
  const [out, err]: [string[], string[]] = [[], []];
  let status = 'no status';
  for (let bytes = first; bytes[0] !== 97; bytes = await client.nextOf(94, 95, 97, 98, 99)) {
    const fields = new Fields(bytes);
    fields.u32();
    if (bytes[0] === 94) {
      out.push(fields.str().toString('latin1'));
    } else if (bytes[0] === 95) {
      fields.u32();
      err.push(fields.str().toString('latin1'));
    } else if (bytes[0] === 98) {
      const name = fields.str().toString();
      fields.byte();
      status = name === 'exit-status' ? String(fields.u32()) : statusOf(name, fields, status);
    }
  }
  const text = [out, err].map((parts) => parts.join('').trim());
  return `${status}: ${text[1] === '' ? text[0] : text.join(' / ')}`.trimEnd();
}

function statusOf(name: string, fields: Fields, otherwise: string): string {
  return name === 'exit-signal' ? fields.str().toString() : otherwise;
}

/** The server's number, or `failed CODE`. */
async function openChannel(
  client: RawSsh,
  type: string,
  ...more: readonly Buffer[]
): Promise<number | string> {
  const number = nextNumber++;
  client.send(payload(90, str(type), u32(number), u32(2_097_152), u32(32_768), ...more));
  const answer = await client.nextOf(91, 92);
  const fields = new Fields(answer);
  fields.u32();
  return answer[0] === 91 ? fields.u32() : `failed ${fields.u32()}`;
}

/** Opens `count` sessions and leaves them; how many there were. */
export async function sessions(client: RawSsh, count: number): Promise<string> {
  const said: string[] = [];
  for (let index = 0; index < count; index++) {
    const opened = await openChannel(client, 'session');
    said.push(typeof opened === 'string' ? opened : 'open');
  }
  return said.join(', ');
}

const origin = [str('127.0.0.1'), u32(1)];

/** `open` if the other end says back what it hears. */
async function echoed(client: RawSsh, opened: number | string): Promise<string> {
  if (typeof opened === 'string') {
    return opened;
  }
  client.send(payload(94, u32(opened), str('ping')));
  client.send(payload(96, u32(opened)));
  let text = '';
  for (;;) {
    const bytes = await client.nextOf(94, 96, 97);
    if (bytes[0] !== 94) {
      client.send(payload(97, u32(opened)));
      return text === 'ping' ? 'open' : `open, but '${text}'`;
    }
    const fields = new Fields(bytes);
    fields.u32();
    text += fields.str().toString();
  }
}

export async function direct(client: RawSsh, host: string, port: number): Promise<string> {
  return echoed(client, await openChannel(client, 'direct-tcpip', str(host), u32(port), ...origin));
}

export async function directSocket(client: RawSsh, path: string): Promise<string> {
  const type = 'direct-streamlocal@openssh.com';
  const opened = await openChannel(client, type, str(path), str(''), u32(0));
  // sshd has the one reason, 2, for a socket that is not to be had and one that is prohibited.
  return typeof opened === 'string' ? 'failed' : echoed(client, opened);
}

async function ask(client: RawSsh, name: string, ...fields: readonly Buffer[]): Promise<boolean> {
  client.send(payload(80, str(name), yes, ...fields));
  return (await client.nextOf(81, 82))[0] === 81;
}

/** `bound ADDRESS…`, as /proc/net has them, and given back again. */
export async function listen(client: RawSsh, host: string, port: number): Promise<string> {
  if (!(await ask(client, 'tcpip-forward', str(host), u32(port)))) {
    return 'refused';
  }
  const bound = [...listeners(port)].sort().map((address) => addressNames[address] ?? address);
  const given = await ask(client, 'cancel-tcpip-forward', str(host), u32(port));
  return `bound ${bound.join(' ')}${given ? '' : ', kept'}`;
}

const addressNames: Readonly<Record<string, string>> = {
  '00000000': '0.0.0.0',
  '0100007F': '127.0.0.1',
  '0200007F': '127.0.0.2',
  '00000000000000000000000000000000': '::',
  '00000000000000000000000001000000': '::1',
};

export async function listenSocket(client: RawSsh, path: string): Promise<string> {
  if (!(await ask(client, 'streamlocal-forward@openssh.com', str(path)))) {
    return 'refused';
  }
  const given = await ask(client, 'cancel-streamlocal-forward@openssh.com', str(path));
  rmSync(path, { force: true });
  return given ? 'bound' : 'bound, kept';
}
