import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { sourceTurnBytes } from '../../../../../src/base/limits.ts';
import { PipeSource } from '../../../../../src/session/pipe-source.ts';
import type { Outlet } from '../../../../../src/ssh/connection/outlet.ts';
import { pump } from '../../../../../src/ssh/connection/pump.ts';
import { makePipe, type Pipe } from '../../../../support/pipe.ts';

/** What one read gives at most: it is not cut in two for the budget's sake. */
const readBytes = 64 * 1024;
const bulkBytes = 1024 * 1024;

/** A pipe that holds all of it, so that whoever reads finds no end. */
function fullPipe(): Pipe {
  const pipe = makePipe();
  const F_SETPIPE_SZ = 1031;
  execFileSync('python3', ['-c', `import fcntl; fcntl.fcntl(3, ${F_SETPIPE_SZ}, ${bulkBytes})`], {
    stdio: ['ignore', 'ignore', 'inherit', pipe.write],
  });
  writeSync(pipe.write, Buffer.alloc(bulkBytes));
  closeSync(pipe.write);
  return pipe;
}

/** An outlet that always has room: only the budget makes the source stop. */
function outlet(onBytes: (count: number) => void): Outlet {
  const write = (chunk: Buffer): boolean => {
    onBytes(chunk.length);
    return true;
  };
  return { write, writeLent: write, onDrain: () => {}, onUnwanted: () => {} } as Outlet;
}

test('a source that has more than anybody can take leaves each turn to the others in time', async () => {
  const turns: number[] = [];
  let inTurn = 0;
  let isOver = false;
  const tick = (): void => {
    turns.push(inTurn);
    inTurn = 0;
    if (!isOver) {
      setImmediate(tick);
    }
  };
  await new Promise<void>((resolve) => {
    const target = outlet((count) => {
      inTurn += count;
    });
    pump(new PipeSource(fullPipe().read), target, () => resolve());
    setImmediate(tick);
  });
  isOver = true;
  turns.push(inTurn);
  assert.equal(
    turns.reduce((sum, bytes) => sum + bytes, 0),
    bulkBytes,
  );
  assert.ok(Math.max(...turns) <= sourceTurnBytes + readBytes, `${Math.max(...turns)} in a turn`);
});

test('a byte of another source waits for one turn of the bulk, not for its end', async () => {
  let bulk = 0;
  const bulkPipe = fullPipe();
  const other = makePipe();
  writeSync(other.write, 'x');
  const before = await new Promise<number>((resolve) => {
    const toBulk = outlet((count) => {
      bulk += count;
    });
    pump(new PipeSource(bulkPipe.read), toBulk, () => {});
    const toOther = outlet(() => resolve(bulk));
    pump(new PipeSource(other.read), toOther, () => {});
  });
  closeSync(other.write);
  assert.ok(before <= 2 * (sourceTurnBytes + readBytes), `${before} bytes of bulk came first`);
});
