/**
 * Keeps a copy of the display that it was given for a viewer, and looks through it after the viewer's
 * end. Runs in: worker.
 */
import { readSync, writeSync } from 'node:fs';
import { duplicate } from '../../../src/base/socket.native.ts';
import { DesktopAttach, DesktopDetach } from '../../../src/broker/link.ts';
import { report, runHostileWorker } from './hostile-worker.ts';

const pollMs = 50;
/** The monitor hears of the end by the same link; what it does is done by then. */
const settleMs = 1_000;
const answerMs = 10_000;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** How many bytes have come; 0: the end. Undefined: none in time. */
async function read(descriptor: number, timeoutMs: number): Promise<number | undefined> {
  const bytes = Buffer.alloc(65_536);
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += pollMs) {
    try {
      return readSync(descriptor, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        return 0;
      }
    }
    await pause(pollMs);
  }
  return undefined;
}

/** An X server that is still there answers the version with its types of security. */
async function isAlive(descriptor: number): Promise<boolean> {
  try {
    writeSync(descriptor, 'RFB 003.008\n');
  } catch {
    return false; // EPIPE: it leads nowhere
  }
  return ((await read(descriptor, answerMs)) ?? 0) > 0;
}

async function look(descriptor: number): Promise<void> {
  await pause(settleMs);
  report({ alive: await isAlive(descriptor) });
}

let kept: number | undefined;

runHostileWorker(
  () => false,
  (captive) => {
    captive.onAnswer = (name, [descriptor]) => {
      if (name === DesktopAttach.name && descriptor !== undefined) {
        kept = duplicate(descriptor);
        report({ attack: 'keep-display', descriptor: kept });
      }
    };
    captive.onNotify = (name) => {
      if (name === DesktopDetach.name && kept !== undefined) {
        void look(kept);
      }
    };
  },
);
