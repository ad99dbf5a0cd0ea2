/** The dialogue of the account `nx`, in front of its login: lines of a client that nobody knows. */
import assert from 'node:assert/strict';
import { displayCommands } from '../../../subsystems/display/commands/index.ts';
import { Dialogue } from '../../../subsystems/display/dialogue.ts';
import { FakeDesktops } from '../../support/fake-desktops.ts';
import { type FuzzTarget, settled, within } from '../target.ts';

const secret = 'right horse';

export const displayLogin: FuzzTarget = {
  name: 'display-login',
  isStream: true,
  perSecond: 2_000,
  seeds: () => [
    Buffer.from(
      `hello NXCLIENT - Version 3.2.0\nSET SHELL_MODE SHELL\nSET AUTH_MODE PASSWORD\nlogin\nalice\n${secret}\nlistsession --type="shadow"\nbye\n`,
    ),
    Buffer.from('login\nNX> 103 Welcome\n\nquit\n'),
    Buffer.from('SET\nset auth_mode MD5\n\nhello NXCLIENT - Version 4.0.0\n'),
    Buffer.from('login\r\nbob\r\n%41\r\nexit\n'),
  ],
  async run(pieces) {
    const faults: unknown[] = [];
    let hasEnded = false;
    let logins = 0;
    let isIn = false;
    let written = 0;
    let wake = (): void => {};
    const dialogue = new Dialogue(
      {
        get desktops() {
          assert.ok(isIn, 'desktops in front of the login');
          return new FakeDesktops();
        },
        hostName: 'desk',
        defaultProtocol: 'rfb',
        async login(_user, password) {
          logins++;
          isIn = password.equals(Buffer.from(secret));
          return isIn;
        },
        write: (bytes) => {
          assert.ok(!hasEnded, 'nothing is written behind the end');
          written += bytes.length;
          return true;
        },
        ready: () => wake(),
        ended: () => {
          assert.ok(!hasEnded, 'it ends once');
          hasEnded = true;
          wake();
        },
        fault: (error) => void faults.push(error),
      },
      displayCommands,
      'login',
    );
    dialogue.start();
    for (const piece of pieces) {
      if (!hasEnded) {
        const isReady = new Promise<void>((resolve) => {
          wake = resolve;
        });
        if (!dialogue.receive(Buffer.from(piece)) && !hasEnded) {
          await within(isReady, 2_000, 'the dialogue');
        }
      }
    }
    await settled(2);
    assert.deepEqual(faults, []);
    assert.ok(logins <= 1, 'one attempt');
    assert.ok(written < 4_000_000);
  },
};
