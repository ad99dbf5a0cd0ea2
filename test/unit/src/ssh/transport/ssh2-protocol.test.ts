import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { ConfigError } from '../../../../../src/base/errors.ts';
import {
  type Decipher,
  editedSource,
  largestPacketBytes,
  makeRoom,
  record,
  reservedPacketBytes,
} from '../../../../../src/ssh/transport/ssh2-protocol.ts';
import { uint32 } from '../../../../support/raw-client.ts';
import { makeRecordLayer, type RecordLayer } from '../../../../support/record-layer.ts';

const load = createRequire(import.meta.url);
const source = readFileSync(load.resolve('ssh2/lib/protocol/crypto.js'), 'utf8');

const kinds = [
  ['chacha20-poly1305@openssh.com', undefined],
  ['aes128-gcm@openssh.com', undefined],
  ['aes256-ctr', 'hmac-sha2-256-etm@openssh.com'],
  ['aes128-ctr', 'hmac-sha2-512'],
] as const;

interface Ends {
  readonly layer: RecordLayer;
  readonly decipher: Decipher;
  readonly payloads: Buffer[];
}

function endsOf(cipher: string, mac: string | undefined): Ends {
  const info = record.CIPHER_INFO[cipher];
  const macInfo = record.MAC_INFO[mac ?? 'hmac-sha2-256'];
  assert.ok(info !== undefined && macInfo !== undefined);
  const key = Buffer.alloc(info.keyLen, 1);
  const iv = Buffer.alloc(info.ivLen, 2);
  const macKey = Buffer.alloc(macInfo.len, 3);
  const payloads: Buffer[] = [];
  const decipher = record.createDecipher({
    inbound: {
      seqno: 0,
      decipherInfo: info,
      decipherKey: key,
      decipherIV: iv,
      macInfo,
      macKey,
      onPayload: (payload: Buffer) => void payloads.push(Buffer.from(payload)),
    },
  });
  const layer = makeRecordLayer(cipher, mac ?? '', { key, iv, macKey }, true);
  return { layer, decipher, payloads };
}

function feed(decipher: Decipher, chunk: Buffer): void {
  makeRoom(decipher, chunk.length);
  decipher.decrypt(chunk, 0, chunk.length);
}

/** The largest packet that is whole blocks under this cipher, and what is in it. */
function largest(layer: RecordLayer): { readonly sealed: Buffer; readonly payload: Buffer } {
  const bytes = largestPacketBytes - (layer.isLengthApart ? 0 : 4);
  const payload = Buffer.from(Uint8Array.from({ length: bytes - 1 - 7 }, (_, at) => at * 31));
  const plain = Buffer.concat([uint32(bytes), Buffer.from([7]), payload, Buffer.alloc(7)]);
  return { sealed: layer.seal(0, plain), payload };
}

for (const [cipher, mac] of kinds) {
  describe(`${cipher} ${mac ?? ''}`.trim(), () => {
    test('a packet of 256 KiB is taken whole', () => {
      const { layer, decipher, payloads } = endsOf(cipher, mac);
      const { sealed, payload } = largest(layer);
      feed(decipher, sealed);
      assert.equal(payloads.length, 1);
      assert.ok(payloads[0]?.equals(payload));
    });

    test('it is taken byte by byte, with memory for what has come and no more than as much again', () => {
      const { layer, decipher, payloads } = endsOf(cipher, mac);
      const { sealed, payload } = largest(layer);
      for (let at = 0; at < sealed.length; at++) {
        feed(decipher, sealed.subarray(at, at + 1));
        const heldBytes = decipher._packet?.length ?? 0;
        assert.ok(
          heldBytes <= Math.max(reservedPacketBytes + 16, 2 * (at + 1)),
          `${heldBytes} bytes for ${at + 1}`,
        );
      }
      assert.equal(payloads.length, 1);
      assert.ok(payloads[0]?.equals(payload));
    });

    test('it is taken in pieces of any size, with small packets before and behind it', () => {
      const { layer, decipher, payloads } = endsOf(cipher, mac);
      const small = Buffer.alloc(layer.isLengthApart ? 48 : 44, 9);
      small[0] = 4;
      const plain = Buffer.concat([uint32(small.length), small]);
      const first = layer.seal(0, plain);
      const bytes = largestPacketBytes - (layer.isLengthApart ? 0 : 4);
      const middle = layer.seal(
        1,
        Buffer.concat([uint32(bytes), Buffer.from([4]), Buffer.alloc(bytes - 1, 5)]),
      );
      const all = Buffer.concat([first, middle, layer.seal(2, plain)]);
      for (let at = 0, size = 1; at < all.length; at += size, size = 1 + ((size * 7919) % 70_001)) {
        feed(decipher, Buffer.from(all.subarray(at, at + size)));
      }
      assert.deepEqual(
        payloads.map(({ length }) => length),
        [small.length - 5, bytes - 5, small.length - 5],
      );
      assert.ok(payloads[1]?.equals(Buffer.alloc(bytes - 5, 5)));
    });

    test('one block above is refused as soon as its length has come', () => {
      const { layer, decipher, payloads } = endsOf(cipher, mac);
      const bytes = largestPacketBytes + layer.blockBytes - (layer.isLengthApart ? 0 : 4);
      const plain = Buffer.concat([uint32(bytes), Buffer.alloc(bytes)]);
      const sealed = layer.seal(0, plain);
      assert.throws(
        () => feed(decipher, sealed.subarray(0, layer.isLengthApart ? 4 : 16)),
        /Bad packet length/,
      );
      assert.equal(decipher._packet, null);
      assert.deepEqual(payloads, []);
    });

    test('256 KiB that are announced and never sent cost no more than a small packet', () => {
      const { layer, decipher } = endsOf(cipher, mac);
      const { sealed } = largest(layer);
      feed(decipher, sealed.subarray(0, 24));
      const heldBytes = decipher._packet?.length ?? 0;
      assert.ok(heldBytes >= 8 && heldBytes <= reservedPacketBytes + 24, `${heldBytes} bytes`);
    });
  });
}

test('without keys a packet of 256 KiB is taken, one above is not, and a length reserves little', () => {
  const payloads: Buffer[] = [];
  const make = () =>
    new record.NullDecipher(0, (payload) => void payloads.push(Buffer.from(payload)));
  const bytes = largestPacketBytes - 4;
  const packet = Buffer.concat([uint32(bytes), Buffer.from([4]), Buffer.alloc(bytes - 1, 6)]);
  const decipher = make();
  for (let at = 0; at < packet.length; at += 1000) {
    feed(decipher, Buffer.from(packet.subarray(at, at + 1000)));
    assert.ok(
      (decipher._packet?.length ?? 0) <= Math.max(reservedPacketBytes, at) + at + 1000,
      `${decipher._packet?.length} bytes for ${at}`,
    );
  }
  assert.ok(payloads[0]?.equals(Buffer.alloc(bytes - 5, 6)));
  assert.throws(() => feed(make(), uint32(largestPacketBytes + 4)), /Bad packet length/);
});

test('another source is refused with the words that are missed: each is there as often as expected', () => {
  assert.ok(editedSource(source).includes(`const MAX_PACKET_SIZE = ${largestPacketBytes};`));
  const refused = (changed: string, expected: RegExp) => {
    assert.notEqual(changed, source);
    assert.throws(
      () => editedSource(changed),
      (error) => error instanceof ConfigError && expected.test(error.message),
    );
  };
  refused(source.replace('MAX_PACKET_SIZE = 35000', 'MAX_PACKET_SIZE = 36000'), /35000;" 0 times/);
  refused(`${source}\nconst MAX_PACKET_SIZE = 35000;`, /35000;" 2 times, not 1/);
  refused(source.replace('(this._len + 20) >', '(this._len + 24) >'), /1 times, not 2/);
  refused(source.replace('allocUnsafe(this._len)', 'alloc(this._len)'), /8 times, not 9/);
});

test('the package of everybody else in the process is what it was', () => {
  const others = load('ssh2/lib/protocol/crypto.js') as typeof record;
  assert.notEqual(others, record);
  const decipher = new others.NullDecipher(0, () => undefined);
  assert.throws(() => decipher.decrypt(uint32(65_532), 0, 4), /Bad packet length/);
});
