/** The dialogue of the `display` subsystem, the server's side: lines of a client. */
import assert from 'node:assert/strict';
import { displayCommands } from '../../../subsystems/display/commands/index.ts';
import { Dialogue } from '../../../subsystems/display/dialogue.ts';
import { FakeDesktops, fakeDesktop, someId } from '../../support/fake-desktops.ts';
import { type FuzzTarget, settled, within } from '../target.ts';

export const displayDialogue: FuzzTarget = {
  name: 'display-dialogue',
  isStream: true,
  perSecond: 2_000,
  seeds: () => [
    Buffer.from(
      'hello NXCLIENT - Version 3.5.0\nlistsession --type="unix-desktop" --status="all"\nbye\n',
    ),
    Buffer.from(
      'startsession --type="unix-desktop" --session="a%20b" --geometry="800x600" --protocol="rfb"\nbye\nRFB',
    ),
    Buffer.from(
      'restoresession\n--id="00000000000000000000000000000000"\nterminate --sessionid="x"\nquit\n',
    ),
    Buffer.from(`restoresession --id="${someId}"\nse%63ret\r\n12%3\nbye\n`),
    Buffer.from('set shell_mode shell\r\nNX> 105 x\nlogin\nsuspend --sessionid="y"\nexit\n'),
  ],
  async run(pieces) {
    const desktops = new FakeDesktops();
    desktops.desktops.push(fakeDesktop());
    desktops.isReauthWanted = true;
    desktops.questions.push(
      {
        is: 'prompt',
        instruction: Buffer.from('told\n\u001b'),
        prompts: [
          { text: Buffer.from('Password: '), echo: false },
          { text: Buffer.alloc(0), echo: true },
        ],
      },
      { is: 'accepted', instruction: Buffer.alloc(0), prompts: [] },
    );
    const faults: unknown[] = [];
    let hasEnded = false;
    let written = 0;
    let wake = (): void => {};
    const dialogue = new Dialogue(
      {
        desktops,
        hostName: 'desk',
        defaultProtocol: 'rfb',
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
      'ready',
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
    assert.ok(written < 4_000_000);
  },
};
