/** `quit`: the end of the dialogue, with or without a session. Pure. */
import type { Command } from '../command.ts';

export const quit: Command = {
  verb: 'quit',
  phases: ['login', 'ready', 'session'],
  takesParameters: false,
  run: () => ({ lines: ['NX> 999 Bye'], then: 'close' }),
};
