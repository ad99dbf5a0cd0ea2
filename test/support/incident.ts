/**
 * Where an incident of another server is played against ours: the daemon with a user, a bystander
 * who must notice nothing, and, for attacks that say so, a copy of the program without the check, in
 * which the same test has to fail first. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type LabUser, makeUser } from './lab.ts';
import { type Ending, Fields, makeRawKey, payload, RawSsh, str, u32, yes } from './raw-ssh.ts';
import type { RawOptions } from './raw-ssh.ts';
import { type Holdings, serverKind, startServer, type TestServer } from './server.ts';
import { type Removal, weaken } from './weakened.ts';

/** What a command of an attack would leave behind. */
export const trace = '/tmp/incident-trace';

/** One daemon under attack. */
export interface Site {
  readonly server: TestServer;
  readonly port: number;
  /** Identified, nothing more. */
  identified(options?: RawOptions): Promise<RawSsh>;
  /** Behind the first key exchange. */
  shaken(options?: RawOptions): Promise<RawSsh>;
  /** With ssh-userauth accepted. */
  asking(options?: RawOptions): Promise<RawSsh>;
  /** As alice. */
  loggedIn(options?: RawOptions): Promise<RawSsh>;
}

export interface SceneOptions {
  readonly config?: readonly string[];
  /** Taken out of the copy against which tests that are `seen` have to fail. */
  readonly removals?: readonly Removal[];
}

export interface IncidentOptions {
  /** The test is first seen to fail against the copy without the check. */
  readonly seen?: boolean;
  readonly skip?: string | false;
}

export interface Scene {
  readonly key: ReturnType<typeof makeRawKey>;
  readonly alice: () => LabUser;
  readonly site: () => Site;
  incident(name: string, act: (site: Site) => Promise<void>, options?: IncidentOptions): void;
}

const defaultConfig = ['UsePAM yes', 'MaxAuthTries 6', 'LogLevel VERBOSE'];

/** To be called once, inside the outermost `describe` of a file. */
export function incidentScene(options: SceneOptions = {}): Scene {
  const key = makeRawKey();
  let alice: LabUser | undefined;
  let site: Site | undefined;
  let weak: Site | undefined;
  let base: Holdings | undefined;
  let bystander: RawSsh | undefined;
  let channel = 0;

  const siteOf = (server: TestServer): Site => {
    const { port } = server;
    return {
      server,
      port,
      identified: async (raw = {}) => {
        const client = await RawSsh.open(port, raw);
        await client.identify();
        return client;
      },
      shaken: async (raw = {}) => await RawSsh.shaken(port, raw),
      asking: async (raw = {}) => {
        const client = await RawSsh.shaken(port, raw);
        await client.requestUserauth();
        return client;
      },
      loggedIn: async (raw = {}) => await RawSsh.loggedIn(port, 'alice', key, raw),
    };
  };
  const there = <T>(what: T | undefined): T => {
    assert.ok(what !== undefined, 'before() has not run');
    return what;
  };

  before(async () => {
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    const config = [...(options.config ?? []), ...defaultConfig];
    const server = await startServer({ config });
    site = siteOf(server);
    if (options.removals !== undefined && serverKind === 'sshdesk') {
      weak = siteOf(await startServer({ config, root: weaken(options.removals) }));
    }
    bystander = await site.loggedIn();
    channel = await bystander.openSession(3);
    bystander.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
    await bystander.nextOf(99);
    base = await server.settled();
  });
  after(async () => {
    bystander?.close();
    await weak?.server.stop();
    await site?.server.stop();
  });

  const unharmed = async (): Promise<void> => {
    const client = there(bystander);
    const word = randomBytes(8).toString('hex');
    client.send(payload(94, u32(channel), str(word)));
    const fields = new Fields(await client.nextOf(94));
    fields.u32();
    assert.equal(fields.str().toString(), word);
    assert.deepEqual(await there(site).server.leftovers(there(base)), []);
    assert.ok(!existsSync(trace), 'something was run');
  };

  return {
    key,
    alice: () => there(alice),
    site: () => there(site),
    incident(name, act, { seen = false, skip = false } = {}) {
      test(name, { skip }, async () => {
        if (seen && serverKind === 'sshdesk') {
          await assert.rejects(
            act(there(weak)),
            assert.AssertionError,
            'the test passes without the check: it shows nothing',
          );
          rmSync(trace, { force: true });
        }
        await act(there(site));
        await unharmed();
      });
    },
  };
}

/** The connection is over; when the server said why, then with one of these reasons. */
export function assertEnded(ending: Ending, ...reasons: readonly number[]): void {
  assert.ok(ending.closed || ending.disconnect !== undefined, 'the connection goes on');
  if (ending.disconnect !== undefined) {
    assert.ok(
      reasons.includes(ending.disconnect.reason),
      `reason ${ending.disconnect.reason} (${ending.disconnect.text}), not ${reasons}`,
    );
  } else if (serverKind === 'sshdesk') {
    // sshd often just closes; RFC 4253 §11.1 has a message for it.
    assert.fail('closed without DISCONNECT');
  }
}

export function numbersOf(ending: Ending): readonly number[] {
  return ending.messages.map((message) => message[0] as number);
}
