/**
 * Every `sh` block of docs/guide is run, line by line and in order, by those whom it is for, against
 * a server on port 22 of the lab. A block that is not run says why. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  chownSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run as finish } from '../support/child.ts';
import {
  authorize,
  checkout,
  findUser,
  inLab,
  type LabUser,
  makeUser,
  run,
} from '../support/lab.ts';
import { Realm } from '../support/kerberos.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 300_000);

/** In the order in which a person reads them. */
const pages = [
  'first-login',
  'keys-and-certificates',
  'smart-cards',
  'card-certificates',
  'several-factors',
  'kerberos',
  'desktop',
  'connect',
  'tunnels',
  'web-viewer',
  'profiles',
  'agent-and-x11',
  'instead-of-sshd',
  'beside-sshd',
  'sftp-only',
  'systemd',
  'host-keys',
  'rootless',
  'logs',
  'nx-account',
  'troubleshooting',
] as const;
/** Blocks that are not run, so that no further one slips in. */
const notRun: Readonly<Record<(typeof pages)[number], number>> = {
  'first-login': 2,
  'keys-and-certificates': 1,
  'smart-cards': 2,
  'card-certificates': 1,
  'several-factors': 2,
  kerberos: 1,
  connect: 0,
  tunnels: 2,
  desktop: 2,
  'web-viewer': 1,
  profiles: 0,
  'agent-and-x11': 2,
  'instead-of-sshd': 1,
  'beside-sshd': 0,
  'sftp-only': 0,
  systemd: 4,
  logs: 2,
  'nx-account': 1,
  'host-keys': 1,
  rootless: 0,
  troubleshooting: 1,
};

interface Block {
  readonly info: string;
  readonly lines: readonly string[];
}

function blocksOf(page: string): readonly Block[] {
  const text = readFileSync(path.join(checkout, 'docs/guide', `${page}.md`), 'utf8');
  return [...text.matchAll(/^```(sh\b.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    info: match[1] as string,
    lines: (match[2] as string).split('\n').filter((line) => line.trim() !== ''),
  }));
}

/** Nothing but a PATH and a home, as at a new login. */
function as(user: LabUser, line: string): readonly string[] {
  const ids = ['--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups'];
  const environment = [`PATH=${process.env.PATH}`, `HOME=${user.home}`, 'LANG=C.UTF-8'];
  return [...ids, 'env', '-i', ...environment, 'sh', '-c', line];
}

describe('the guide', lab, () => {
  let visitor: LabUser;
  let alice: LabUser;
  let server: TestServer;
  let realm: Realm;

  before(async () => {
    visitor = makeUser('visitor');
    alice = makeUser('alice');
    const ssh = path.join(visitor.home, '.ssh');
    mkdirSync(ssh, { mode: 0o700 });
    chownSync(ssh, visitor.uid, visitor.gid);
    realm = await Realm.start({ name: 'EXAMPLE', host: 'desk.example' });
    realm.addUser('alice', 'secret');
    const tickets = `/tmp/krb5cc_${visitor.uid}`;
    copyFileSync(realm.tickets('alice', 'secret').slice('FILE:'.length), tickets);
    chownSync(tickets, visitor.uid, visitor.gid);
    // As on a fresh Debian, whatever this machine has made of it.
    copyFileSync('/usr/share/openssh/sshd_config', '/etc/ssh/sshd_config');
    run('ssh-keygen', ['-A']);
    writeFileSync('/etc/ssh/revoked_keys', '');
    server = await startServer({
      config: [
        ...['Port 22', 'UsePAM yes', 'Subsystem sftp /usr/lib/openssh/sftp-server'],
        ...['TrustedUserCAKeys /etc/ssh/user_ca.pub', 'RevokedKeys /etc/ssh/revoked_keys'],
      ],
    });
  });
  after(async () => {
    await server?.stop();
    await realm?.stop();
  });

  /** What ssh-copy-id does. */
  const bringKey = (): void => {
    const key = path.join(visitor.home, '.ssh/id_ed25519.pub');
    if (existsSync(key)) {
      authorize(alice, [readFileSync(key, 'utf8').trim()]);
    }
  };
  const actors: Readonly<Record<string, () => LabUser>> = {
    sh: () => visitor,
    'sh alice': () => alice,
    'sh root': () => findUser('root'),
  };

  for (const page of pages) {
    test(`docs/guide/${page}.md`, { timeout: 120_000 }, async () => {
      const blocks = blocksOf(page);
      assert.ok(blocks.length > 0);
      const left = blocks.filter(({ info }) => info.startsWith('sh not-run: '));
      assert.equal(left.length, notRun[page], 'blocks that are not run');
      for (const { info, lines } of blocks.filter((block) => !left.includes(block))) {
        const actor = actors[info];
        assert.ok(actor !== undefined, `nobody runs a block of \`${info}\``);
        for (const line of lines) {
          const { code, stdout, stderr } = await finish('setpriv', as(actor(), line), {
            cwd: checkout,
            timeoutMs: 40_000,
          });
          assert.equal(code, 0, `${info}: ${line}\n${stdout}${stderr}\n${server.log()}`);
          bringKey();
        }
      }
    });
  }
});
