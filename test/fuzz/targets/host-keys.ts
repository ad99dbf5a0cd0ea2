/**
 * What strangers say about host keys: an agent's answers, the line of a .pub file, and a client's
 * hostkeys-prove-00@openssh.com: read, or refused with an error of its own.
 */
import assert from 'node:assert/strict';
import { readIdentities, readSignature } from '../../../keys/agent.ts';
import { readPublicLine } from '../../../keys/public-line.ts';
import { ProtocolError } from '../../../src/base/errors.ts';
import { hostKeysProve, maxProvenHostKeys } from '../../../src/ssh/connection/host-keys.ts';
import { Reader } from '../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';
import type { FuzzTarget } from '../target.ts';

const blob = new Writer().text('ssh-ed25519').string(Buffer.alloc(32, 7)).done();
const signature = new Writer().text('ssh-ed25519').string(Buffer.alloc(64, 9)).done();

function refusable(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof ProtocolError, (error as Error).stack);
  }
}

export const hostKeys: FuzzTarget = {
  name: 'host-keys',
  isStream: false,
  perSecond: 10_000,
  seeds: () => [
    new Writer().byte(12).uint32(2).string(blob).text('a').string(blob).text('').done(),
    new Writer().byte(14).string(signature).done(),
    Buffer.from(`# a comment\nssh-ed25519 ${blob.toString('base64')} me\n`),
    new Writer().string(blob).string(blob).done(),
    Buffer.from([5]),
  ],
  async run([input = Buffer.alloc(0)]) {
    refusable(() => readIdentities(input));
    refusable(() => readSignature(input));
    const found = readPublicLine(input);
    assert.ok(found === undefined || found.length > 4);
    let asked = 0;
    const [, handle] = hostKeysProve({
      prove: async (blobs) => {
        asked = blobs.length;
        return blobs;
      },
    });
    try {
      const answer = await handle(new Reader(input), { refuseFurtherSessions() {} });
      assert.ok(answer === false || (Buffer.isBuffer(answer) && answer.equals(input)));
    } catch (error) {
      assert.ok(error instanceof ProtocolError, (error as Error).stack);
    }
    assert.ok(asked <= maxProvenHostKeys);
  },
};
