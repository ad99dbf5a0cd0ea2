/**
 * The addon's initiator of GSSAPI under the sanitizers of the compiler: a whole exchange with the
 * system's acceptor, and that acceptor's tokens bent in every way. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { noInitiator } from '../support/gss-initiator.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import { checkout, inLab, run } from '../support/lab.ts';
import { Mutator } from '../support/mutator.ts';

const lab = inLab(import.meta.url, 60_000);
const missing = noRealm() ?? noInitiator();
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff);
const rounds = 300;

/** The acceptor by python3-gssapi: each line `accept HEX` begins anew, `verify HEX MIC`. */
const acceptor = `
import sys, gssapi
context = None
for line in sys.stdin:
    words = line.split()
    try:
        if words[0] == 'accept':
            context = gssapi.SecurityContext(creds=gssapi.Credentials(usage='accept'), usage='accept')
            print((context.step(bytes.fromhex(words[1])) or b'').hex(), flush=True)
        else:
            context.verify_signature(bytes.fromhex(words[1]), bytes.fromhex(words[2]))
            print('good', flush=True)
    except Exception as error:
        print('failed ' + str(error).replace(chr(10), ' '), flush=True)
`;

class Lines implements Disposable {
  readonly process: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #ended: Promise<never>;
  stderr = '';

  constructor(file: string, args: readonly string[], environment: NodeJS.ProcessEnv) {
    this.process = spawn(file, args, { env: { PATH: '/usr/bin:/bin', ...environment } });
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-20_000);
    });
    this.#lines = createInterface(this.process.stdout);
    this.#ended = once(this.process, 'exit').then(([code]) => {
      throw new Error(`it has ended (${code})\n${this.stderr}`);
    });
    this.#ended.catch(() => undefined);
  }

  async ask(line: string): Promise<readonly string[]> {
    this.process.stdin.write(`${line}\n`);
    const [answer] = (await Promise.race([
      once(this.#lines, 'line', { signal: AbortSignal.timeout(20_000) }),
      this.#ended,
    ])) as [string];
    return answer.split(' ');
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    this.process.kill('SIGKILL');
  }
}

describe(`the initiator (seed ${seed})`, {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  const program = '/tmp/gss-initiator';
  let realm: Realm;
  let tickets: string;

  before(async () => {
    const addon = path.join(checkout, 'src/base/addon');
    run('cc', [
      ...['-D_GNU_SOURCE', '-std=gnu11', '-g', '-O1', '-fno-omit-frame-pointer', '-I', addon],
      ...['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
      ...[path.join(checkout, 'test/lab/gss_initiator.c'), path.join(addon, 'gss-initiator.c')],
      ...['-o', program],
    ]);
    realm = await Realm.start();
    realm.addUser('alice', 'secret');
    tickets = realm.tickets('alice', 'secret');
  });
  after(async () => realm?.stop());

  const initiator = (): Lines =>
    new Lines(program, [], { KRB5CCNAME: tickets, ASAN_OPTIONS: 'detect_leaks=1:exitcode=99' });

  test('a whole exchange; what is out of turn is refused; nothing leaks', async () => {
    using ours = initiator();
    using theirs = new Lines('/usr/bin/python3', ['-c', acceptor], {});
    assert.deepEqual(await ours.ask(`begin ${'x'.repeat(300)}`), ['refused']);
    assert.deepEqual(await ours.ask(`begin ${realm.host}`), ['begun']);
    assert.equal((await ours.ask('sign 00'))[0], 'refused');
    const [more, first] = await ours.ask('step ');
    assert.equal(more, 'more', ours.stderr);
    const [answer] = await theirs.ask(`accept ${first}`);
    assert.deepEqual(await ours.ask(`step ${answer}`), ['complete', '']);
    const [signed, mic] = await ours.ask('sign 0102');
    assert.equal(signed, 'signed');
    assert.deepEqual(await theirs.ask(`verify 0102 ${mic}`), ['good']);
    assert.equal((await ours.ask('sign '.padEnd(20_005, '0')))[0], 'refused');
    assert.equal((await ours.ask('step 00'))[0], 'failed');
    assert.equal((await ours.ask('sign 00'))[0], 'refused', 'nor afterwards');
    ours.process.stdin.end();
    const [code] = (await once(ours.process, 'exit')) as [number];
    assert.equal(code, 0, ours.stderr);
  });

  test(`${rounds} bent answers: each is refused or taken, and no sanitizer complains`, async () => {
    using ours = initiator();
    using theirs = new Lines('/usr/bin/python3', ['-c', acceptor], {});
    const mutator = new Mutator(seed);
    const verdicts = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      await ours.ask(`begin ${realm.host}`);
      const [, first] = await ours.ask('step ');
      const [answer = ''] = await theirs.ask(`accept ${first}`);
      const bent = mutator.bytes(Buffer.from(answer, 'hex'));
      const [verdict = ''] = await ours.ask(`step ${bent.toString('hex')}`);
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    }
    assert.ok((verdicts.get('failed') ?? 0) > rounds / 2, JSON.stringify([...verdicts]));
    ours.process.stdin.end();
    const [code] = (await once(ours.process, 'exit')) as [number];
    assert.equal(code, 0, ours.stderr);
  });
});
