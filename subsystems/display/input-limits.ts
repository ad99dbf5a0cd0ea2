/** How much a peer may say: little before it has said who it is. Pure. */
import type { Phase } from './command.ts';

export interface InputLimits {
  readonly maxLineBytes: number;
  readonly maxLines: number;
  readonly maxInputBytes: number;
}

const maxLineBytes = 8 * 1024;
const maxLines = 10_000;
const maxInputBytes = 4 * 1024 * 1024;
const maxLoginLineBytes = 1024;
const maxLoginLines = 64;
const maxLoginInputBytes = 16 * 1024;

const known: InputLimits = { maxLineBytes, maxLines, maxInputBytes };

export const inputLimits: Readonly<Record<Phase, InputLimits>> = {
  login: {
    maxLineBytes: maxLoginLineBytes,
    maxLines: maxLoginLines,
    maxInputBytes: maxLoginInputBytes,
  },
  ready: known,
  session: known,
};
