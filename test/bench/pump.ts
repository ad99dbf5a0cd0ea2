/**
 * node test/bench/pump.ts: MB/s from a command's pipe to where the transport would encrypt, without
 * a network: the price of channel and pump alone, read by Node's streams and by `PipeSource`. Runs
 * in: test.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { PipeSource } from '../../src/session/pipe-source.ts';
import { type LendingSource, pump } from '../../src/ssh/connection/pump.ts';
import { ConnectionPeer } from '../support/connection-peer.ts';
import { MemoryTransport } from '../support/memory-transport.ts';
import { makePipe } from '../support/pipe.ts';

const bytes = 2_000_000_000;
const rounds = 5;

/** One packet of memory per message, as the transport allocates it; the copy is the real one. */
class PacketTransport extends MemoryTransport {
  sentBytes = 0;
  override sendChannelData(_recipient: number, data: Buffer): boolean {
    const packet = Buffer.allocUnsafeSlow(data.length + 64);
    packet.set(data, 32);
    this.sentBytes += data.length;
    return true;
  }
}

async function measure(open: (descriptor: number) => Readable | LendingSource): Promise<number> {
  const transport = new PacketTransport();
  const peer = new ConnectionPeer({}, transport);
  const { read, write } = makePipe();
  const child = spawn('head', ['-c', String(bytes), '/dev/zero'], {
    stdio: ['ignore', write, 'ignore'],
  });
  closeSync(write);
  const channel = peer.opened(1, 0xffff_ffff);
  const start = performance.now();
  await new Promise<void>((resolve) => pump(open(read), channel.out, () => resolve()));
  const seconds = (performance.now() - start) / 1000;
  if (child.exitCode === null) {
    await once(child, 'exit');
  }
  if (transport.sentBytes !== bytes) {
    throw new Error(`${transport.sentBytes} bytes of ${bytes}`);
  }
  return bytes / 1e6 / seconds;
}

const kinds = {
  stream: (fd: number) => new Socket({ fd, readable: true, writable: false }),
  'pipe source': (fd: number) => new PipeSource(fd),
};
const results = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
  for (const [name, open] of Object.entries(kinds)) {
    results.set(name, [...(results.get(name) ?? []), await measure(open)]);
  }
}
for (const [name, values] of results) {
  const median = values.toSorted((a, b) => a - b)[Math.floor(rounds / 2)];
  console.log(`${name}: ${median?.toFixed(0)} MB/s (${values.map((v) => v.toFixed(0)).join(' ')})`);
}
