/** Frames, descriptors and ends of `SeqpacketLink`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { SeqpacketLink, maxFrameBytes, socketPair } from '../../../../src/base/link.native.ts';
import { closeDescriptor, duplicate } from '../../../../src/base/socket.native.ts';
import type { FramePort } from '../../../../src/ssh/wire/call.ts';
import { eventually, openDescriptors, settledDescriptors } from '../../../support/descriptors.ts';

const limit = { timeout: 60_000 };
const openNull = () => openSync('/dev/null', 'r');

function linked(): [FramePort & SeqpacketLink, FramePort & SeqpacketLink] {
  const [one, other] = socketPair();
  return [new SeqpacketLink(one), new SeqpacketLink(other)];
}

test('frames keep their order and boundaries, descriptors their frame', limit, async () => {
  const [one, other] = linked();
  const seen: [string, number][] = [];
  other.onFrame = (frame, descriptors) => {
    seen.push([frame.toString(), descriptors.length]);
    for (const descriptor of descriptors) {
      fstatSync(descriptor);
      closeDescriptor(descriptor);
    }
  };
  one.send(Buffer.from('a'));
  one.send(Buffer.from('bb'), [openNull(), openNull()]);
  one.send(Buffer.from('ccc'), Array.from({ length: 16 }, openNull));
  one.send(Buffer.alloc(maxFrameBytes, 'd'));
  assert.ok(await eventually(() => seen.length === 4));
  assert.deepEqual(seen.slice(0, 3), [
    ['a', 0],
    ['bb', 2],
    ['ccc', 16],
  ]);
  assert.equal(seen[3]?.[0].length, maxFrameBytes);
  one.close();
  other.close();
});

test('frames that came before a handler was set wait for it', limit, async () => {
  const [one, other] = linked();
  one.send(Buffer.from('early'));
  await eventually(() => false, 20);
  const seen: string[] = [];
  other.onFrame = (frame) => seen.push(frame.toString());
  assert.ok(await eventually(() => seen.length === 1));
  one.close();
  other.close();
});

test('what was sent before the end is delivered, then the end is told once', limit, async () => {
  const [one, other] = linked();
  const seen: string[] = [];
  let ends = 0;
  // Unread frames of ours turn the end of the other side into ECONNRESET in front of its frames.
  other.send(Buffer.from('never read'));
  one.send(Buffer.from('first'));
  one.send(Buffer.from('last'));
  one.close();
  await eventually(() => false, 20);
  other.onEnd = (error) => {
    assert.equal(error, undefined);
    ends++;
  };
  other.onFrame = (frame) => seen.push(frame.toString());
  assert.ok(await eventually(() => ends === 1));
  assert.deepEqual(seen, ['first', 'last']);
  await eventually(() => false, 20);
  assert.equal(ends, 1);
});

test(
  'sending to an end that has gone closes the descriptors and does not throw',
  limit,
  async () => {
    const before = await settledDescriptors();
    const [one, other] = linked();
    one.close();
    await eventually(() => openDescriptors() === before + 1);
    other.send(Buffer.from('x'), [openNull()]);
    other.send(Buffer.from('y'), [openNull()]);
    other.close();
    assert.ok(await eventually(() => openDescriptors() === before));
  },
);

test(
  'a full kernel buffer queues; everything arrives in order with its descriptor',
  limit,
  async () => {
    const before = await settledDescriptors();
    const [one, other] = linked();
    const total = 900;
    for (let at = 0; at < total; at++) {
      const frame = Buffer.alloc(4096);
      frame.writeUInt32BE(at);
      one.send(frame, at % 9 === 0 ? [openNull()] : []);
    }
    let next = 0;
    let descriptorsSeen = 0;
    other.onFrame = (frame, descriptors) => {
      assert.equal(frame.readUInt32BE(), next++);
      descriptorsSeen += descriptors.length;
      descriptors.forEach(closeDescriptor);
    };
    assert.ok(await eventually(() => next === total));
    assert.equal(descriptorsSeen, 100);
    one.close();
    other.close();
    assert.ok(await eventually(() => openDescriptors() === before));
  },
);

test('a queue beyond its bound ends the link with an error, in a later turn', limit, async () => {
  const before = await settledDescriptors();
  const [one, other] = linked();
  let ended: Error | undefined;
  one.onEnd = (error) => {
    ended = error;
  };
  for (let at = 0; at < 5_000; at++) {
    one.send(Buffer.alloc(64), [openNull()]);
  }
  const endedInTheCall = ended !== undefined;
  assert.equal(endedInTheCall, false);
  assert.ok(await eventually(() => ended !== undefined));
  assert.match(String(ended?.message), /queue is full/);
  other.close();
  assert.ok(await eventually(() => openDescriptors() === before));
});

test('a frame that is too large ends the sender, not the receiver unawares', limit, async () => {
  const [one, other] = linked();
  let ended: Error | undefined;
  one.onEnd = (error) => {
    ended = error;
  };
  one.send(Buffer.alloc(maxFrameBytes + 1));
  assert.ok(await eventually(() => ended !== undefined));
  other.close();
});

/** A peer in another language, which keeps none of our bounds. */
function hostile(script: string): { link: SeqpacketLink; done: Promise<void> } {
  const [ours, theirs] = socketPair();
  const child = spawn(
    'python3',
    ['-c', `import socket,os,array,time\ns=socket.socket(fileno=3)\n${script}`],
    {
      stdio: ['ignore', 'inherit', 'inherit', theirs],
    },
  );
  closeSync(theirs);
  const done = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  return { link: new SeqpacketLink(ours), done };
}

test('more descriptors than fit end the link and leak none', limit, async () => {
  // The first child of a process makes libuv open descriptors that it keeps.
  await hostile('pass').done;
  const before = await settledDescriptors();
  const { link, done } = hostile(
    "fds=[os.open('/dev/null',0) for _ in range(20)]\ns.sendmsg([b'x'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',fds))])\ntime.sleep(0.2)",
  );
  let ended: Error | undefined;
  link.onFrame = () => assert.fail('a cut frame was delivered');
  link.onEnd = (error) => {
    ended = error;
  };
  assert.ok(await eventually(() => ended !== undefined));
  assert.match(String(ended?.message), /EMSGSIZE/);
  await done;
  assert.ok(await eventually(() => openDescriptors() === before));
});

test('a frame longer than the bound ends the link', limit, async () => {
  const { link, done } = hostile(`s.send(b'x' * ${maxFrameBytes + 1})\ntime.sleep(0.1)`);
  let ended: Error | undefined;
  link.onFrame = () => assert.fail('a cut frame was delivered');
  link.onEnd = (error) => {
    ended = error;
  };
  assert.ok(await eventually(() => ended !== undefined));
  await done;
});

test('a flood leaves room for the loop between turns', limit, async () => {
  const { link, done } = hostile(
    "import select\ntry:\n  for _ in range(20000): s.send(b'x' * 64)\nexcept OSError: pass",
  );
  let frames = 0;
  let turns = 0;
  let ended = false;
  link.onEnd = () => {
    ended = true;
  };
  link.onFrame = () => void frames++;
  assert.ok(
    await eventually(() => {
      turns++;
      return ended;
    }, 20_000),
  );
  assert.equal(frames, 20_000);
  assert.ok(turns >= 20_000 / 64, `${turns} turns`);
  await done;
});

test('10,000 rounds with descriptors leave the count of descriptors flat', limit, async () => {
  const [one, other] = linked();
  const before = await settledDescriptors();
  const source = openNull();
  let rounds = 0;
  const ended = new Promise<void>((resolve) => {
    one.onFrame = (_frame, descriptors) => {
      descriptors.forEach(closeDescriptor);
      if (++rounds === 10_000) {
        resolve();
      } else {
        one.send(Buffer.from('ping'), [duplicate(source), duplicate(source)]);
      }
    };
  });
  other.onFrame = (_frame, descriptors) => other.send(Buffer.from('pong'), descriptors);
  one.send(Buffer.from('ping'), [duplicate(source)]);
  await ended;
  closeSync(source);
  assert.ok(await eventually(() => openDescriptors() === before));
  one.close();
  other.close();
});

test('1,000 links opened and closed leave no descriptor', limit, async () => {
  const before = await settledDescriptors();
  for (let round = 0; round < 1_000; round++) {
    const [one, other] = linked();
    other.onFrame = () => other.close();
    one.onFrame = () => {};
    const ended = new Promise<void>((resolve) => {
      one.onEnd = () => resolve();
    });
    one.send(Buffer.from('x'));
    await ended;
  }
  assert.ok(await eventually(() => openDescriptors() === before));
});

test('a frame is erased once it has gone, and when the link ends before that', limit, async () => {
  const [one, other] = linked();
  const sent = Array.from({ length: 200 }, () => Buffer.alloc(64 * 1024, 'p'));
  for (const frame of sent) {
    one.send(frame);
  }
  assert.ok(sent[0]?.every((byte) => byte === 0));
  assert.ok(sent[199]?.every((byte) => byte === 0x70));
  one.close();
  assert.ok(sent[199]?.every((byte) => byte === 0));
  other.close();
});
