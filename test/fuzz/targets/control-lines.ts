/** The daemon's control socket: lines of any user of the machine. */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import type { Broker } from '../../../src/broker/broker.ts';
import { ControlServer } from '../../../src/broker/control.ts';
import { type FuzzTarget, settled, within } from '../target.ts';

const asker = 4711;

export const controlLines: FuzzTarget = {
  name: 'control-lines',
  isStream: true,
  perSecond: 1_500,
  seeds: () =>
    [
      '{"action":"list"}\n',
      '{"action":"history","limit":10}\n{"action":"suspend","which":"0123"}\n',
      '{"action":"terminate","which":"my desktop"}\n{"action":"list","which":"\\u0000"}\n',
      '{"action":"list","__proto__":{"uid":0},"uid":0,"asker":"root"}\n[]\nnull\n1\n"x"\n',
      `${'['.repeat(500)}\n`,
    ].map((line) => Buffer.from(line)),
  async run(pieces) {
    const [near, far] = duplexPair();
    const asked = (who: unknown): void => {
      assert.equal(who, asker, 'somebody else was asked for');
    };
    const broker = {
      listMeasured: async (who: unknown) => {
        asked(who);
        return [];
      },
      history: (who: unknown) => {
        asked(who);
        return [];
      },
      suspend: (who: unknown) => {
        asked(who);
        return { is: 'failed', failure: 'notFound', text: 'no' };
      },
      terminate: async (who: unknown) => {
        asked(who);
        return { is: 'failed', failure: 'notFound', text: 'no' };
      },
    } as unknown as Broker;
    const faults: unknown[] = [];
    const server = new ControlServer(broker, (error) => void faults.push(error));
    let bytes = 0;
    near.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    near.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => far.once('close', () => resolve()));
    // Of a socket it uses what a Duplex has, and its idle timer.
    const socket = Object.assign(far, { setTimeout: () => far, unref: () => far });
    server.accept(socket as never, asker);
    for (const piece of pieces) {
      if (!near.destroyed && near.writable) {
        near.write(piece);
        await settled(1);
      }
    }
    near.end();
    await settled(3);
    near.destroy();
    far.destroy();
    await within(closed, 2_000, 'the end of the control socket');
    assert.deepEqual(faults, []);
    assert.ok(bytes < 1_000_000);
  },
};
