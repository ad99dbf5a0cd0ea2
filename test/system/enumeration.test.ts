/**
 * Whoever a policy refuses is told as little as one whom nobody is: the same answers, at the same
 * times, by every method. Medians of interleaved tries. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FactorClient } from '../support/factors.ts';
import { inLab, makeUser, run } from '../support/lab.ts';
import { makeRawKey, no, str } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 300_000);
const key = makeRawKey();
const foreign = makeRawKey();
const secret = 'the-right-word';

/** Each with the right word and a key that would open, but for the policy. */
const refused = ['denied', 'groupless', 'noshell', 'badshell', 'locked', 'expired', 'superuser'];
const people = ['alice', 'nobody-such', ...refused];

const median = (samples: readonly number[]): number =>
  [...samples].sort((one, other) => one - other)[samples.length >> 1] as number;

describe('what answers tell of accounts', lab, () => {
  const servers: Record<string, TestServer> = {};
  before(async () => {
    const keys = { password: secret, authorizedKeys: [key.line] };
    run('groupadd', ['let-in']);
    const member = { ...keys, groups: ['let-in'] };
    for (const name of ['alice', 'denied', 'locked', 'expired']) {
      makeUser(name, member);
    }
    makeUser('groupless', keys);
    makeUser('noshell', { ...member, shell: '/no/such/shell' });
    makeUser('badshell', { ...member, shell: '/etc/hosts.allow' });
    makeUser('superuser', member);
    run('usermod', ['-o', '-u', '0', 'superuser']);
    run('passwd', ['-l', 'locked']);
    run('chage', ['-E', '1', 'expired']);
    const config = [
      ...['DenyUsers denied', 'AllowGroups let-in', 'PermitRootLogin no', 'MaxAuthTries 20'],
      ...['MaxStartups 500', 'StrictModes no'],
    ];
    // Without PAM locked and expired accounts are the policy's too.
    servers['UsePAM no'] = await startServer({ config: ['UsePAM no', ...config] });
    servers['UsePAM yes'] = await startServer({
      config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', ...config],
    });
  });
  after(async () => {
    await Promise.all(Object.values(servers).map((server) => server.stop()));
  });

  interface Way {
    readonly lanes: number;
    readonly rounds: number;
    readonly take: (client: FactorClient, isRefused: boolean) => Promise<unknown>;
  }
  // Who is refused has the right one, the others a wrong one.
  const ways: Readonly<Record<string, Way>> = {
    'a question for a key': {
      lanes: 1,
      rounds: 15,
      take: (client, isRefused) => client.query(isRefused ? key : foreign),
    },
    'a signature': {
      lanes: 1,
      rounds: 15,
      take: (client, isRefused) => client.sign(isRefused ? key : foreign),
    },
    'a password': {
      lanes: 10,
      rounds: 5,
      take: (client, isRefused) => client.password(isRefused ? secret : 'wrong'),
    },
    'a dialogue': {
      lanes: 10,
      rounds: 5,
      take: (client, isRefused) => client.keyboard([isRefused ? secret : 'wrong']),
    },
    'a change of password': {
      lanes: 10,
      rounds: 3,
      take: (client) => client.method('password', no, str('wrong'), str('more')),
    },
    'a method that is none': { lanes: 1, rounds: 5, take: (client) => client.method('hostbased') },
  };

  /** PermitRootLogin is asked behind a method, as in sshd: a question for a key is answered. */
  const isThePolicys = (pam: string, user: string, way: string): boolean =>
    !(pam === 'UsePAM yes' && ['locked', 'expired'].includes(user)) &&
    !(way === 'a question for a key' && user === 'superuser');

  for (const pam of ['UsePAM yes', 'UsePAM no']) {
    for (const [name, { lanes, rounds, take }] of Object.entries(ways)) {
      test(`${pam}: ${name} is answered everybody alike, at like times`, async () => {
        const server = servers[pam] as TestServer;
        const asked = people.filter((user) => isThePolicys(pam, user, name));
        const measure = async (): Promise<ReadonlyMap<string, number>> => {
          const samples = new Map<string, number[]>(asked.map((user) => [user, []]));
          const answers = new Set<string>();
          const turns = Array.from({ length: rounds }, (_, round) =>
            asked.map((_user, at) => asked[(at + round) % asked.length] as string),
          ).flat();
          await Promise.all(
            Array.from({ length: lanes }, async () => {
              for (let user = turns.shift(); user !== undefined; user = turns.shift()) {
                using client = await FactorClient.open(server.port, user);
                await client.none();
                const began = performance.now();
                answers.add(JSON.stringify(await take(client, refused.includes(user))));
                samples.get(user)?.push(performance.now() - began);
              }
            }),
          );
          assert.equal(answers.size, 1, [...answers].join(' | '));
          return new Map([...samples].map(([user, all]) => [user, median(all)]));
        };
        // Noise of the machine may spoil one measurement, a difference of the server spoils each.
        const seen: string[] = [];
        for (let tries = 0; tries < 3; tries++) {
          const found = await measure();
          const [least, most] = [Math.min(...found.values()), Math.max(...found.values())];
          if (serverKind === 'sshd' || most - least <= Math.max(15, least * 0.15)) {
            return;
          }
          seen.push([...found].map(([user, ms]) => `${user} ${ms.toFixed(1)}`).join(', '));
        }
        assert.fail(seen.join('\n'));
      });
    }
  }
});
