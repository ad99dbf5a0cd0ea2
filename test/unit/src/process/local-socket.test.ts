import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Log } from '../../../../src/audit/log.ts';
import { closeDescriptor, connectSeqpacket } from '../../../../src/base/socket.native.ts';
import type { Owner } from '../../../../src/broker/outcome.ts';
import type { LocalClaim, RemoteDesktops } from '../../../../src/broker/remote.ts';
import type { Leaders } from '../../../../src/process/leaders.ts';
import {
  localLimits,
  LocalSocket,
  type LocalSocketOptions,
} from '../../../../src/process/local-socket.ts';
import { eventually } from '../../../support/child.ts';

const uid = process.getuid?.() ?? 0;
const most = 16;
const claim = { user: 'me', from: '' };

test('who asks and leaves costs no look-up, however many do', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sshdesk-local-'));
  const path = join(directory, 'local.sock');
  const served: {
    readonly admit: (claim: LocalClaim) => Promise<Owner>;
    readonly end: () => void;
  }[] = [];
  const desktops = {
    serveLocal: (_peer: unknown, admit: (claim: LocalClaim) => Promise<Owner>, end: () => void) =>
      served.push({ admit, end }),
  } as unknown as RemoteDesktops;
  let lookups = 0;
  const first = Promise.withResolvers<void>();
  const account = { exists: true, user: 'me', uid, groups: [], shell: '/bin/sh', shellState: 0 };
  const leaders = {
    startLogin: async () => {
      lookups++;
      await first.promise;
      return { begin: async () => account, drop: () => {} };
    },
  } as unknown as Leaders;
  const options = {
    places: { localSocket: path },
    log: new Log({ write: () => {} }, 'QUIET'),
    isRootless: true,
    isBarred: () => false,
    configFor: () => ({ localDesktops: true }),
  } as unknown as LocalSocketOptions;
  const socket = new LocalSocket(desktops, leaders, options, {
    ...localLimits,
    connectionsPerUid: most,
  });
  socket.listen();
  const ours: number[] = [];
  const next = async () => {
    ours.push(connectSeqpacket(path));
    await eventually('it is accepted', () => served.length === ours.length);
    return served.at(-1) as (typeof served)[number];
  };
  try {
    const waiting = (await next()).admit(claim);
    await eventually('the first look-up', () => lookups === 1);
    const left = [];
    for (let count = 0; count < most - 2; count++) {
      const { admit, end } = await next();
      left.push(assert.rejects(admit(claim), /The connection has ended/));
      end();
    }
    const stays = (await next()).admit(claim);
    const { admit: more } = await next();
    await assert.rejects(more(claim), /Too many connections/, 'the queue has an end');
    first.resolve();
    assert.deepEqual(
      [await waiting, await stays],
      [
        { user: 'me', uid, groups: [] },
        { user: 'me', uid, groups: [] },
      ],
    );
    await Promise.all(left);
    assert.equal(lookups, 2);
  } finally {
    socket.close();
    ours.forEach(closeDescriptor);
    rmSync(directory, { recursive: true });
  }
});
