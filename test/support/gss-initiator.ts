/**
 * The client's side of GSSAPI, by python3-gssapi: tokens and MICs that a test may bend before it
 * sends them. Runs in: test, in the lab.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

const python = '/usr/bin/python3';
const program = `
import sys, gssapi
from gssapi.raw import misc
host, mechanism, flags = sys.argv[1], sys.argv[2], sys.argv[3].split(',')
known = {'mutual': gssapi.RequirementFlag.mutual_authentication,
         'integrity': gssapi.RequirementFlag.integrity,
         'delegate': gssapi.RequirementFlag.delegate_to_peer}
name = gssapi.Name('host@' + host, gssapi.NameType.hostbased_service)
context = gssapi.SecurityContext(name=name, usage='initiate',
    mech=gssapi.OID.from_int_seq(mechanism), flags=[known[flag] for flag in flags if flag])
for line in sys.stdin:
    word, _, value = line.strip().partition(' ')
    try:
        if word == 'step':
            token = context.step(bytes.fromhex(value) if value else None)
            print((token or b'').hex(), flush=True)
        elif word == 'mic':
            print(context.get_signature(bytes.fromhex(value)).hex(), flush=True)
    except Exception as error:
        print('failed ' + str(error).replace(chr(10), ' '), flush=True)
`;

export const kerberosOid = '1.2.840.113554.1.2.2';
export const spnegoOid = '1.3.6.1.5.5.2';

/** Why there is none on this machine; undefined: there is. */
export function noInitiator(): string | undefined {
  const found = spawnSync(python, ['-c', 'import gssapi'], { stdio: 'ignore' });
  return found.status === 0 ? undefined : 'no python3-gssapi, which ./setup --test installs';
}

export interface InitiatorOptions {
  readonly host: string;
  /** For KRB5CCNAME. */
  readonly tickets: string;
  readonly mechanism?: string;
  readonly flags?: readonly ('mutual' | 'integrity' | 'delegate')[];
}

export class GssInitiator {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;

  constructor({ host, tickets, mechanism = kerberosOid, flags }: InitiatorOptions) {
    this.#process = spawn(
      python,
      ['-c', program, host, mechanism, (flags ?? ['mutual', 'integrity']).join()],
      { env: { PATH: '/usr/bin:/bin', KRB5CCNAME: tickets }, stdio: 'pipe' },
    );
    this.#lines = createInterface(this.#process.stdout);
  }

  async #ask(line: string): Promise<Buffer> {
    this.#process.stdin.write(`${line}\n`);
    const [answer] = (await once(this.#lines, 'line', {
      signal: AbortSignal.timeout(10_000),
    })) as [string];
    if (answer.startsWith('failed')) {
      throw new Error(answer);
    }
    return Buffer.from(answer, 'hex');
  }

  /** The next token; `from`: the server's last. */
  step(from: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    return this.#ask(`step ${from.toString('hex')}`);
  }
  mic(of: Buffer): Promise<Buffer> {
    return this.#ask(`mic ${of.toString('hex')}`);
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    this.#process.kill('SIGKILL');
  }
}
