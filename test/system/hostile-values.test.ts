/**
 * A worker that was taken over says what the link's grammar allows and sense does not: the monitor
 * refuses it and goes on. Runs in: test, as root, in the lab.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startHostile } from '../support/hostile-server.ts';
import { checkout, inLab, makeUser } from '../support/lab.ts';
import { makeRawKey, RawSsh } from '../support/raw-ssh.ts';

const lab = inLab(import.meta.url, 200_000);
const logins = Number(process.env.HOSTILE_LOGINS ?? 40);

describe('values that make no sense', lab, () => {
  test(`from the workers of ${logins} logins leave the monitor as it was`, async () => {
    const key = makeRawKey();
    makeUser('alice', { authorizedKeys: [key.line] });
    const server = await startHostile(checkout, 'random-values.ts');
    const clients: RawSsh[] = [];
    try {
      for (let index = 0; index < logins; index++) {
        clients.push(await RawSsh.loggedIn(server.port, 'alice', key));
      }
      await server.reported(
        ({ attack, connection }) => attack === 'random-values' && connection === logins,
      );
      const ofAll = () => server.reports().filter(({ attack }) => attack === 'random-values');
      for (let waitedMs = 0; ofAll().length < logins && waitedMs < 60_000; waitedMs += 100) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const reports = ofAll();
      assert.equal(reports.length, logins, server.log());
      const sum = (name: string) => reports.reduce((all, one) => all + Number(one[name]), 0);
      assert.ok(sum('asked') > 2 * logins, 'they asked');
      assert.ok(sum('answered') > logins / 4, 'some of it made sense');
      assert.doesNotMatch(server.log(), /internal error in|uncaught|TypeError|RangeError/);
      assert.match(server.log(), /monitor: refused/);
      using after = await RawSsh.loggedIn(server.port, 'alice', key);
      assert.ok(after.sessionId !== undefined);
    } finally {
      for (const client of clients) {
        client.close();
      }
      await server.stop();
    }
  });
});
