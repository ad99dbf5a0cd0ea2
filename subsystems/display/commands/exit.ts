/** `exit`: what older clients say for `quit`. Pure. */
import type { Command } from '../command.ts';

export const exit: Command = {
  verb: 'exit',
  phases: ['login', 'ready', 'session'],
  takesParameters: false,
  run: () => ({ lines: ['NX> 999 Bye'], then: 'close' }),
};
